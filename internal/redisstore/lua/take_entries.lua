-- Takes entries off a stream: acknowledged and deleted, so that it holds only what is still to be taken.
-- KEYS  1 stream
-- ARGV  1 group  2… ids
-- returns how many were there

redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, 2))
return redis.call('XDEL', KEYS[1], unpack(ARGV, 2))
