-- Sets the consecutive failures of a webhook to zero, if the webhook exists.
-- KEYS  1 registry  2 stats
-- ARGV  1 webhook id
-- returns 1, or 0 when there is no such webhook

if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  return 0
end
redis.call('HSET', KEYS[2], 'consecutive_failures', 0)
return 1
