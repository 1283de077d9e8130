-- Reads one page of the registry with all that is kept about its entries elsewhere.
-- KEYS  1 registry  2 active  3 revisions  4 hashes
-- ARGV  1 cursor  2 count
-- returns { next cursor, id, JSON, revision or nil, hash or nil, 1 when the active set names it, id, … }

local scan = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local out, flat = { scan[1] }, scan[2]
for first = 1, #flat, 2000 do
  local ids = {}
  for i = first, math.min(first + 1998, #flat), 2 do
    ids[#ids + 1] = flat[i]
  end
  local revisions = redis.call('HMGET', KEYS[3], unpack(ids))
  local hashes = redis.call('HMGET', KEYS[4], unpack(ids))
  for i, id in ipairs(ids) do
    local n = #out
    out[n + 1], out[n + 2], out[n + 3], out[n + 4] = id, flat[first + 2 * i - 1], revisions[i], hashes[i]
    out[n + 5] = redis.call('SISMEMBER', KEYS[2], id)
  end
end
return out
