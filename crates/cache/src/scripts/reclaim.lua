-- Takes over jobs that somebody took and did not finish. What was tried often enough goes to
-- the dead letters instead.
--
-- KEYS[1]  the queue: a stream, fields id and job
-- KEYS[2]  the dead letters: a stream, fields id, job and attempts
-- ARGV[1]  consumer group
-- ARGV[2]  who takes them
-- ARGV[3]  milliseconds after which a job counts as left behind
-- ARGV[4]  most jobs
-- ARGV[5]  where the search goes on: an entry id, 0-0 for the start
-- ARGV[6]  times that a job is tried
-- ARGV[7]  entries that the dead letters may hold; the oldest go
-- Returns  { where the next search goes on; jobs as {entry, id, bytes, attempts}; how many
--            were moved to the dead letters }
local found = redis.call('XAUTOCLAIM', KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[5], 'COUNT', ARGV[4])
local jobs, dead = {}, 0
for _, entry in ipairs(found[2]) do
  -- Before Redis 7 an entry that was deleted comes as nil.
  if entry then
    local pending = redis.call('XPENDING', KEYS[1], ARGV[1], entry[1], entry[1], 1)
    local attempts = pending[1] and pending[1][4] or 1
    if attempts > tonumber(ARGV[6]) then
      redis.call('XADD', KEYS[2], 'MAXLEN', '=', ARGV[7], '*',
        'id', entry[2][2], 'job', entry[2][4], 'attempts', attempts - 1)
      redis.call('XACK', KEYS[1], ARGV[1], entry[1])
      redis.call('XDEL', KEYS[1], entry[1])
      dead = dead + 1
    else
      jobs[#jobs + 1] = { entry[1], entry[2][2], entry[2][4], attempts }
    end
  end
end
return { found[1], jobs, dead }
