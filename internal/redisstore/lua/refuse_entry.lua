-- Moves an entry that can never be accepted aside, with its reason. Of its fields only those that mean something go along,
-- and only their beginning: what is kept is bounded.
-- KEYS  1 stream  2 stream of refused entries
-- ARGV  1 group  2 id  3 reason  4 how many are kept  5 bytes of a field  6… the fields
-- returns 1, or 0 when the entry was gone

local found = redis.call('XRANGE', KEYS[1], ARGV[2], ARGV[2])[1]
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
if not found then
  return 0
end
local kept = { 'entry', ARGV[2], 'reason', ARGV[3] }
for i = 1, #found[2], 2 do
  for j = 6, #ARGV do
    if found[2][i] == ARGV[j] then
      kept[#kept + 1] = ARGV[j]
      kept[#kept + 1] = string.sub(found[2][i + 1], 1, tonumber(ARGV[5]))
      break
    end
  end
end
redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[4], '*', unpack(kept))
return redis.call('XDEL', KEYS[1], ARGV[2])
