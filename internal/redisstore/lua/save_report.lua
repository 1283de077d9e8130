-- Stores the report of a consistency check and drops those over the cap.
-- KEYS  1 consistency
-- ARGV  1 JSON  2 cap

redis.call('LPUSH', KEYS[1], ARGV[1])
redis.call('LTRIM', KEYS[1], 0, ARGV[2] - 1)
return 1
