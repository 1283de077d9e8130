-- Reads the states of deliveries of one webhook without moving their records.
-- KEYS  1 records
-- ARGV  event ids
-- returns the states, "" where there is no record

local out = {}
for i, event in ipairs(ARGV) do
  local record = redis.call('HGET', KEYS[1], event)
  out[i] = record and string.match(record, '^%d+|(%a+)|') or ''
end
return out
