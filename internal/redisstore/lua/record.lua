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
-- ARGV  1 webhook id  2 event id  3 attempts made  4 state  5 updated ms  6 created ms  7 record
--       8 number of the first attempt given (attempts made + 1 when none is)
--       9 "r" when the delivery was reopened after its last attempt, "c" to look whether the caps are exceeded, both, or ""
--       10 the record shortened, for an open delivery  11 hour of the update
--       12… for each attempt given, ascending: number, "1" on success, start ms, duration ms, attempt JSON, log JSON,
--       hour, class of latency
-- "caps" stands before this script: most attempts, log entries, ended deliveries of a webhook, open ones stored whole,
-- deliveries over all webhooks, hours, days, and the channel that watchers listen to.
-- returns the webhook's consecutive failures when the delivery is exhausted, else 0; or -(n + 1) when the stored record
--         has n attempts and those between n and the first one given are needed: nothing was changed

local given, width = 12, 8

if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  -- D10: nothing appears under the id of a webhook that is gone. Without a record to compare with, a repetition is
  -- recognised by the log entry itself.
  for i = given, #ARGV, width do
    if not redis.call('LPOS', KEYS[4], ARGV[i + 5], 'MAXLEN', caps.log) then
      redis.call('LPUSH', KEYS[4], ARGV[i + 5])
    end
  end
  redis.call('LTRIM', KEYS[4], 0, caps.log - 1)
  return 0
end

local ends = { delivered = 5, exhausted = 6, cancelled = 7 } -- the final states, and where a tally counts them
local event, state, record, short, flags = ARGV[2], ARGV[4], ARGV[7], ARGV[10], ARGV[9]
local n, from, final = tonumber(ARGV[3]), tonumber(ARGV[8]), ends[state] ~= nil
local reopened = flags ~= '' and string.sub(flags, 1, 1) == 'r'
local old = redis.call('HGET', KEYS[5], event)
local old_n, old_state, old_final, old_at = 0, nil, false, 0

if old then
  local a, s, u, r = string.match(old, '^(%d+)|(%a+)|(%d+)(r?)|')
  old_n, old_state, old_at = tonumber(a) or 0, s, tonumber(u) or 0
  old_final = ends[s] ~= nil
  local newer = n > old_n
  if n == old_n then
    local at = tonumber(ARGV[5])
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

-- What is to be added to the series, by hour: at once successful (an attempt, its success and the delivery's end in one),
-- ms, and what else there is of attempts, successful attempts, deliveries delivered, exhausted, cancelled. Mostly only the
-- first two change.
local tallies = {}
local function tally(hour)
  local t = tallies[hour]
  if not t then
    t = { 0, 0, 0, 0, 0, 0, 0 }
    tallies[hour] = t
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
    local t = tally(ARGV[i + 6])
    t[3], t[2] = t[3] + 1, t[2] + ms
    took = took + ms
    last = at
    if ARGV[i + 1] == '1' then
      success, consecutive, last_success = success + 1, 0, at
      t[4] = t[4] + 1
    else
      failed, last_failure = failed + 1, at
    end
    redis.call('HINCRBY', KEYS[10], ARGV[i + 7], 1)
    -- The lists, too, are trimmed in strides, of an eighth. Readers see no more than the cap.
    if redis.call('LPUSH', KEYS[3], ARGV[i + 4]) > caps.attempts * 1.125 then
      redis.call('LTRIM', KEYS[3], 0, caps.attempts - 1)
    end
    if redis.call('LPUSH', KEYS[4], ARGV[i + 5]) > caps.log * 1.125 then
      redis.call('LTRIM', KEYS[4], 0, caps.log - 1)
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
    local t = tally(ARGV[11])
    t[ends[state]] = t[ends[state]] + 1
  end
  if old_final then
    if old_state ~= state then redis.call('HINCRBY', KEYS[2], old_state, -1) end
    back = string.format('%d', math.floor(old_at / 3600000))
    local t = tallies[back]
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
    local once, ms, rest = string.match(was, '^(%S+) (%S+)(.*)$')
    if t[3] ~= 0 or t[4] ~= 0 or t[5] ~= 0 or t[6] ~= 0 or t[7] ~= 0 then
      local i = 2
      rest = string.gsub(rest, '%S+', function(number)
        i = i + 1
        return number + t[i]
      end)
    end
    redis.call('HSET', key, field, once + t[1] .. ' ' .. ms + t[2] .. rest)
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
      if #t == 7 then add(key, target(all[i]), t) end
    end
  end

  local function day_of(hour) return 'd:' .. string.format('%d', math.floor(hour / 24)) end

  for _, t in pairs(tallies) do
    local once = math.min(t[3], t[4], t[5])
    if once > 0 then
      t[1], t[3], t[4], t[5] = once, t[3] - once, t[4] - once, t[5] - once
    end
  end
  for k = 11, 12 do
    local key = KEYS[k]
    for h, t in pairs(tallies) do
      if add(key, 'h:' .. h, t) then
        move_out(key, 'h:', caps.hours, day_of)
        move_out(key, 'd:', caps.days, function() return 't' end)
      end
    end
    if back then -- from where it was moved to
      local field, t = 'h:' .. back, { 0, 0, 0, 0, 0, 0, 0 }
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
  local over = redis.call('ZCARD', key) - cap
  return over > cap / 32 and math.min(over, 1000) or 0
end
local look = string.find(flags, 'c', 1, true)

if not old then
  redis.call('ZADD', KEYS[6], ARGV[6], event)
  redis.call('ZADD', KEYS[8], ARGV[6], ARGV[1] .. '/' .. event)
  local over = look and excess(KEYS[8], caps.all) or 0
  if over > 0 then
    redis.call('ZREMRANGEBYRANK', KEYS[8], 0, over - 1)
  end
end
if state == 'held' then
  redis.call('ZADD', KEYS[9], ARGV[6], event)
elseif old_state == 'held' then
  redis.call('ZREM', KEYS[9], event)
end
if old_final and not final then
  redis.call('ZREM', KEYS[7], event)
end

-- Only ended deliveries make room. An open one is still needed, by people, to release it and to recognise repetitions;
-- past their cap its record is kept short.
if not final and redis.call('ZCARD', KEYS[6]) - redis.call('ZCARD', KEYS[7]) > caps.open then
  record = short
end
redis.call('HSET', KEYS[5], event, record)
if final then
  redis.call('ZADD', KEYS[7], ARGV[5], event)
  local over = look and excess(KEYS[7], caps.ended) or 0
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
redis.pcall('PUBLISH', caps.channel, ARGV[1] .. '/' .. event) -- a user that may not publish still records
return state == 'exhausted' and consecutive or 0
