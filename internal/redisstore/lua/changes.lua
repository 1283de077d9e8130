-- Reads what changed after a revision, at most a page of it, as of this moment.
-- KEYS  1 revision  2 digest  3 incarnation  4 changes  5 registry  6 revisions
-- ARGV  1 since (a revision)  2 most change entries to read
-- returns { revision, digest, incarnation, up to, id, revision or nil, JSON or nil, id, … }
--         "up to" is the last revision covered: call again with it until it equals the revision. It is "" when the
--         stream cannot answer (trimmed past since, no registry): read everything instead. It is "foreign" when since
--         belongs to another history: trimming takes the oldest entries, so one that is missing between older ones was
--         never there, or Redis was restored from a backup that is older.

local revision = redis.call('GET', KEYS[1])
local out = { revision or '', redis.call('GET', KEYS[2]) or '', redis.call('GET', KEYS[3]) or '', '' }
if not revision then
  return out
end
if revision == ARGV[1] then
  out[4] = revision
  return out
end
local entries = redis.call('XRANGE', KEYS[4], ARGV[1] .. '-0', '+', 'COUNT', ARGV[2] + 1)
if #entries == 0 or entries[1][1] ~= ARGV[1] .. '-0' then
  local oldest = redis.call('XRANGE', KEYS[4], '-', '+', 'COUNT', 1)[1]
  if oldest and tonumber(string.match(oldest[1], '^%d+')) < tonumber(ARGV[1]) then
    out[4] = 'foreign'
  end
  return out
end
if #entries < 2 then
  return out
end

local ids, seen = {}, {}
for i = 2, #entries do
  local id = entries[i][2][4]
  if id ~= '' and not seen[id] then -- the others mark an incarnation
    seen[id] = true
    ids[#ids + 1] = id
  end
end
out[4] = string.match(entries[#entries][1], '^%d+')
if #ids == 0 then
  return out
end
local json = redis.call('HMGET', KEYS[5], unpack(ids))
local revisions = redis.call('HMGET', KEYS[6], unpack(ids))
for i, id in ipairs(ids) do
  local n = #out
  out[n + 1], out[n + 2], out[n + 3] = id, revisions[i], json[i]
end
return out
