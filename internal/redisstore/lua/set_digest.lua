-- Stores a digest if the registry still is at the revision that it was computed at.
-- KEYS  1 digest  2 revision
-- ARGV  1 digest  2 revision, "" for none
-- returns 1 when stored

if (redis.call('GET', KEYS[2]) or '') ~= ARGV[2] then
  return 0
end
redis.call('SET', KEYS[1], ARGV[1])
return 1
