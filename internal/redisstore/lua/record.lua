-- Records where a delivery stands, once for each attempt and change of state (CONTRACT 4.7, 5.1).
--
-- A stored record begins with "<attempts>|<state>|<updated ms>|", then the JSON. A record with more attempts replaces
-- one with fewer; with as many, a final state replaces one that is not, and a later one replaces an earlier one when
-- neither is final. Everything else is a repetition or late and changes nothing.
--
-- KEYS  1 registry  2 stats  3 attempts  4 delivery log  5 records  6 deliveries of the webhook  7 finals  8 deliveries
-- ARGV  1 webhook id  2 event id  3 attempts made  4 state  5 "1" when the state is final  6 updated ms  7 created ms
--       8 record  9 number of the first attempt given (attempts made + 1 when none is)
--       10 cap of attempts  11 of the log  12 of final deliveries  13 of all deliveries of the webhook  14 of deliveries
--       15… for each attempt given, ascending: number, "1" on success, start ms, duration ms, attempt JSON, log JSON
-- returns the webhook's consecutive failures when the delivery is exhausted, else 0; or -(n + 1) when the stored record
--         has n attempts and those between n and the first one given are needed: nothing was changed

local log_cap = tonumber(ARGV[11])

if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  -- D10: nothing appears under the id of a webhook that is gone. Without a record to compare with, a repetition is
  -- recognised by the log entry itself.
  for i = 15, #ARGV, 6 do
    if not redis.call('LPOS', KEYS[4], ARGV[i + 5], 'MAXLEN', log_cap) then
      redis.call('LPUSH', KEYS[4], ARGV[i + 5])
    end
  end
  redis.call('LTRIM', KEYS[4], 0, log_cap - 1)
  return 0
end

local event, state, final = ARGV[2], ARGV[4], ARGV[5] == '1'
local n, from = tonumber(ARGV[3]), tonumber(ARGV[9])
local old = redis.call('HGET', KEYS[5], event)
local old_n, old_final = 0, false

if old then
  local a, s, u = string.match(old, '^(%d+)|(%a+)|(%d+)|')
  old_n = tonumber(a) or 0
  old_final = s == 'delivered' or s == 'exhausted' or s == 'cancelled'
  local newer = n > old_n or n == old_n and not old_final and (final or tonumber(ARGV[6]) > (tonumber(u) or 0))
  if not newer then
    if state == 'exhausted' and s == 'exhausted' and n == old_n then
      return tonumber(redis.call('HGET', KEYS[2], 'consecutive_failures')) or 0
    end
    return 0
  end
end
if from > old_n + 1 then
  return -(old_n + 1)
end

local first = 15
while first < #ARGV and tonumber(ARGV[first]) <= old_n do
  first = first + 6
end

local consecutive = 0
if first < #ARGV or final then
  -- Only what changes is written, and as text where the text is there: turning numbers into text is what costs here.
  local s = redis.call('HMGET', KEYS[2], 'total_deliveries', 'successful_deliveries', 'failed_deliveries',
    'last_delivery_at', 'last_success_at', 'last_failure_at', 'response_time_ms_total', 'consecutive_failures', state)
  local success, failed, took = 0, 0, tonumber(s[7]) or 0
  local last, last_success, last_failure
  local before = tonumber(s[8])
  consecutive = before or 0
  for i = first, #ARGV, 6 do
    local at = ARGV[i + 2]
    took = took + tonumber(ARGV[i + 3])
    last = at
    if ARGV[i + 1] == '1' then
      success, consecutive, last_success = success + 1, 0, at
    else
      failed, last_failure = failed + 1, at
    end
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
  if final then put(state, (tonumber(s[9]) or 0) + 1) end
  redis.call('HSET', KEYS[2], unpack(set))
end

redis.call('HSET', KEYS[5], event, ARGV[8])

-- The sorted sets are trimmed in strides: a cap may be exceeded by a 32nd.
local function excess(key, cap)
  local over = redis.call('ZCARD', key) - cap
  return over > cap / 32 and math.min(over, 1000) or 0
end

local function forget(key, n)
  local victims = redis.call('ZRANGE', key, 0, n - 1)
  redis.call('HDEL', KEYS[5], unpack(victims))
  redis.call('ZREM', KEYS[6], unpack(victims))
  redis.call('ZREM', KEYS[7], unpack(victims))
  for i = 1, #victims do
    victims[i] = ARGV[1] .. '/' .. victims[i]
  end
  redis.call('ZREM', KEYS[8], unpack(victims))
end

if not old then
  redis.call('ZADD', KEYS[6], ARGV[7], event)
  redis.call('ZADD', KEYS[8], ARGV[7], ARGV[1] .. '/' .. event)
  local over = excess(KEYS[8], tonumber(ARGV[14]))
  if over > 0 then
    redis.call('ZREMRANGEBYRANK', KEYS[8], 0, over - 1)
  end
end

-- Ended deliveries make room first: an open one is still needed, by people and to recognise repetitions.
if final then
  redis.call('ZADD', KEYS[7], ARGV[6], event)
  local over = excess(KEYS[7], tonumber(ARGV[12]))
  if over > 0 then
    forget(KEYS[7], over)
  end
elseif old_final then
  redis.call('ZREM', KEYS[7], event)
end
if not old then
  local over = excess(KEYS[6], tonumber(ARGV[13]))
  if over > 0 then
    forget(KEYS[6], over)
  end
end
return state == 'exhausted' and consecutive or 0
