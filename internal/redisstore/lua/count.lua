-- Counts deliveries of one webhook without moving their records.
-- KEYS  1 records
-- ARGV  1 state, '' for any  2 event type as its field stands in the JSON, '' for any  3… event ids
-- returns how many of them have a record that fits

local n = 0
for i = 3, #ARGV do
  local record = redis.call('HGET', KEYS[1], ARGV[i])
  if record and (ARGV[1] == '' or string.match(record, '^%d+|(%a+)|') == ARGV[1]) and
    (ARGV[2] == '' or string.find(record, ARGV[2], 1, true)) then
    n = n + 1
  end
end
return n
