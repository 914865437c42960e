-- Reads an account's presence over all its devices. Changes nothing.
--
-- KEYS[1]  the account's presence: a hash, field "device@node", value "state until"
-- KEYS[2]  the account's last-seen: milliseconds since 1970
-- Returns  { 2 online, 1 away, 0 offline; last-seen in milliseconds since 1970, 0 when unknown }
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local best = 0
for _, value in ipairs(redis.call('HVALS', KEYS[1])) do
  local state, ends = string.match(value, '^(%a+) (%d+)$')
  if state and tonumber(ends) > now then
    best = math.max(best, state == 'online' and 2 or 1)
  end
end
return { best, tonumber(redis.call('GET', KEYS[2]) or 0) }
