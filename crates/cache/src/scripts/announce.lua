-- Notes that a device of an account is there, and when the account was last seen.
--
-- KEYS[1]  the account's presence: a hash, field "device@node", value "state until"
-- KEYS[2]  the account's last-seen: milliseconds since 1970
-- ARGV[1]  the field
-- ARGV[2]  the state: online or away; empty withdraws the field
-- ARGV[3]  milliseconds for which the entry is valid
-- ARGV[4]  milliseconds for which last-seen is kept
-- Returns  1
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
redis.call('SET', KEYS[2], string.format('%.0f', now), 'PX', ARGV[4])
if ARGV[2] == '' then
  redis.call('HDEL', KEYS[1], ARGV[1])
  return 1
end
-- What a dead node left behind goes here, if it was not the whole hash that expired.
if redis.call('HLEN', KEYS[1]) > 1 then
  local all = redis.call('HGETALL', KEYS[1])
  for i = 1, #all, 2 do
    if (tonumber(string.match(all[i + 1], ' (%d+)$')) or 0) <= now then
      redis.call('HDEL', KEYS[1], all[i])
    end
  end
end
local ends = now + tonumber(ARGV[3])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. string.format(' %.0f', ends))
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
