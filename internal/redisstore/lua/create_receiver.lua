-- Creates a test receiver unless there are too many; expired ones are taken off the list first (D53).
-- KEYS  1 receivers  2 receiver  3… the receivers listed a moment ago
-- ARGV  1 receiver id  2 receiver JSON  3 lifetime in ms  4 cap of receivers  5… ids belonging to KEYS 3…
-- returns { receiver JSON }, the stored one when it exists already; {} when the cap is reached

for i = 3, #KEYS do
  if redis.call('EXISTS', KEYS[i]) == 0 then
    redis.call('SREM', KEYS[1], ARGV[i + 2])
  end
end
local stored = redis.call('GET', KEYS[2])
if stored then
  redis.call('SADD', KEYS[1], ARGV[1])
  return { stored }
end
if redis.call('SCARD', KEYS[1]) >= tonumber(ARGV[4]) then
  return {}
end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
redis.call('SADD', KEYS[1], ARGV[1])
return { ARGV[2] }
