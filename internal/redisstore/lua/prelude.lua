-- Shared head of the scripts that change the registry.
--
-- Redis does not roll a script back, so a script here first proves that every write it will make is allowed and that
-- every key has the right type, and only then makes the first one: it changes everything or nothing (D3, D12).

local function must_be(key, want)
  local t = redis.call('TYPE', key)
  t = type(t) == 'table' and t.ok or t
  if t ~= 'none' and t ~= want then
    error('WRONGTYPE ' .. key .. ' holds a ' .. t .. ', not a ' .. want)
  end
end

local function must_allow(...)
  if redis.acl_check_cmd and not redis.acl_check_cmd(...) then
    error('NOPERM the storage user may not run ' .. (...))
  end
end

-- The digest of the registry is "<count>:<16 hex digits>": how many entries have a revision, and the XOR over them of
-- the first 64 bits of SHA-1("<id>:<revision>"). XOR makes it independent of order and lets one entry be taken out
-- again by toggling it a second time. Two 32-bit halves, because Lua numbers are doubles. Without the bit library (the
-- in-process stand-in of dev mode) it is done by arithmetic.
local has_bit, bxor = pcall(function() return bit.bxor end)
if not has_bit then
  bxor = function(a, b)
    local r = 0
    for i = 0, 31 do
      local p = 2 ^ i
      local x = math.floor(a / p) % 2
      local y = math.floor(b / p) % 2
      if x ~= y then r = r + p end
    end
    return r
  end
end

local function toggle(d, id, revision)
  local h = redis.sha1hex(id .. ':' .. revision)
  d.hi = bxor(d.hi, tonumber(string.sub(h, 1, 8), 16)) % 4294967296
  d.lo = bxor(d.lo, tonumber(string.sub(h, 9, 16), 16)) % 4294967296
end

-- A digest that does not fit the revisions (someone deleted or evicted one of the two keys) is computed anew.
local function load_digest(digest_key, revisions_key)
  local count, hi, lo = string.match(redis.call('GET', digest_key) or '', '^(%d+):(%x%x%x%x%x%x%x%x)(%x%x%x%x%x%x%x%x)$')
  if count and tonumber(count) == redis.call('HLEN', revisions_key) then
    return { count = tonumber(count), hi = tonumber(hi, 16), lo = tonumber(lo, 16) }
  end
  local d = { count = 0, hi = 0, lo = 0 }
  local all = redis.call('HGETALL', revisions_key)
  for i = 1, #all, 2 do
    toggle(d, all[i], all[i + 1])
    d.count = d.count + 1
  end
  return d
end

-- The next revision is greater than the current one, than the newest change entry and not less than the clock in
-- microseconds. The clock keeps it growing after Redis was wiped or restored from an old backup: nodes hold revisions
-- from before, and a counter that began again at 1 would repeat them for other contents. Microseconds, because no burst
-- of scripts is faster than that, so a revision never runs ahead of the clock.
local function next_revision(revision_key, changes_key)
  local t = redis.call('TIME')
  local r = math.max((tonumber(redis.call('GET', revision_key)) or 0) + 1, t[1] * 1000000 + t[2])
  local top = redis.call('XREVRANGE', changes_key, '+', '-', 'COUNT', 1)[1]
  if top then
    r = math.max(r, tonumber(string.match(top[1], '^%d+')) + 1)
  end
  return string.format('%.0f', r)
end

-- The incarnation of the registry, "<born>:<id>:<1 when complete, else 0>:<reason>": nil when there is none, as after a
-- wipe. The first script that writes then begins one; it is not complete until everything is known to be back.
local function load_incarnation(key)
  local born, id, complete = string.match(redis.call('GET', key) or '', '^(%d+):([^:]+):([01])')
  return born, id, complete == '1'
end

local function save_incarnation(key, born, id, complete, reason)
  redis.call('SET', key, born .. ':' .. id .. ':' .. (complete and '1' or '0') .. ':' .. reason)
end

-- The id of a change entry is its revision, so "everything after revision N" is one range, and the presence of entry N
-- proves that nothing after it was trimmed and that N belongs to this history.
local function publish(digest_key, revision_key, changes_key, d, revision, id, op, maxlen)
  redis.call('SET', digest_key, string.format('%d:%08x%08x', d.count, d.hi, d.lo))
  redis.call('SET', revision_key, revision)
  redis.call('XADD', changes_key, 'MAXLEN', '~', maxlen, revision .. '-0', 'rev', revision, 'id', id, 'op', op)
end

