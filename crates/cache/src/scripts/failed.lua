-- Gives a job back: to be tried again later, or to the dead letters after its last try.
--
-- KEYS[1]  the queue: a stream, fields id and job
-- KEYS[2]  the dead letters: a stream, fields id, job and attempts
-- ARGV[1]  consumer group
-- ARGV[2]  who had it
-- ARGV[3]  its entry
-- ARGV[4]  times that a job is tried
-- ARGV[5]  entries that the dead letters may hold; the oldest go
-- ARGV[6]  milliseconds that the job counts as idle from now on: what is missing to the idle
--          time of reclaim.lua passes before it is tried again
-- Returns  1 when it went to the dead letters, else 0; 0 also when it is no longer this consumer's
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], ARGV[3], ARGV[3], 1)[1]
if not pending or pending[2] ~= ARGV[2] then
  return 0
end
if pending[4] < tonumber(ARGV[4]) then
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, ARGV[3], 'IDLE', ARGV[6], 'JUSTID')
  return 0
end
local entry = redis.call('XRANGE', KEYS[1], ARGV[3], ARGV[3])[1]
if entry then
  redis.call('XADD', KEYS[2], 'MAXLEN', '=', ARGV[5], '*',
    'id', entry[2][2], 'job', entry[2][4], 'attempts', pending[4])
end
redis.call('XACK', KEYS[1], ARGV[1], ARGV[3])
redis.call('XDEL', KEYS[1], ARGV[3])
return entry and 1 or 0
