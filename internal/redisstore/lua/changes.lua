-- Reads what changed after a revision, at most a page of it, as of this moment.
-- KEYS  1 revision  2 digest  3 changes  4 registry  5 revisions
-- ARGV  1 since (a revision)  2 most change entries to read
-- returns { revision, digest, up to, id, revision or nil, JSON or nil, id, … }
--         "up to" is the last revision covered: call again with it until it equals the revision. It is "" when the
--         stream cannot answer (trimmed past since, another history, no registry): read everything instead.

local revision = redis.call('GET', KEYS[1])
local digest = redis.call('GET', KEYS[2]) or ''
if not revision then
  return { '', digest, '' }
end
if revision == ARGV[1] then
  return { revision, digest, revision }
end
local entries = redis.call('XRANGE', KEYS[3], ARGV[1] .. '-0', '+', 'COUNT', ARGV[2] + 1)
if #entries < 2 or entries[1][1] ~= ARGV[1] .. '-0' then
  return { revision, digest, '' }
end

local ids, seen = {}, {}
for i = 2, #entries do
  local id = entries[i][2][4]
  if not seen[id] then
    seen[id] = true
    ids[#ids + 1] = id
  end
end
local out = { revision, digest, (string.match(entries[#entries][1], '^%d+')) }
local json = redis.call('HMGET', KEYS[4], unpack(ids))
local revisions = redis.call('HMGET', KEYS[5], unpack(ids))
for i, id in ipairs(ids) do
  local n = #out
  out[n + 1], out[n + 2], out[n + 3] = id, revisions[i], json[i]
end
return out
