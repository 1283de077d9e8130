-- Adds a request to a monitor session, which begins with its first and lives for a while after its newest request. At the
-- cap of sessions the one that was used least recently makes room (D54).
-- KEYS  1 sessions  2 requests of the session  3 requests of the session used least recently, a moment ago
-- ARGV  1 session id  2 request JSON  3 cap of requests  4 bytes of requests  5 lifetime in ms  6 cap of sessions
--       7 id of the session of KEYS 3
-- returns 1, or 0 when another session is the one that is to make room: ask again

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[5])
if not redis.call('ZSCORE', KEYS[1], ARGV[1]) and redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[6]) then
  if redis.call('ZRANGE', KEYS[1], 0, 0)[1] ~= ARGV[7] then
    return 0
  end
  redis.call('ZREM', KEYS[1], ARGV[7])
  redis.call('DEL', KEYS[3])
end
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('LPUSH', KEYS[2], ARGV[2])
redis.call('LTRIM', KEYS[2], 0, ARGV[3] - 1)
local bytes = 0
for i, request in ipairs(redis.call('LRANGE', KEYS[2], 0, -1)) do
  bytes = bytes + #request
  if bytes > tonumber(ARGV[4]) and i > 1 then
    redis.call('LTRIM', KEYS[2], 0, i - 2)
    break
  end
end
redis.call('PEXPIRE', KEYS[2], ARGV[5])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
return 1
