package redisstore

// DefaultPrefix gives the original's key names (CONTRACT 5.1).
const DefaultPrefix = "webhooks"

// keys makes every key this package uses; no key text stands anywhere else. With the default prefix the keys of CONTRACT
// 5.1 are literally the original's. With a prefix that is a hash tag, such as "{webhooks}", all keys fall into one hash
// slot, which Redis Cluster demands of the keys of one script.
type keys struct{ prefix string }

// Of the original:

// registry is a hash: webhook id → webhook JSON.
func (k keys) registry() string { return k.prefix + ":registry" }

// active is a set: the ids of webhooks with active:true.
func (k keys) active() string { return k.prefix + ":active" }

// stats is a hash: counters and times of a webhook.
func (k keys) stats(id string) string { return k.prefix + ":stats:" + id }

// attempts is a list: attempt JSON of a webhook, newest first.
func (k keys) attempts(id string) string { return k.prefix + ":attempts:" + id }

// deliveryLog is a list: log entry JSON, newest first.
func (k keys) deliveryLog() string { return k.prefix + ":delivery_log" }

// receiver is a string: receiver JSON, with a lifetime.
func (k keys) receiver(id string) string { return k.receiverPrefix() + ":" + id }

// receivers is a set: receiver ids, which may have expired.
func (k keys) receivers() string { return k.receiverPrefix() + "s:active" }

// receiverPrefix is apart from the other keys in the original, but must share their slot under a hash tag.
func (k keys) receiverPrefix() string {
	if k.prefix == DefaultPrefix {
		return "webhook_test_receiver"
	}
	return k.prefix + ":test_receiver"
}

// Of Holdfast:

// revision is a string: the registry's revision, an integer.
func (k keys) revision() string { return k.prefix + ":revision" }

// revisions is a hash: webhook id → revision of its last change. Entries that the original wrote have none.
func (k keys) revisions() string { return k.prefix + ":revisions" }

// digest is a string: "<count>:<hex>" over the entries of revisions.
func (k keys) digest() string { return k.prefix + ":digest" }

// changes is a stream: one entry {rev, id, op} for each change, its id "<rev>-0".
func (k keys) changes() string { return k.prefix + ":changes" }

// incarnation is a string: "<born>:<id>:<1 when complete, else 0>:<reason>"; see Position.
func (k keys) incarnation() string { return k.prefix + ":incarnation" }

// removed is a hash: webhook id → revision of its removal, for those removed while the registry is not complete.
func (k keys) removed() string { return k.prefix + ":removed" }

// hashes is a hash: webhook id → hash of the JSON that was written, by which changes made by others are found.
func (k keys) hashes() string { return k.prefix + ":hashes" }

// alerts is a hash: alert id → "<raised ms>|<updated ms>|<count>|<resolved ms>|<JSON of the rest>".
func (k keys) alerts() string { return k.prefix + ":alerts" }

// consistency is a list: reports of consistency checks as JSON, newest first.
func (k keys) consistency() string { return k.prefix + ":consistency" }

// nodes is a hash: node id → "<heartbeat ms>|<node JSON>".
func (k keys) nodes() string { return k.prefix + ":nodes" }

// event is a string: a claim or the mark of an event, with a lifetime.
func (k keys) event(id string) string { return k.prefix + ":event:" + id }

// eventStream is a stream: events that producers hand over, with a consumer group; see ReadEntries.
func (k keys) eventStream() string { return k.prefix + ":events" }

// refusedEvents is a stream: entries of eventStream that can never be accepted, each with its "entry" id and "reason".
func (k keys) refusedEvents() string { return k.prefix + ":events:refused" }

// recovery is a string: the node that looks for what was missed, with a lifetime.
func (k keys) recovery() string { return k.prefix + ":recovery" }

// deliveries is a sorted set: "<webhook id>/<event id>" by creation time.
func (k keys) deliveries() string { return k.prefix + ":deliveries" }

// deliveriesOf is a sorted set: the event ids of a webhook's deliveries by creation time.
func (k keys) deliveriesOf(id string) string { return k.prefix + ":deliveries:" + id }

// records is a hash: event id → "<attempts>|<state>|<updated ms>|<delivery JSON>" of a webhook.
func (k keys) records(id string) string { return k.prefix + ":records:" + id }

// finals is a sorted set: the event ids of a webhook's ended deliveries by the time of their end.
func (k keys) finals(id string) string { return k.prefix + ":finals:" + id }

// requests is a list: the requests of a test receiver, newest first, with the receiver's lifetime.
func (k keys) requests(id string) string { return k.receiver(id) + ":requests" }

// receiverChanges is a pub/sub channel: a message without content for each request of a test receiver.
func (k keys) receiverChanges(id string) string { return k.receiver(id) + ":changes" }

