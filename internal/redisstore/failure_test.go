package redisstore

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	holdfast "github.com/emprops/holdfast"
)

// operations is every method that asks Redis.
var operations = map[string]func(context.Context, *Store) error{
	"Ping": func(ctx context.Context, s *Store) error { return s.Ping(ctx) },
	"WriteWebhook": func(ctx context.Context, s *Store) error {
		_, err := s.WriteWebhook(ctx, testWebhook("wh_1"))
		return err
	},
	"RemoveWebhook": func(ctx context.Context, s *Store) error { _, _, err := s.RemoveWebhook(ctx, "wh_1"); return err },
	"ReadWebhook":   func(ctx context.Context, s *Store) error { _, _, err := s.ReadWebhook(ctx, "wh_1"); return err },
	"ActiveIDs":     func(ctx context.Context, s *Store) error { _, err := s.ActiveIDs(ctx); return err },
	"ResetFailures": func(ctx context.Context, s *Store) error { return s.ResetFailures(ctx, "wh_1") },
	"Position":      func(ctx context.Context, s *Store) error { _, err := s.Position(ctx); return err },
	"Changes":       func(ctx context.Context, s *Store) error { _, err := s.Changes(ctx, 1); return err },
	"Changes full":  func(ctx context.Context, s *Store) error { _, err := s.Changes(ctx, 0); return err },
	"Everything":    func(ctx context.Context, s *Store) error { _, err := s.Everything(ctx, 0); return err },
	"MarkComplete": func(ctx context.Context, s *Store) error {
		at, err := s.Position(ctx)
		if err != nil {
			return err
		}
		return s.MarkComplete(ctx, at.Incarnation)
	},
	"MarkIncomplete": func(ctx context.Context, s *Store) error { return s.MarkIncomplete(ctx, "a test") },
	"Distrust":       func(ctx context.Context, s *Store) error { return s.Distrust(ctx, "x", "a test") },
	"Audit":          func(ctx context.Context, s *Store) error { _, err := s.Audit(ctx); return err },
	"RepairActiveSet": func(ctx context.Context, s *Store) error {
		_, err := s.RepairActiveSet(ctx, []string{"wh_1"})
		return err
	},
	"RebuildDigest": func(ctx context.Context, s *Store) error { return s.RebuildDigest(ctx) },
	"RaiseAlert": func(ctx context.Context, s *Store) error {
		_, err := s.RaiseAlert(ctx, holdfast.Alert{Kind: holdfast.AlertDrift, Subject: "x"})
		return err
	},
	"ResolveAlert":     func(ctx context.Context, s *Store) error { _, err := s.ResolveAlert(ctx, "drift:x"); return err },
	"Alerts":           func(ctx context.Context, s *Store) error { _, err := s.Alerts(ctx); return err },
	"SaveReport":       func(ctx context.Context, s *Store) error { return s.SaveReport(ctx, holdfast.ConsistencyReport{}) },
	"Reports":          func(ctx context.Context, s *Store) error { _, err := s.Reports(ctx, 5); return err },
	"Heartbeat":        func(ctx context.Context, s *Store) error { return s.Heartbeat(ctx, Node{ID: "n"}) },
	"Nodes":            func(ctx context.Context, s *Store) error { _, _, err := s.Nodes(ctx); return err },
	"RemoveNode":       func(ctx context.Context, s *Store) error { return s.RemoveNode(ctx, "n") },
	"BeginEvents":      func(ctx context.Context, s *Store) error { _, _, err := s.BeginEvents(ctx, []string{"e"}); return err },
	"BeginEvents none": func(ctx context.Context, s *Store) error { _, _, err := s.BeginEvents(ctx, nil); return err },
	"SettleEvents":     func(ctx context.Context, s *Store) error { return s.SettleEvents(ctx, []EventMark{{EventID: "e"}}) },
	"ReleaseEvents":    func(ctx context.Context, s *Store) error { return s.ReleaseEvents(ctx, []string{"e"}) },
	"EventMark":        func(ctx context.Context, s *Store) error { _, err := s.EventMark(ctx, "e"); return err },
	"Record":           func(ctx context.Context, s *Store) error { return s.Record(ctx, []Record{delivered("wh_1", "e", 5)}) },
	"Settled": func(ctx context.Context, s *Store) error {
		_, err := s.Settled(ctx, []DeliveryKey{{"wh_1", "e"}})
		return err
	},
	"Delivery": func(ctx context.Context, s *Store) error { _, err := s.Delivery(ctx, "wh_1", "e"); return err },
	"ListDeliveries": func(ctx context.Context, s *Store) error {
		_, _, err := s.ListDeliveries(ctx, DeliveryFilter{}, 0, "")
		return err
	},
	"ListDeliveries of one webhook": func(ctx context.Context, s *Store) error {
		_, _, err := s.ListDeliveries(ctx, DeliveryFilter{WebhookID: "wh_1", State: holdfast.DeliveryDelivered}, 0, "")
		return err
	},
	"ListDeliveries of one": func(ctx context.Context, s *Store) error {
		_, _, err := s.ListDeliveries(ctx, DeliveryFilter{WebhookID: "wh_1", EventID: "e"}, 0, "")
		return err
	},
	"Held": func(ctx context.Context, s *Store) error { _, _, err := s.Held(ctx, "wh_1", "", 0); return err },
	"CountDeliveries": func(ctx context.Context, s *Store) error {
		_, _, err := s.CountDeliveries(ctx, DeliveryFilter{})
		return err
	},
	"CountDeliveries of one webhook": func(ctx context.Context, s *Store) error {
		_, _, err := s.CountDeliveries(ctx, DeliveryFilter{WebhookID: "wh_1"})
		return err
	},
	"CountDeliveries of a state": func(ctx context.Context, s *Store) error {
		_, _, err := s.CountDeliveries(ctx, DeliveryFilter{WebhookID: "wh_1", State: holdfast.DeliveryDelivered})
		return err
	},
	"CountByState": func(ctx context.Context, s *Store) error {
		_, _, err := s.CountByState(ctx, DeliveryFilter{})
		return err
	},
	"Pause":          func(ctx context.Context, s *Store) error { return s.Pause(ctx, "wh_1", time.Now().Add(time.Minute)) },
	"Paused":         func(ctx context.Context, s *Store) error { _, err := s.Paused(ctx, "wh_1"); return err },
	"Admit":          func(ctx context.Context, s *Store) error { _, err := s.Admit(ctx, "wh_1", 5); return err },
	"Series":         func(ctx context.Context, s *Store) error { _, err := s.Series(ctx, "wh_1", Hourly, 5); return err },
	"Totals":         func(ctx context.Context, s *Store) error { _, err := s.Totals(ctx); return err },
	"Stats":          func(ctx context.Context, s *Store) error { _, err := s.Stats(ctx, "wh_1"); return err },
	"Attempts":       func(ctx context.Context, s *Store) error { _, err := s.Attempts(ctx, "wh_1", 5); return err },
	"Log":            func(ctx context.Context, s *Store) error { _, err := s.Log(ctx, 5); return err },
	"CreateReceiver": func(ctx context.Context, s *Store) error { _, err := s.CreateReceiver(ctx, "r"); return err },
	"Receiver":       func(ctx context.Context, s *Store) error { _, err := s.Receiver(ctx, "r"); return err },
	"Receivers":      func(ctx context.Context, s *Store) error { _, err := s.Receivers(ctx); return err },
	"DeleteReceiver": func(ctx context.Context, s *Store) error { return s.DeleteReceiver(ctx, "r") },
	"AddReceivedRequest": func(ctx context.Context, s *Store) error {
		return s.AddReceivedRequest(ctx, "r", ReceivedRequest{ID: "1"})
	},
	"ReceivedRequests":      func(ctx context.Context, s *Store) error { _, err := s.ReceivedRequests(ctx, "r", 5); return err },
	"ClearReceivedRequests": func(ctx context.Context, s *Store) error { _, err := s.ClearReceivedRequests(ctx, "r"); return err },
}

