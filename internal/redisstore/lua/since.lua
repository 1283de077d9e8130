-- Agrees on since when a subject is in a state. A state from before the present one changes nothing.
-- KEYS  1 state
-- ARGV  1 digest of the state  2 when it was seen, ms  3 lifetime in ms
-- returns since when the subject is in its present state, ms

local since, known = string.match(redis.call('GET', KEYS[1]) or '', '^(%d+)|(.*)$')
if since and (known == ARGV[1] or tonumber(since) > tonumber(ARGV[2])) then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return since
end
redis.call('SET', KEYS[1], ARGV[2] .. '|' .. ARGV[1], 'PX', ARGV[3])
return ARGV[2]