// sessions is a sorted set: the ids of monitor sessions by their last use, ms.
func (k keys) sessions() string { return k.prefix + ":sessions" }

// sessionRequests is a list: the requests of a monitor session, newest first, with a lifetime.
func (k keys) sessionRequests(id string) string { return k.prefix + ":session:" + id }

// The keys of each script, in the order its head lists them.

func (k keys) forWrite(id string) []string {
	return []string{
		k.registry(), k.active(), k.revisions(), k.digest(), k.revision(), k.changes(), k.incarnation(), k.removed(),
		k.hashes(), k.stats(id),
	}
}

func (k keys) forRead(id string) []string {
	return []string{k.registry(), k.active(), k.revisions(), k.stats(id)}
}

func (k keys) forRemove(id string) []string {
	return []string{
		k.registry(), k.active(), k.revisions(), k.digest(), k.revision(), k.changes(), k.incarnation(), k.removed(),
		k.hashes(), k.stats(id), k.attempts(id), k.deliveriesOf(id), k.records(id), k.finals(id),
		k.held(id), k.latencies(id), k.seriesOf(id), k.pause(id), k.pace(id),
	}
}

func (k keys) forChanges() []string {
	return []string{k.revision(), k.digest(), k.incarnation(), k.changes(), k.registry(), k.revisions()}
}

// forPosition are the keys whose values make a Position.
func (k keys) forPosition() []string { return []string{k.revision(), k.digest(), k.incarnation()} }

func (k keys) forMark() []string {
	return []string{k.revisions(), k.digest(), k.revision(), k.changes(), k.incarnation(), k.removed()}
}

func (k keys) forAudit() []string {
	return []string{k.registry(), k.active(), k.revisions(), k.hashes()}
}

func (k keys) forInspect() []string { return []string{k.registry(), k.active(), k.revisions()} }

func (k keys) forRepair() []string { return []string{k.registry(), k.active()} }

func (k keys) forDigest() []string { return []string{k.digest(), k.revision()} }

func (k keys) forPage() []string { return []string{k.registry(), k.revisions()} }

func (k keys) forRecord(id string) []string {
	return []string{
		k.registry(), k.stats(id), k.attempts(id), k.deliveryLog(), k.records(id), k.deliveriesOf(id), k.finals(id),
		k.deliveries(), k.held(id), k.latencies(id), k.seriesOf(id), k.series(),
	}
}

func (k keys) forResetFailures(id string) []string { return []string{k.registry(), k.stats(id)} }

func (k keys) forCreateReceiver(id string, listed []string) []string {
	all := []string{k.receivers(), k.receiver(id)}
	for _, other := range listed {
		all = append(all, k.receiver(other))
	}
	return all
}

func (k keys) forAddSessionRequest(id, other string) []string {
	return []string{k.sessions(), k.sessionRequests(id), k.sessionRequests(other)}
}

func (k keys) forAddRequest(id string) []string {
	return []string{k.receiver(id), k.requests(id), k.receiverChanges(id)}
}

// Held deliveries, statistics over time and pacing:

// held is a sorted set: the event ids of a webhook's held deliveries by creation time.
func (k keys) held(id string) string { return k.prefix + ":held:" + id }

// latencies is a hash: class of response time → attempts of a webhook.
func (k keys) latencies(id string) string { return k.prefix + ":latencies:" + id }

// seriesOf is a hash: "h:<hour>", "d:<day>" or "t" → counters of a webhook.
func (k keys) seriesOf(id string) string { return k.prefix + ":series:" + id }

// series is the same over all webhooks.
func (k keys) series() string { return k.prefix + ":series" }

// pause is a string: until when nothing is to be sent to a webhook, ms, and how long from when it was said, with a lifetime.
func (k keys) pause(id string) string { return k.prefix + ":pause:" + id }

// pace is a string: when a webhook's next attempt is due by its rate, ms, with a lifetime.
func (k keys) pace(id string) string { return k.prefix + ":pace:" + id }

func (k keys) forPause(id string) []string { return []string{k.registry(), k.pause(id)} }

func (k keys) forAdmit(id string) []string { return []string{k.registry(), k.pause(id), k.pace(id)} }

// deliveryChanges is a pub/sub channel: "<webhook id>/<event id>" of each record that changes.
func (k keys) deliveryChanges() string { return k.prefix + ":deliveries:changes" }

// state is a string: "<since ms>|<digest of the state>" of a subject that nodes agree on, with a lifetime.
func (k keys) state(digest string) string { return k.prefix + ":state:" + digest }

// brokerJob is a hash of the job broker, which knows no prefix: what it keeps of a job (CONTRACT 5.2).
func brokerJob(id string) string { return "job:" + id }
