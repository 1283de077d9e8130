-- Writes a webhook: configuration, active set, statistics, revision, change entry, digest (DESIGN 4 step 2).
-- KEYS  1 registry  2 active  3 revisions  4 digest  5 revision  6 changes  7 incarnation  8 removed  9 hashes
--       10 stats of the webhook
-- ARGV  1 webhook id  2 webhook JSON  3 "1" when active  4 cap of changes  5 consecutive failures to begin with
--       6 id of a new incarnation
-- returns the new revision (string)

local id = ARGV[1]
local membership = ARGV[3] == '1' and 'SADD' or 'SREM'

must_be(KEYS[1], 'hash')
must_be(KEYS[2], 'set')
must_be(KEYS[3], 'hash')
must_be(KEYS[4], 'string')
must_be(KEYS[5], 'string')
must_be(KEYS[6], 'stream')
must_be(KEYS[7], 'string')
must_be(KEYS[8], 'hash')
must_be(KEYS[9], 'hash')
must_be(KEYS[10], 'hash')
must_allow('HSET', KEYS[1], id, '')
must_allow(membership, KEYS[2], id)
must_allow('HSET', KEYS[3], id, '')
must_allow('SET', KEYS[4], '')
must_allow('SET', KEYS[5], '')
must_allow('XADD', KEYS[6], '*', 'id', id)
must_allow('SET', KEYS[7], '')
must_allow('HDEL', KEYS[8], id)
must_allow('HSET', KEYS[9], id, '')
must_allow('HSETNX', KEYS[10], 'total_deliveries', 0)

local old = redis.call('HGET', KEYS[3], id)
local d = load_digest(KEYS[4], KEYS[3])
local revision = next_revision(KEYS[5], KEYS[6])
if old then
  toggle(d, id, old)
else
  d.count = d.count + 1
end
toggle(d, id, revision)

redis.call('HSET', KEYS[1], id, ARGV[2])
redis.call(membership, KEYS[2], id)
redis.call('HSET', KEYS[3], id, revision)
redis.call('HSET', KEYS[9], id, string.sub(redis.sha1hex(ARGV[2]), 1, 16))
redis.call('HDEL', KEYS[8], id)
if not load_incarnation(KEYS[7]) then
  save_incarnation(KEYS[7], revision, ARGV[6], false, 'there was none')
end
publish(KEYS[4], KEYS[5], KEYS[6], d, revision, id, 'set', ARGV[4])
redis.call('HSETNX', KEYS[10], 'total_deliveries', 0)
redis.call('HSETNX', KEYS[10], 'successful_deliveries', 0)
redis.call('HSETNX', KEYS[10], 'failed_deliveries', 0)
redis.call('HSETNX', KEYS[10], 'consecutive_failures', ARGV[5])
return revision
