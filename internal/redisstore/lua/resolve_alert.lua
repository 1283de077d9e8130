-- Resolves an alert that is open.
-- KEYS  1 alerts
-- ARGV  1 alert id
-- returns 1 when it was open

local raised, count, json = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '^(%d+)|%d+|(%d+)|0|(.*)$')
if not raised then
  return 0
end
local t = redis.call('TIME')
local now = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))
redis.call('HSET', KEYS[1], ARGV[1], string.format('%s|%s|%s|%s|%s', raised, now, count, now, json))
return 1
