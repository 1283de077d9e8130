-- Deletes a mark if it is still a claim of ours.
-- KEYS  1 event mark
-- ARGV  1 what our claims begin with
-- returns 1 when it was deleted

local mark = redis.call('GET', KEYS[1])
if mark and string.sub(mark, 1, #ARGV[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
