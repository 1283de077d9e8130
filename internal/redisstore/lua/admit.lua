-- Gives the next attempt of a webhook its time: a token bucket as the generic cell rate algorithm has it. What is kept is
-- the theoretical arrival time, when the bucket will be full again; each attempt moves it on by the interval of the rate,
-- and is due one burst before it. So everybody who asks gets a time of their own, evenly spread past the burst.
-- KEYS  1 registry  2 pause  3 pace
-- ARGV  1 webhook id  2 attempts per second, 0 for as many as there are  3 the same while a pause is in force
--       4 longest wait in ms  5 the time in ms, in tests only, else ''
-- returns the wait in µs; the longest wait is no reservation

local now = tonumber(ARGV[5])
if not now then
  local t = redis.call('TIME')
  now = t[1] * 1000 + t[2] / 1000
end
local paused = tonumber(redis.call('GET', KEYS[2])) or 0
local rate = tonumber(ARGV[2])
if paused > now and rate == 0 then
  rate = tonumber(ARGV[3])
end
if rate == 0 or redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return 0
end

local interval = 1000 / rate
local ahead = (math.max(1, rate) - 1) * interval
local full = math.max(tonumber(redis.call('GET', KEYS[3])) or 0, now)
if paused > now then
  full = math.max(full, paused + ahead) -- no burst when a pause ends
end
local wait = math.max(0, full - ahead - now)
if wait >= tonumber(ARGV[4]) then
  return ARGV[4] * 1000
end
full = full + interval
redis.call('SET', KEYS[3], string.format('%.3f', full), 'PX', ARGV[5] == '' and math.ceil(full - now) + 1 or 2 * ARGV[4])
return math.ceil(wait * 1000)