func requireUnavailable(t *testing.T, name string, err error) {
	t.Helper()
	requireCode(t, holdfast.CodeUnavailable, err, name)
	require.Equal(t, "storage is unavailable", holdfast.ErrorMessage(err), name)
}

func TestD09_FailuresAreNeverEmptiness(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	for name, do := range operations { // everything exists, so that a denied command is reached
		if !strings.HasPrefix(name, "Remove") && !strings.HasPrefix(name, "Delete") && !strings.HasPrefix(name, "Clear") &&
			!strings.HasPrefix(name, "EventMark") {
			err := do(ctx, store)
			require.NotEqual(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err), name)
		}
	}
	_, err := store.CreateReceiver(ctx, "r")
	require.NoError(t, err)
	write(t, store, testWebhook("wh_1"))
	require.NoError(t, store.Record(ctx, []Record{delivered("wh_1", "e", 5)}))

	// Denied: everything, then each kind of command by itself.
	limited := srv.deny(t, "-@all", "+hello", "+client")
	for name, do := range operations {
		requireUnavailable(t, name+" denied", do(ctx, New(limited, Options{})))
	}
	for rule, names := range map[string][]string{
		"-hget":             {"ReadWebhook", "Delivery", "Settled", "Record", "ListDeliveries of one", "CountDeliveries of a state", "CountByState"},
		"-hmget":            {"ListDeliveries", "Changes full", "ListDeliveries of one webhook"},
		"-hgetall":          {"ReadWebhook", "Stats", "Nodes", "Series", "Totals", "Alerts"},
		"-smembers":         {"ActiveIDs", "Receivers", "CreateReceiver"},
		"-sismember":        {"ReadWebhook", "Audit"},
		"-sscan":            {"Audit"},
		"-hscan":            {"Changes full", "Everything", "Audit", "RebuildDigest"},
		"-xrange":           {"Changes"},
		"-mget":             {"Position", "BeginEvents", "BeginEvents none"},
		"-zrevrangebyscore": {"CountByState", "ListDeliveries", "ListDeliveries of one webhook"},
		"-lrange":           {"Attempts", "Log", "ReceivedRequests", "Reports"},
		"-get":              {"EventMark", "Receiver", "ReceivedRequests", "ReleaseEvents", "ClearReceivedRequests", "Pause", "Admit"},
		"-zcard":            {"CountDeliveries", "CountByState", "Stats"},
		"-zcount":           {"CountDeliveries of one webhook"},
		"-zrangebyscore":    {"Held"},
		"-set":              {"Admit"},
		"-llen":             {"Receiver", "Receivers", "ClearReceivedRequests"},
		"-pttl":             {"AddReceivedRequest"},
		"-hexists":          {"Record", "ResetFailures", "Pause", "Admit"},
	} {
		limited := New(srv.deny(t, rule), Options{})
		for _, name := range names {
			requireUnavailable(t, name+" with "+rule, operations[name](ctx, limited))
		}
	}

	// Full: writes fail, reads go on.
	require.NoError(t, srv.client.ConfigSet(ctx, "maxmemory", "1").Err())
	for _, name := range []string{"WriteWebhook", "Heartbeat", "BeginEvents", "SettleEvents", "AddReceivedRequest"} {
		requireUnavailable(t, name+" full", operations[name](ctx, store))
	}
	requireUnavailable(t, "Record full", store.Record(ctx, []Record{delivered("wh_1", "new", 5)}))
	for _, name := range []string{"ReadWebhook", "Changes", "Changes full", "Settled", "ListDeliveries", "DeleteReceiver"} {
		require.NoError(t, operations[name](ctx, store), name+" full")
	}
	require.NoError(t, srv.client.ConfigSet(ctx, "maxmemory", "0").Err())

	// A replica that follows nobody reachable: read-only.
	require.NoError(t, srv.client.Do(ctx, "REPLICAOF", "127.0.0.1", "1").Err())
	for _, name := range []string{"WriteWebhook", "RemoveWebhook", "BeginEvents", "DeleteReceiver"} {
		requireUnavailable(t, name+" read-only", operations[name](ctx, store))
	}
	requireUnavailable(t, "Record read-only", store.Record(ctx, []Record{delivered("wh_1", "new", 5)}))
	require.NoError(t, srv.client.Do(ctx, "REPLICAOF", "NO", "ONE").Err())

	canceled, cancel := context.WithCancel(ctx)
	cancel()
	for name, do := range operations {
		err := do(canceled, store)
		requireUnavailable(t, name+" cancelled", err)
		require.ErrorIs(t, err, context.Canceled, name)
	}
	srv.stop()
	for name, do := range operations {
		requireUnavailable(t, name+" down", do(ctx, store))
	}
}

func TestScriptsSurviveAFlush(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	write(t, store, testWebhook("wh_1"))
	for range 3 {
		require.NoError(t, store.Record(ctx, []Record{delivered("wh_1", "a", 5), delivered("wh_1", "b", 6)}))
		require.NoError(t, srv.client.ScriptFlush(ctx).Err())
		states, err := store.Settled(ctx, []DeliveryKey{{"wh_1", "a"}, {"wh_1", "b"}, {"wh_2", "a"}})
		require.NoError(t, err)
		require.Equal(t, []holdfast.DeliveryState{"delivered", "delivered", ""}, states)
		write(t, store, testWebhook("wh_1"))
	}
	require.Equal(t, int64(2), stats(t, store, "wh_1").TotalDeliveries)
}

func TestUnavailableKeepsNil(t *testing.T) {
	t.Parallel()
	require.NoError(t, unavailable("x", nil))
	err := unavailable("reading x", errors.New("dial tcp 10.0.0.1: refused"))
	require.Equal(t, "storage is unavailable", holdfast.ErrorMessage(err))
	require.ErrorContains(t, err, "reading x")
}
