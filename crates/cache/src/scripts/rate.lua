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
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
-- A clock that was set back must not lock a bucket for longer than it takes to fill.
full = math.min(full, now + window)
local after = full + cost * token
if after - now > window then
  local left = math.floor((window - (full - now)) / token)
  return { 0, left, after - now - window, full - now, now }
end
-- %.0f: Lua would write a number of this size as 1.7e+15.
redis.call('SET', KEYS[1], string.format('%.0f', after), 'PX', math.ceil((after - now) / 1000))
return { 1, math.floor((window - (after - now)) / token), 0, after - now, now }
