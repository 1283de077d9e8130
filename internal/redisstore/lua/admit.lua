-- Tells whether a webhook may have an attempt now: a token bucket as the generic cell rate algorithm has it. What is kept
-- is the theoretical arrival time, when the bucket will be full again; each attempt that is let through moves it on by the
-- interval of the rate, and is due one burst before it. A wait takes nothing: who waited asks again, so that nobody who
-- gives up meanwhile leaves a gap.
-- KEYS  1 registry  2 pause  3 pace
-- ARGV  1 webhook id  2 attempts per second, 0 for as many as there are  3 longest wait in ms
--       4 the time in ms, in tests only, else ''
-- returns the wait in µs

local now = tonumber(ARGV[4])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + t[2] / 1000
end
local rate = tonumber(ARGV[2])
local ends, length = string.match(redis.call('GET', KEYS[2]) or '', '^(%d+):?(%d*)')
local paused = tonumber(ends) or 0
if paused - now > (tonumber(length) or paused) then
  paused = 0 -- it began later than now: the clock has gone back, and what is left of it is not known
end
if rate == 0 and paused <= now or redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return 0
end

local wait, full = paused - now, 0
if rate > 0 then
  local interval = 1000 / rate
  local ahead = (math.max(1, rate) - 1) * interval
  full = math.max(tonumber(redis.call('GET', KEYS[3])) or 0, now)
  if paused > now then
    full = math.max(full, paused + ahead) -- no burst when a pause ends
  end
  -- It is never later than this, unless the clock has gone back or the rate has changed.
  full = math.min(full, math.max(paused, now) + ahead + interval)
  wait = full - ahead - now
  if wait <= 0 then
    full = full + interval
  end
  local keep = ARGV[4] == '' and math.ceil(full - now) + 1 or 2 * ARGV[3]
  redis.call('SET', KEYS[3], string.format('%.3f', full), 'PX', keep)
end
return math.ceil(math.min(math.max(wait, 0), tonumber(ARGV[3])) * 1000)
