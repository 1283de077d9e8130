-- Removes consumers that were not heard of for long and hold nothing. With one that holds entries these would be forgotten:
-- it stays until others have claimed them.
-- KEYS  1 stream
-- ARGV  1 group  2 ms
-- returns how many were removed

local removed = 0
for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local is = {}
  for i = 1, #consumer, 2 do
    is[consumer[i]] = consumer[i + 1]
  end
  if is['pending'] == 0 and is['idle'] > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], is['name'])
    removed = removed + 1
  end
end
return removed
