-- Removes a webhook and everything kept under its id. Leftovers of a webhook that is not in the registry go too. A node may
-- show a webhook that the registry does not have, after a wipe or a restore; so the removal is told even when there is
-- nothing to remove, and noted as long as the registry is not complete.
-- KEYS  1 registry  2 active  3 revisions  4 digest  5 revision  6 changes  7 incarnation  8 removed  9 hashes
--       10… every key under the webhook's id: stats, attempts, deliveries, records, finals
-- ARGV  1 webhook id  2 cap of changes  3 id of a new incarnation
-- returns { new revision (string), 1 when it existed }

local id = ARGV[1]

must_be(KEYS[1], 'hash')
must_be(KEYS[2], 'set')
must_be(KEYS[3], 'hash')
must_be(KEYS[4], 'string')
must_be(KEYS[5], 'string')
must_be(KEYS[6], 'stream')
must_be(KEYS[7], 'string')
must_be(KEYS[8], 'hash')
must_be(KEYS[9], 'hash')
must_allow('HDEL', KEYS[1], id)
must_allow('SREM', KEYS[2], id)
must_allow('HDEL', KEYS[3], id)
must_allow('SET', KEYS[4], '')
must_allow('SET', KEYS[5], '')
must_allow('XADD', KEYS[6], '*', 'id', id)
must_allow('SET', KEYS[7], '')
must_allow('HSET', KEYS[8], id, '')
must_allow('HDEL', KEYS[9], id)
for i = 10, #KEYS do
  must_allow('UNLINK', KEYS[i])
end

local old = redis.call('HGET', KEYS[3], id)
local known = old or redis.call('HEXISTS', KEYS[1], id) == 1
local born, _, complete = load_incarnation(KEYS[7])

local d = load_digest(KEYS[4], KEYS[3])
local revision = next_revision(KEYS[5], KEYS[6])
if old then
  toggle(d, id, old)
  d.count = d.count - 1
end
redis.call('HDEL', KEYS[1], id)
redis.call('HDEL', KEYS[3], id)
redis.call('HDEL', KEYS[9], id)
if not complete then
  redis.call('HSET', KEYS[8], id, revision)
end
if not born then
  save_incarnation(KEYS[7], revision, ARGV[3], false, 'there was none')
end
publish(KEYS[4], KEYS[5], KEYS[6], d, revision, id, 'remove', ARGV[2])
redis.call('SREM', KEYS[2], id)
for i = 10, #KEYS do
  redis.call('UNLINK', KEYS[i])
end
return { revision, known and 1 or 0 }
