-- Counts deliveries of one webhook by state without moving their records.
-- KEYS  1 records
-- ARGV  1 event type as its field stands in the JSON, '' for any  2… event ids
-- returns a state, how many of them have a record in that state that fits, the next state, …

local counts = {}
for i = 2, #ARGV do
  local record = redis.call('HGET', KEYS[1], ARGV[i])
  if record and (ARGV[1] == '' or string.find(record, ARGV[1], 1, true)) then
    local state = string.match(record, '^%d+|(%a+)|') or ''
    counts[state] = (counts[state] or 0) + 1
  end
end
local flat = {}
for state, n in pairs(counts) do
  flat[#flat + 1] = state
  flat[#flat + 1] = n
end
return flat
