-- Takes tokens from one bucket, by the generic cell rate algorithm (GCRA): a bucket is one
-- number, the instant at which it is full again. An absent key is a full bucket.
-- crates/cache/src/limits/gcra.rs is the same arithmetic for a node by itself.
--
-- KEYS[1]  the bucket; holds microseconds since 1970 as decimal text, expires when it is full
-- ARGV[1]  cost in tokens, 1 to ARGV[3]
-- ARGV[2]  microseconds in which one token comes back
-- ARGV[3]  tokens of a full bucket
-- Returns  { 1 when the tokens were taken, else 0; tokens left; microseconds until the same
--            would be granted; microseconds until the bucket is full; this server's time in
--            microseconds }
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000000 + tonumber(time[2])
local cost, token, burst = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local window = burst * token
local known = tonumber(redis.call('GET', KEYS[1]) or 0)
-- A clock that was set back must not lock a bucket for longer than it takes to fill.
local full = math.min(math.max(known, now), now + window)
local after = full + cost * token
local allowed = after - now <= window
local next = allowed and after or full
if allowed or known > full then
  -- %.0f: Lua would write a number of this size as 1.7e+15. One millisecond more, since expiry
  -- counts from the last whole one.
  redis.call('SET', KEYS[1], string.format('%.0f', next), 'PX', math.ceil((next - now) / 1000) + 1)
end
local left = math.floor((window - (next - now)) / token)
return { allowed and 1 or 0, left, allowed and 0 or after - now - window, next - now, now }
