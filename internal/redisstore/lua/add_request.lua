-- Adds a request to a test receiver (D52: one list entry each, so parallel ones do not overwrite each other).
-- KEYS  1 receiver  2 requests  3 channel that tells of it
-- ARGV  1 request JSON  2 cap of requests
-- returns 1, or 0 when the receiver does not exist

local ttl = redis.call('PTTL', KEYS[1])
if ttl == -2 then
  return 0
end
if not redis.call('LPOS', KEYS[2], ARGV[1]) then
  redis.call('LPUSH', KEYS[2], ARGV[1])
  redis.call('LTRIM', KEYS[2], 0, ARGV[2] - 1)
end
redis.call('PUBLISH', KEYS[3], '')
if ttl > 0 then
  redis.call('PEXPIRE', KEYS[2], ttl)
end
return 1
