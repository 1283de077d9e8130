-- Records where a delivery stands, once for each attempt and change of state (CONTRACT 4.7, 5.1).
--
-- A stored record begins with "<attempts>|<state>|<updated ms>|", then the JSON; after a reopening without a new attempt
-- the time is followed by "r". A record with more attempts replaces one with fewer. With as many, a reopening replaces
-- what the life before it left, and among what follows the later time decides; in one life a final state replaces one
-- that is not, and a later one replaces an earlier one when neither is final. Everything else is a repetition or late and
-- changes nothing.
--
-- KEYS  1 registry  2 stats  3 attempts  4 delivery log  5 records  6 deliveries of the webhook  7 finals  8 deliveries
--       9 held  10 latencies  11 series of the webhook  12 series
-- ARGV  1 webhook id  2 event id  3 attempts made  4 state  5 "1" when the state is final  6 updated ms  7 created ms
--       8 record  9 number of the first attempt given (attempts made + 1 when none is)
--       10 cap of attempts  11 of the log  12 of final deliveries  13 of open ones stored whole  14 of deliveries
--       15 "1" when the delivery was reopened after its last attempt  16 the record shortened, for an open one
--       17 hours kept  18 days kept  19 hour of the update  20 "1" to look whether the caps are exceeded
--       21… for each attempt given, ascending: number, "1" on success, start ms, duration ms, attempt JSON, log JSON,
--       hour, field of latencies
-- returns the webhook's consecutive failures when the delivery is exhausted, else 0; or -(n + 1) when the stored record
--         has n attempts and those between n and the first one given are needed: nothing was changed

local log_cap, given, width = tonumber(ARGV[11]), 21, 8

if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  -- D10: nothing appears under the id of a webhook that is gone. Without a record to compare with, a repetition is
  -- recognised by the log entry itself.
  for i = given, #ARGV, width do
    if not redis.call('LPOS', KEYS[4], ARGV[i + 5], 'MAXLEN', log_cap) then
      redis.call('LPUSH', KEYS[4], ARGV[i + 5])
    end
  end
  redis.call('LTRIM', KEYS[4], 0, log_cap - 1)
  return 0
end

local event, state, final, record, short = ARGV[2], ARGV[4], ARGV[5] == '1', ARGV[8], ARGV[16]
local n, from, reopened = tonumber(ARGV[3]), tonumber(ARGV[9]), ARGV[15] == '1'
local old = redis.call('HGET', KEYS[5], event)
local old_n, old_state, old_final, old_at = 0, nil, false, 0

if old then
  local a, s, u, r = string.match(old, '^(%d+)|(%a+)|(%d+)(r?)|')
  old_n, old_state, old_at = tonumber(a) or 0, s, tonumber(u) or 0
  old_final = s == 'delivered' or s == 'exhausted' or s == 'cancelled'
  local newer = n > old_n
  if n == old_n then
    local at = tonumber(ARGV[6])
    if r == 'r' then
      newer = at > old_at or at == old_at and final and not old_final
      if newer and not reopened then
        record = string.gsub(record, '^(%d+|%a+|%d+)', '%1r', 1)
        short = string.gsub(short, '^(%d+|%a+|%d+)', '%1r', 1)
      end
    else
      newer = reopened or not old_final and (final or at > old_at)
    end
  end
  if not newer then
    if state == 'exhausted' and s == 'exhausted' and n == old_n then
      return tonumber(redis.call('HGET', KEYS[2], 'consecutive_failures')) or 0
    end
    return 0
  end
elseif reopened then
  -- Only what had ended, and was recorded, is opened again: its record made room for others, its attempts are counted.
  old_n = from - 1
end
if from > old_n + 1 then
  return -(old_n + 1)
end

-- What is to be added to the series, for each hour: attempts, successful ones, ms, deliveries delivered, exhausted,
-- cancelled.
local ends = { delivered = 4, exhausted = 5, cancelled = 6 }
local changed = {}
local function hour(h)
  local t = changed[h]
  if not t then
    t = { 0, 0, 0, 0, 0, 0 }
    changed[h] = t
  end
  return t
