-- Marks the incarnation of the registry complete, or begins a new one that is not. Either is a change with a revision and
-- an entry in the stream, so that every node learns of it.
-- KEYS  1 revisions  2 digest  3 revision  4 changes  5 incarnation  6 removed
-- ARGV  1 "complete" or "incomplete"  2 id of the incarnation that must be there, "" for none, "*" for any
--       3 id of a new incarnation  4 cap of changes  5 reason
-- returns 1 when it is as wanted now, 0 when another incarnation is there

must_be(KEYS[1], 'hash')
must_be(KEYS[2], 'string')
must_be(KEYS[3], 'string')
must_be(KEYS[4], 'stream')
must_be(KEYS[5], 'string')
must_be(KEYS[6], 'hash')
must_allow('SET', KEYS[2], '')
must_allow('SET', KEYS[3], '')
must_allow('XADD', KEYS[4], '*', 'id', '')
must_allow('SET', KEYS[5], '')
must_allow('UNLINK', KEYS[6])

local born, id, complete = load_incarnation(KEYS[5])
local any = ARGV[2] == '*'
if not any and (id or '') ~= ARGV[2] then
  return 0
end
local completing = ARGV[1] == 'complete'
if completing and complete or not completing and any and id and not complete then
  return 1
end
local d = load_digest(KEYS[2], KEYS[1])
local revision = next_revision(KEYS[3], KEYS[4])
if completing then
  save_incarnation(KEYS[5], born or revision, id or ARGV[3], true, '')
  redis.call('UNLINK', KEYS[6]) -- what the registry does not have is gone everywhere
else
  save_incarnation(KEYS[5], revision, ARGV[3], false, ARGV[5])
end
publish(KEYS[2], KEYS[3], KEYS[4], d, revision, '', 'mark', ARGV[4])
return 1
