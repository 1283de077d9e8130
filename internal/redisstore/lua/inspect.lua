-- Tells where ids are named, all at one moment.
-- KEYS  1 registry  2 active  3 revisions
-- ARGV  ids
-- returns { 1 when in the registry, 1 when in the active set, 1 when it has a revision, … }

local out = {}
for _, id in ipairs(ARGV) do
  out[#out + 1] = redis.call('HEXISTS', KEYS[1], id)
  out[#out + 1] = redis.call('SISMEMBER', KEYS[2], id)
  out[#out + 1] = redis.call('HEXISTS', KEYS[3], id)
end
return out
