-- Reads the nodes and the time of Redis at one moment.
-- KEYS  1 nodes
-- returns { time in ms (string), id, "<heartbeat ms>|<node JSON>", id, … }

local t = redis.call('TIME')
local out = { string.format('%.0f', t[1] * 1000 + math.floor(t[2] / 1000)) }
for _, v in ipairs(redis.call('HGETALL', KEYS[1])) do
  out[#out + 1] = v
end
return out
