-- Appends jobs to the push queue, in order, as long as it has room. A job whose id was
-- appended before counts as appended: an append that timed out is simply sent again.
--
-- KEYS[1]     the queue: a stream, fields id and job
-- KEYS[2…]    one key per job: its id was appended; expires
-- ARGV[1]     entries that the stream may hold
-- ARGV[2]     milliseconds for which an id is remembered
-- ARGV[3,4…]  id and bytes of each job
-- Returns     how many of the jobs, from the first on, are in the queue
local room = tonumber(ARGV[1]) - redis.call('XLEN', KEYS[1])
local count = #KEYS - 1
for i = 1, count do
  local id, job = ARGV[1 + 2 * i], ARGV[2 + 2 * i]
  if redis.call('EXISTS', KEYS[1 + i]) == 0 then
    if room <= 0 then
      return i - 1
    end
    redis.call('XADD', KEYS[1], '*', 'id', id, 'job', job)
    redis.call('SET', KEYS[1 + i], '1', 'PX', ARGV[2])
    room = room - 1
  end
end
return count
