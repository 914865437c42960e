#!/usr/bin/env bash
# curl receives with -N, is ended in mid-flow, and resumes with -H 'Last-Event-ID: …'.
#   node with-server.mjs bash curl.sh
set -euo pipefail

: "${GODWIT_URL:?the base URL of a running godwit dev}"
dir=$(mktemp -d)
stream=""
trap '[ -z "$stream" ] || kill "$stream" 2>/dev/null || true; rm -rf "$dir"' EXIT

fail() {
  echo "FAIL curl: $1"
  tail -n 20 "$dir"/*.sse 2>/dev/null || true
  exit 1
}

# The string value of a key in flat JSON on standard input.
field() { sed -n "s/^.*\"$1\":\"\([^\"]*\)\".*$/\1/p"; }

token() { curl -fsS --max-time 30 "$GODWIT_URL/dev/token?account=$1&device=phone" | field token; }

# Sends the texts "message FROM" to "message TO", one after the other.
send() {
  local n
  for ((n = $1; n <= $2; n++)); do
    curl -fsS --max-time 30 -o "$dir/answer" -H "Authorization: Bearer $alice_token" -H 'Content-Type: application/json' \
      -d "{\"client_id\":\"curl-$n\",\"body\":{\"type\":\"text\",\"text\":\"message $n\"}}" \
      "$GODWIT_URL/v1/conversations/$conversation/messages"
  done
}

# Opens bob's stream into a file, with further options of curl.
open_stream() {
  local file=$1
  shift
  : >"$file"
  curl -sSN -H "Authorization: Bearer $bob_token" -H 'Accept: text/event-stream' "$@" "$GODWIT_URL/v1/events" >"$file" &
  stream=$!
}

close_stream() {
  kill "$stream"
  wait "$stream" 2>/dev/null || true
  stream=""
}

# Waits until a file has so many lines of a pattern.
await() {
  local file=$1 pattern=$2 count=$3 tries
  for ((tries = 0; tries < 300; tries++)); do
    [ "$(grep -c -- "$pattern" "$file" || true)" -ge "$count" ] && return
    sleep 0.1
  done
  fail "waited in vain for $count × '$pattern'"
}

# Waits until bob's inbox has a text: an answer to a message does not wait for that.
await_inbox() {
  local tries
  for ((tries = 0; tries < 300; tries++)); do
    curl -fsS --max-time 30 -o "$dir/inbox" -H "Authorization: Bearer $bob_token" "$GODWIT_URL/v1/sync"
    grep -qF -- "\"$1\"" "$dir/inbox" && return
    sleep 0.1
  done
  fail "bob's inbox never had '$1'"
}

texts() { sed -n 's/^data:.*"text":"\(message [0-9]*\)".*$/\1/p' "$1"; }
expect() { seq -f 'message %g' "$1" "$2"; }

suffix=$$-$RANDOM
alice_token=$(token "alice-$suffix")
bob_token=$(token "bob-$suffix")
curl -fsS --max-time 30 -o "$dir/conversation" -H "Authorization: Bearer $alice_token" -H 'Content-Type: application/json' \
  -d "{\"kind\":\"direct\",\"members\":[\"bob-$suffix\"]}" "$GODWIT_URL/v1/conversations"
conversation=$(sed 's/^{"id":"\([^"]*\)".*$/\1/' "$dir/conversation")

open_stream "$dir/first.sse"
await "$dir/first.sse" '^event: ready' 1
send 1 6
await "$dir/first.sse" '^event: message' 6
close_stream
[ "$(texts "$dir/first.sse")" = "$(expect 1 6)" ] || fail "live: not message 1 to 6, in order, once each"
echo "ok   curl receives: 6 messages, live, in order"

# As if only four had been taken in: the id that stands before the fourth message's data.
fourth=$(awk '/^id: / { id = $2 } /"message 4"/ { print id; exit }' "$dir/first.sse")
[ -n "$fourth" ] || fail "no id at message 4"
send 7 10
await_inbox 'message 10'
open_stream "$dir/second.sse" -H "Last-Event-ID: $fourth"
await "$dir/second.sse" '^event: caught_up' 1
send 11 12
await "$dir/second.sse" '^event: message' 8
close_stream
[ "$(texts "$dir/second.sse")" = "$(expect 5 12)" ] || fail "resumed: not message 5 to 12, in order, once each"
grep -q '^event: gap' "$dir/second.sse" && fail "a gap"
order=$(grep '^event: \(message\|caught_up\)' "$dir/second.sse" | uniq -c | sed 's/^ *//' | tr '\n' ' ')
[ "$order" = "6 event: message 1 event: caught_up 2 event: message " ] || fail "not replay, caught_up, live: $order"
echo "ok   curl resumes after $fourth: 6 replayed, caught_up, 2 live, once each"
