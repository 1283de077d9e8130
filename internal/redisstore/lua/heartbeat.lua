-- Stores a node with the time of Redis, so that the clocks of nodes do not matter, and drops nodes long gone. A node that
-- was seen later than now, because the clock has gone back, counts as seen now: a dead one would live on until then.
-- KEYS  1 nodes
-- ARGV  1 node id  2 node JSON  3 age in ms at which a node is dropped
-- returns the time in ms (string)

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local stamp = string.format('%.0f', now)
local nodes = redis.call('HGETALL', KEYS[1])
for i = 1, #nodes, 2 do
  local seen, rest = string.match(nodes[i + 1], '^(%d+)(|.*)$')
  local at = tonumber(seen)
  if not at or now - at > tonumber(ARGV[3]) then
    redis.call('HDEL', KEYS[1], nodes[i])
  elseif at > now then
    redis.call('HSET', KEYS[1], nodes[i], stamp .. rest)
  end
end
redis.call('HSET', KEYS[1], ARGV[1], stamp .. '|' .. ARGV[2])
return stamp
