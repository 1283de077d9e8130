-- Raises an alert, or counts it when it is open. Over the cap the longest resolved one goes, else the oldest.
-- KEYS  1 alerts
-- ARGV  1 alert id  2 JSON  3 cap
-- returns 1 when it was not open

local t = redis.call('TIME')
local now = string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000))
local raised, count, resolved = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '', '^(%d+)|%d+|(%d+)|(%d+)|')
local first = resolved ~= '0'
if first then
  raised, count = now, 0
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%s|%s|%.0f|0|%s', raised, now, count + 1, ARGV[2]))
local excess = redis.call('HLEN', KEYS[1]) - tonumber(ARGV[3])
while excess > 0 do
  local all, victim, lowest = redis.call('HGETALL', KEYS[1]), nil, nil
  for i = 1, #all, 2 do
    if all[i] ~= ARGV[1] then
      local began, ended = string.match(all[i + 1], '^(%d+)|%d+|%d+|(%d+)|')
      local weight = 0 -- what cannot be read goes first, then what is resolved, then what is open
      if ended and ended ~= '0' then
        weight = tonumber(ended)
      elseif ended then
        weight = tonumber(began) + 2 ^ 52
      end
      if not lowest or weight < lowest then
        victim, lowest = all[i], weight
      end
    end
  end
  redis.call('HDEL', KEYS[1], victim)
  excess = excess - 1
end
return first and 1 or 0
