package redisstore

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// slot is CLUSTER KEYSLOT: CRC-16/XMODEM of the key's hash tag, or of the key.
func slot(key string) uint16 {
	if open := strings.IndexByte(key, '{'); open >= 0 {
		if end := strings.IndexByte(key[open+1:], '}'); end > 0 {
			key = key[open+1 : open+1+end]
		}
	}
	var crc uint16
	for i := range len(key) {
		crc ^= uint16(key[i]) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
	}
	return crc % 16384
}

func scripts(k keys) map[string][]string {
	return map[string][]string{
		"write": k.forWrite("wh_1"), "read": k.forRead("wh_1"), "remove": k.forRemove("wh_1"), "changes": k.forChanges(), "page": k.forPage(),
		"record": k.forRecord("wh_1"), "reset failures": k.forResetFailures("wh_1"),
		"create receiver": k.forCreateReceiver("r", []string{"s", "t"}), "add request": k.forAddRequest("r"), "add session request": k.forAddSessionRequest("s", "t"),
		"pause": k.forPause("wh_1"), "admit": k.forAdmit("wh_1"),
		"one key each": {k.nodes(), k.event("e"), k.records("wh_1"), k.deliveries(), k.deliveriesOf("wh_2"), k.requests("r")},
		"together":     k.forPosition(), "mark": k.forMark(), "audit": k.forAudit(), "inspect": k.forInspect(),
		"repair": k.forRepair(), "digest": k.forDigest(), "alone": {k.alerts(), k.consistency(), k.state("d")},
	}
}

func TestKeysShareASlotUnderAHashTag(t *testing.T) {
	t.Parallel()
	srv := startRedis(t)
	for name, all := range scripts(keys{"{webhooks}"}) {
		for _, key := range all {
			require.Equal(t, slot("webhooks"), slot(key), "%s: %s", name, key)
		}
	}
	for _, key := range []string{"webhooks", "{webhooks}:registry", "a{b}c", "a{}c", "{x"} {
		n, err := srv.client.ClusterKeySlot(t.Context(), key).Result()
		if err != nil { // a server without cluster mode does not tell
			require.ErrorContains(t, err, "cluster support disabled")
			break
		}
		require.Equal(t, n, int64(slot(key)))
	}
}

func TestKeysAreTheOriginalsByDefault(t *testing.T) {
	t.Parallel()
	k := keys{DefaultPrefix}
	require.Equal(t, []string{
		"webhooks:registry", "webhooks:active", "webhooks:stats:wh_1", "webhooks:attempts:wh_1", "webhooks:delivery_log",
		"webhook_test_receiver:r", "webhook_test_receivers:active",
	}, []string{
		k.registry(), k.active(), k.stats("wh_1"), k.attempts("wh_1"), k.deliveryLog(), k.receiver("r"), k.receivers(),
	})
}

// TestOnACluster runs every operation against a server in cluster mode, which refuses any script or command whose keys
// are in different slots.
func TestOnACluster(t *testing.T) {
	t.Parallel()
	srv := startRedis(t, "--cluster-enabled", "yes", "--cluster-config-file", t.TempDir()+"/nodes.conf")
	ctx := t.Context()
	require.NoError(t, srv.client.ClusterAddSlotsRange(ctx, 0, 16383).Err())
	require.Eventually(t, func() bool {
		return strings.Contains(srv.client.ClusterInfo(ctx).Val(), "cluster_state:ok")
	}, waitLong, waitTick)
	require.Equal(t, int64(slot("{webhooks}:registry")), srv.client.ClusterKeySlot(ctx, "{webhooks}:registry").Val())
	client, err := Connect("redis+cluster://" + srv.addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = client.Close() })
	store := New(client, Options{Prefix: "{webhooks}"})
	for _, name := range []string{
		"Ping", "WriteWebhook", "ReadWebhook", "ActiveIDs", "ResetFailures", "Position", "Changes", "Changes full", "Everything",
		"MarkComplete", "MarkIncomplete", "Distrust", "Audit", "RepairActiveSet", "RebuildDigest", "RaiseAlert", "ResolveAlert",
		"Alerts", "SaveReport", "Reports", "Heartbeat",
		"Nodes", "RemoveNode", "BeginEvents", "BeginEvents none", "ReleaseEvents", "SettleEvents", "EventMark", "Record", "Settled",
		"Delivery", "ListDeliveries", "ListDeliveries of one webhook", "ListDeliveries of one", "Stats", "Attempts", "Log",
		"Held", "CountDeliveries", "CountDeliveries of one webhook", "CountDeliveries of a state", "CountByState", "Pause", "Paused", "Admit",
		"Series", "Totals",
		"CreateReceiver", "Receiver", "Receivers", "AddReceivedRequest", "ReceivedRequests", "ClearReceivedRequests",
		"DeleteReceiver", "RemoveWebhook",
	} {
		require.NoError(t, operations[name](ctx, store), name)
	}
	requireUnavailable(t, "without a hash tag", operations["WriteWebhook"](ctx, New(client, Options{})))
}
