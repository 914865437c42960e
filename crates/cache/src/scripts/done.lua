-- Removes finished jobs.
--
-- KEYS[1]    the queue
-- ARGV[1]    consumer group
-- ARGV[2…]   entries
-- Returns    how many were there
for i = 2, #ARGV do
  redis.call('XACK', KEYS[1], ARGV[1], ARGV[i])
end
local there = 0
for i = 2, #ARGV do
  there = there + redis.call('XDEL', KEYS[1], ARGV[i])
end
return there
