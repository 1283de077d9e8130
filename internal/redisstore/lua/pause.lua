-- Lets nothing be sent to a webhook for a while, or for the rest of a longer pause that is in force. Of a webhook that is
-- not in the registry nothing is kept (D10).
-- KEYS  1 registry  2 pause
-- ARGV  1 webhook id  2 length in ms
-- returns the rest of the pause in ms, 0 when there is no such webhook

if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return 0
end
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local ends, of = string.match(redis.call('GET', KEYS[2]) or '', '^(%d+):?(%d*)')
local before = (tonumber(ends) or 0) - now
local length = tonumber(ARGV[2])
if before >= length and before <= (tonumber(of) or before) then -- more is left than there was when the clock has gone back
  return before
end
redis.call('SET', KEYS[2], string.format('%.0f:%.0f', now + length, length), 'PX', ARGV[2])
return length
