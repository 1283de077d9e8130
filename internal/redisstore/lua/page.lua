-- Reads one page of the registry with the revisions of its entries.
-- KEYS  1 registry  2 revisions
-- ARGV  1 cursor  2 count
-- returns { next cursor, id, revision or nil, JSON, id, … }

local scan = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local out, flat = { scan[1] }, scan[2]
for first = 1, #flat, 2000 do
  local ids = {}
  for i = first, math.min(first + 1998, #flat), 2 do
    ids[#ids + 1] = flat[i]
  end
  local revisions = redis.call('HMGET', KEYS[2], unpack(ids))
  for i, id in ipairs(ids) do
    local n = #out
    out[n + 1], out[n + 2], out[n + 3] = id, revisions[i], flat[first + 2 * i - 1]
  end
end
return out
