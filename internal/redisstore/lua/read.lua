-- Reads a webhook at one moment. A script and not MULTI, which a Redis out of memory refuses even for reads.
-- KEYS  1 registry  2 active  3 revisions  4 stats of the webhook
-- ARGV  1 webhook id
-- returns { JSON or nil, revision or nil, 1 when the active set names it, { field, value, … } of the statistics }

return {
  redis.call('HGET', KEYS[1], ARGV[1]),
  redis.call('HGET', KEYS[3], ARGV[1]),
  redis.call('SISMEMBER', KEYS[2], ARGV[1]),
  redis.call('HGETALL', KEYS[4]),
}