end

local first = given
while first < #ARGV and tonumber(ARGV[first]) <= old_n do
  first = first + width
end

local consecutive = 0
if first < #ARGV or final or old_final then
  -- Only what changes is written, and as text where the text is there: turning numbers into text is what costs here.
  local s = redis.call('HMGET', KEYS[2], 'total_deliveries', 'successful_deliveries', 'failed_deliveries',
    'last_delivery_at', 'last_success_at', 'last_failure_at', 'response_time_ms_total', 'consecutive_failures', state)
  local success, failed, took = 0, 0, tonumber(s[7]) or 0
  local last, last_success, last_failure
  local before = tonumber(s[8])
  consecutive = before or 0
  for i = first, #ARGV, width do
    local at, ms = ARGV[i + 2], tonumber(ARGV[i + 3])
    local t = hour(ARGV[i + 6])
    t[1], t[3] = t[1] + 1, t[3] + ms
    took = took + ms
    last = at
    if ARGV[i + 1] == '1' then
      success, consecutive, last_success = success + 1, 0, at
      t[2] = t[2] + 1
    else
      failed, last_failure = failed + 1, at
    end
    redis.call('HINCRBY', KEYS[10], ARGV[i + 7], 1)
    if redis.call('LPUSH', KEYS[3], ARGV[i + 4]) > tonumber(ARGV[10]) then
      redis.call('LTRIM', KEYS[3], 0, ARGV[10] - 1)
    end
    if redis.call('LPUSH', KEYS[4], ARGV[i + 5]) > log_cap then
      redis.call('LTRIM', KEYS[4], 0, log_cap - 1)
    end
  end
  if state == 'exhausted' then
    consecutive = consecutive + 1
  end
  local set, m = {}, 0
  local function put(field, value)
    set[m + 1], set[m + 2], m = field, value, m + 2
  end
  if last then
    put('total_deliveries', (tonumber(s[1]) or 0) + success + failed)
    put('response_time_ms_total', took)
  end
  if success > 0 then put('successful_deliveries', (tonumber(s[2]) or 0) + success) end
  if failed > 0 then put('failed_deliveries', (tonumber(s[3]) or 0) + failed) end
  if last and tonumber(last) > (tonumber(s[4]) or 0) then put('last_delivery_at', last) end
  if last_success and tonumber(last_success) > (tonumber(s[5]) or 0) then put('last_success_at', last_success) end
  if last_failure and tonumber(last_failure) > (tonumber(s[6]) or 0) then put('last_failure_at', last_failure) end
  if consecutive ~= before then put('consecutive_failures', consecutive) end

  -- A delivery counts at its latest end only.
  local back
  if final then
    if old_state ~= state then put(state, (tonumber(s[9]) or 0) + 1) end
    local t = hour(ARGV[19])
    t[ends[state]] = t[ends[state]] + 1
  end
  if old_final then
    if old_state ~= state then redis.call('HINCRBY', KEYS[2], old_state, -1) end
    back = string.format('%d', math.floor(old_at / 3600000))
    local t = changed[back]
    if t then
      t[ends[old_state]], back = t[ends[old_state]] - 1, nil
    end
  end
  if m > 0 then redis.call('HSET', KEYS[2], unpack(set)) end

  -- Series: a hash of "h:<hour>" and "d:<day>", since the epoch, and "t" for what is older than the days kept. When an hour
  -- or a day moves out it is added to the day it belongs to, or to "t": the sum over all fields stays exact.
  local function add(key, field, t)
    local was = redis.call('HGET', key, field)
    if not was then
      redis.call('HSET', key, field, table.concat(t, ' '))
      return true
    end
    local a, b, c, d, rest = string.match(was, '^(%S+) (%S+) (%S+) (%S+)( .*)$')
    if not a then
      a, b, c, d, rest = 0, 0, 0, 0, ' 0 0'
    end
    if t[5] ~= 0 or t[6] ~= 0 then
      local e, f = string.match(rest, '(%S+) (%S+)')
      rest = ' ' .. e + t[5] .. ' ' .. f + t[6]
    end
    redis.call('HSET', key, field, a + t[1] .. ' ' .. b + t[2] .. ' ' .. c + t[3] .. ' ' .. d + t[4] .. rest)
    return false
  end

  local function move_out(key, kind, keep, target)
    local all = {}
    for _, field in ipairs(redis.call('HKEYS', key)) do
      if string.sub(field, 1, 2) == kind then
        all[#all + 1] = tonumber(string.sub(field, 3)) or 0
      end
    end
    table.sort(all)
    for i = 1, #all - keep do
      local field = kind .. string.format('%d', all[i])
      local t = {}
      for number in string.gmatch(redis.call('HGET', key, field), '%S+') do
        t[#t + 1] = tonumber(number) or 0
      end
      redis.call('HDEL', key, field)
      if #t == 6 then add(key, target(all[i]), t) end
    end
  end

  local function day_of(h) return 'd:' .. string.format('%d', math.floor(h / 24)) end
  for k = 11, 12 do
    local key = KEYS[k]
    for h, t in pairs(changed) do
      if add(key, 'h:' .. h, t) then
        move_out(key, 'h:', tonumber(ARGV[17]), day_of)
        move_out(key, 'd:', tonumber(ARGV[18]), function() return 't' end)
      end
    end
    if back then -- from where it was moved to
      local field, t = 'h:' .. back, { 0, 0, 0, 0, 0, 0 }
      t[ends[old_state]] = -1
      if redis.call('HEXISTS', key, field) == 0 then
        field = day_of(back)
        if redis.call('HEXISTS', key, field) == 0 then field = 't' end
      end
      add(key, field, t)
    end
  end
end

-- The sorted sets are trimmed in strides, and not looked at each time: a cap may be exceeded by a 32nd and a few.
local function excess(key, cap)
  if ARGV[20] == '0' then return 0 end
  local over = redis.call('ZCARD', key) - cap
  return over > cap / 32 and math.min(over, 1000) or 0
end

if not old then
  redis.call('ZADD', KEYS[6], ARGV[7], event)
  redis.call('ZADD', KEYS[8], ARGV[7], ARGV[1] .. '/' .. event)
  local over = excess(KEYS[8], tonumber(ARGV[14]))
  if over > 0 then
    redis.call('ZREMRANGEBYRANK', KEYS[8], 0, over - 1)
  end
end
if state == 'held' then
  redis.call('ZADD', KEYS[9], ARGV[7], event)
elseif old_state == 'held' then
  redis.call('ZREM', KEYS[9], event)
end
if old_final and not final then
  redis.call('ZREM', KEYS[7], event)
end

-- Only ended deliveries make room. An open one is still needed, by people, to release it and to recognise repetitions;
-- past their cap its record is kept short.
if not final and redis.call('ZCARD', KEYS[6]) - redis.call('ZCARD', KEYS[7]) > tonumber(ARGV[13]) then
  record = short
end
redis.call('HSET', KEYS[5], event, record)
if final then
  redis.call('ZADD', KEYS[7], ARGV[6], event)
  local over = excess(KEYS[7], tonumber(ARGV[12]))
  if over > 0 then
    local victims = redis.call('ZRANGE', KEYS[7], 0, over - 1)
    redis.call('HDEL', KEYS[5], unpack(victims))
    redis.call('ZREM', KEYS[6], unpack(victims))
    redis.call('ZREM', KEYS[7], unpack(victims))
    for i = 1, #victims do
      victims[i] = ARGV[1] .. '/' .. victims[i]
    end
    redis.call('ZREM', KEYS[8], unpack(victims))
  end
end
return state == 'exhausted' and consecutive or 0
