package redisstore

import (
	"encoding/base64"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	holdfast "github.com/emprops/holdfast"
)

func TestWriteReadRemove(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()

	_, _, err := store.ReadWebhook(ctx, "wh_1")
	requireCode(t, holdfast.CodeNotFound, err)
	at, err := store.Position(ctx)
	require.NoError(t, err)
	require.Zero(t, at)

	w := testWebhook("wh_1")
	w.Filters = holdfast.Filters{Priorities: []float64{1, 2.5}, WorkerIDs: []string{}}
	w.Secret, w.Headers, w.Static = "s", map[string]string{"X-A": "b"}, true
	before := time.Now().UnixMicro()
	revision := write(t, store, w)
	require.Equal(t, revision, w.Revision)
	require.GreaterOrEqual(t, revision, before)

	got, active, err := store.ReadWebhook(ctx, "wh_1")
	require.NoError(t, err)
	require.True(t, active)
	require.Equal(t, w, got)

	w.Active = false
	again := write(t, store, w)
	require.Greater(t, again, revision)
	_, active, err = store.ReadWebhook(ctx, "wh_1")
	require.NoError(t, err)
	require.False(t, active)
	ids, err := store.ActiveIDs(ctx)
	require.NoError(t, err)
	require.Empty(t, ids)

	removed, existed, err := store.RemoveWebhook(ctx, "wh_1")
	require.NoError(t, err)
	require.True(t, existed)
	require.Greater(t, removed, again)
	at, err = store.Position(ctx)
	require.NoError(t, err)
	require.Equal(t, Position{
		Revision: removed, Digest: DigestText(0), Incarnation: at.Incarnation, Born: revision,
	}, at)
	require.NotEmpty(t, at.Incarnation)

	again, existed, err = store.RemoveWebhook(ctx, "wh_1")
	require.NoError(t, err)
	require.False(t, existed)
	require.Greater(t, again, removed, "nodes may show what the registry lost")
	keys, err := srv.client.Keys(ctx, "*wh_1*").Result()
	require.NoError(t, err)
	require.Empty(t, keys)
}

func TestStoredJSONIsTheOriginals(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	w := testWebhook("wh_1")
	w.Secret = "top<secret>&"
	w.Filters = holdfast.Filters{JobTypes: []string{"a"}}
	write(t, store, w)
	stored, err := srv.client.HGet(t.Context(), "webhooks:registry", "wh_1").Result()
	require.NoError(t, err)
	require.Equal(t, `{"id":"wh_1","created_at":1700000000000,"updated_at":1700000000001,"consecutive_failures":0,`+
		`"disconnected":false,"retry_config":{"max_attempts":3,"initial_delay_ms":1000,"backoff_multiplier":2,`+
		`"max_delay_ms":30000},"url":"https://example.com/hook?a=1&b=<2>","events":["job_submitted","complete_job"],`+
		`"active":true,"secret":"top<secret>&","filters":{"job_types":["a"]}}`, stored)

	stats, err := srv.client.HGetAll(t.Context(), "webhooks:stats:wh_1").Result()
	require.NoError(t, err)
	require.Equal(t, map[string]string{
		"total_deliveries": "0", "successful_deliveries": "0", "failed_deliveries": "0", "consecutive_failures": "0",
	}, stats)
	require.ElementsMatch(t, []string{
		"webhooks:registry", "webhooks:active", "webhooks:stats:wh_1", "webhooks:revision", "webhooks:revisions",
		"webhooks:digest", "webhooks:changes", "webhooks:incarnation", "webhooks:hashes",
	}, keysOf(t, srv.client))
}

func keysOf(t *testing.T, c *redis.Client) []string {
	t.Helper()
	keys, err := c.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	return keys
}

// reverser is a sealer whose output is easy to recognise.
type reverser struct{}

func (reverser) Seal(plain string) (string, error) { return "sealed:" + flip(plain), nil }
func (reverser) Open(s string) (string, error) {
	if strings.HasSuffix(s, "!") {
		return "", fmt.Errorf("the key is unknown")
	}
	return flip(strings.TrimPrefix(s, "sealed:")), nil
}
func (reverser) IsSealed(s string) bool { return strings.HasPrefix(s, "sealed:") }

func flip(s string) string {
	b := []byte(s)
	for i, j := 0, len(b)-1; i < j; i, j = i+1, j-1 {
		b[i], b[j] = b[j], b[i]
	}
	return string(b)
}

func TestCredentialsRestSealed(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{Sealer: reverser{}})
	for _, secret := range []string{"swordfish", "sealed:looks like it", ""} {
		w := testWebhook("wh_1")
		w.Secret, w.Headers = secret, map[string]string{"Authorization": "Bearer mellon"}
		write(t, store, w)
		require.Equal(t, secret, w.Secret)
		require.Equal(t, "Bearer mellon", w.Headers["Authorization"])
		stored, err := srv.client.HGet(t.Context(), "webhooks:registry", "wh_1").Result()
		require.NoError(t, err)
		require.NotContains(t, stored, "swordfish")
		require.NotContains(t, stored, "mellon")
		got := read(t, store, "wh_1")
		require.Equal(t, secret, got.Secret)
		require.Equal(t, w.Headers, got.Headers)
	}

	// Values from before a key was configured are read as they are; one that cannot be opened spoils its own entry only.
	plain := testWebhook("wh_2")
	plain.Secret = "old plain"
	write(t, New(srv.client, Options{}), plain)
	plain.ID, plain.Secret = "wh_3", "sealed:other key!"
	write(t, New(srv.client, Options{}), plain)
	require.Equal(t, "old plain", read(t, store, "wh_2").Secret)
	_, _, err := store.ReadWebhook(t.Context(), "wh_3")
	requireCode(t, holdfast.CodeInternal, err)
	feed, err := store.Changes(t.Context(), 0)
	require.NoError(t, err)
	require.Len(t, feed.Webhooks, 2)
	require.Len(t, feed.Poisoned, 1)
	require.ErrorContains(t, feed.Poisoned[0].Err, "secret")
}

func TestCodecKeepsEveryField(t *testing.T) {
	t.Parallel()
	for _, sealer := range []Sealer{nil, reverser{}} {
		store, srv := setup(t, Options{Sealer: sealer})
		w := testWebhook("wh_1")
		w.Secret, w.Headers, w.Description, w.Static = "swordfish", map[string]string{"X-A": "mellon"}, "d", true
		w.Disconnected, w.Disconnection = true, &holdfast.Disconnection{
			Cause: holdfast.DisconnectedByOperator, Reason: "r", Since: 5, Actor: "a",
		}
		w.RetiringSecrets = []holdfast.RetiringSecret{{Secret: "sesame", Until: 7}, {Secret: "abracadabra", Until: 8}}
		w.Authorization = "Bearer hunter2"
		w.SigningKey = "whsk_" + base64.StdEncoding.EncodeToString(make([]byte, 32))
		w.Format, w.Handshake, w.Filter = holdfast.FormatCloudEvents, true, "event.x == 1"
		w.RateLimit, w.OrderingKey = 2.5, "job_id"
		w.RetryConfig.Jitter, w.RetryConfig.NoRetryStatuses = 0.5, []int{400, 404}
		require.Empty(t, w.Violations())
		write(t, store, w)
		require.Equal(t, w, read(t, store, "wh_1"))
		feed, err := store.Changes(t.Context(), 0)
		require.NoError(t, err)
		require.Equal(t, []*holdfast.Webhook{w}, feed.Webhooks)
		if sealer != nil {
			stored := srv.client.HGet(t.Context(), "webhooks:registry", "wh_1").Val()
			for _, secret := range []string{"swordfish", "mellon", "sesame", "abracadabra", "hunter2", "whsk_"} {
				require.NotContains(t, stored, secret)
			}
		}
	}
}

func TestD12_D03_WritesAllOrNothing(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	kept := testWebhook("wh_kept")
	write(t, store, kept)
	before := dump(t, srv.client)

	for _, rule := range []string{"-hset", "-sadd", "-set", "-xadd", "-hsetnx", "-hget", "-get", "-time", "-xrevrange", "-hlen", "-type", "-hdel"} {
		limited := New(srv.deny(t, rule), Options{})
		_, err := limited.WriteWebhook(t.Context(), testWebhook("wh_new"))
		requireCode(t, holdfast.CodeUnavailable, err, rule)
		require.Equal(t, before, dump(t, srv.client), rule)
	}
	for _, rule := range []string{"-hdel", "-srem", "-set", "-xadd", "-unlink", "-hget"} {
		limited := New(srv.deny(t, rule), Options{})
		_, _, err := limited.RemoveWebhook(t.Context(), "wh_kept")
		requireCode(t, holdfast.CodeUnavailable, err, rule)
		require.Equal(t, before, dump(t, srv.client), rule)
	}
	inactive := testWebhook("wh_kept")
	inactive.Active = false
	_, err := New(srv.deny(t, "-srem"), Options{}).WriteWebhook(t.Context(), inactive)
	requireCode(t, holdfast.CodeUnavailable, err)
	require.Equal(t, before, dump(t, srv.client))

	// Keys denied by pattern and keys of a wrong type likewise.
	_, err = New(srv.deny(t, "resetkeys", "~webhooks:registry", "~webhooks:active", "~webhooks:rev*", "~webhooks:digest",
		"~webhooks:changes", "~webhooks:incarnation", "~webhooks:removed", "~webhooks:hashes"), Options{}).WriteWebhook(t.Context(), testWebhook("wh_new"))
	requireCode(t, holdfast.CodeUnavailable, err)
	require.Equal(t, before, dump(t, srv.client))
	require.NoError(t, srv.client.Set(t.Context(), "webhooks:stats:wh_new", "x", 0).Err())
	before = dump(t, srv.client)
	_, err = store.WriteWebhook(t.Context(), testWebhook("wh_new"))
	requireCode(t, holdfast.CodeUnavailable, err)
	require.Equal(t, before, dump(t, srv.client))
}

func TestRevisionGrowsAfterWipeAndRestore(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	w := testWebhook("wh_1")
	first := write(t, store, w)
	backup, err := srv.client.Get(ctx, "webhooks:revision").Result()
	require.NoError(t, err)
	second := write(t, store, w)
	require.Greater(t, second, first)

	require.NoError(t, srv.client.FlushAll(ctx).Err())
	third := write(t, store, w)
	require.Greater(t, third, second)
	feed, err := store.Changes(ctx, second)
	require.NoError(t, err)
	require.True(t, feed.Full)

	// An old revision under newer change entries: the next one still grows and fits the stream.
	require.NoError(t, srv.client.Set(ctx, "webhooks:revision", backup, 0).Err())
	require.NoError(t, srv.client.XAdd(ctx, &redis.XAddArgs{Stream: "webhooks:changes", ID: "9000000000000000-0", Values: []string{"rev", "9000000000000000", "id", "x", "op", "set"}}).Err())
	require.Equal(t, int64(9000000000000001), write(t, store, w))
	// A revision that is no number is replaced.
	require.NoError(t, srv.client.Set(ctx, "webhooks:revision", "nonsense", 0).Err())
	require.Equal(t, int64(9000000000000002), write(t, store, w))
}

func TestDigestHealsWhenAKeyIsLost(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	var digest uint64
	for i := range 5 {
		id := fmt.Sprintf("wh_%d", i)
		digest ^= DigestOf(id, write(t, store, testWebhook(id)))
	}
	at, err := store.Position(ctx)
	require.NoError(t, err)
	require.Equal(t, []any{int64(5), DigestText(digest)}, []any{at.Count, at.Digest})

	require.NoError(t, srv.client.Del(ctx, "webhooks:digest").Err())
	digest ^= DigestOf("wh_9", write(t, store, testWebhook("wh_9")))
	at, err = store.Position(ctx)
	require.NoError(t, err)
	require.Equal(t, []any{int64(6), DigestText(digest)}, []any{at.Count, at.Digest})
}

func TestD06_D07_RecordsNeverTouchConfiguration(t *testing.T) {
	t.Parallel()
	store, _ := setup(t, Options{})
	ctx := t.Context()
	const writes = 1000
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				event := fmt.Sprintf("evt_%d_%d", worker, n)
				if err := store.Record(ctx, []Record{delivered("wh_1", event, int64(n)), exhausted("wh_gone", event, int64(n))}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	w := testWebhook("wh_1")
	for i := range writes {
		w.Active, w.URL = i%2 == 0, fmt.Sprintf("https://example.com/%d", i)
		w.Secret = fmt.Sprint(i)
		revision := write(t, store, w)
		got, active, err := store.ReadWebhook(ctx, "wh_1")
		require.NoError(t, err)
		require.Equal(t, []any{w.Active, w.Active, w.URL, w.Secret, revision, w.UpdatedAt},
			[]any{got.Active, active, got.URL, got.Secret, got.Revision, got.UpdatedAt})
		if i%10 == 0 {
			write(t, store, testWebhook("wh_gone"))
			_, existed, err := store.RemoveWebhook(ctx, "wh_gone")
			require.NoError(t, err)
			require.True(t, existed)
			_, _, err = store.ReadWebhook(ctx, "wh_gone")
			requireCode(t, holdfast.CodeNotFound, err)
		}
	}
	close(stop)
	wg.Wait()
	_, _, err := store.ReadWebhook(ctx, "wh_gone")
	requireCode(t, holdfast.CodeNotFound, err)
}

func TestReadMergesCounters(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	ctx := t.Context()
	w := testWebhook("wh_1")
	w.ConsecutiveFailures, w.LastFailureAt = 4, 1700000000000 // as the original left it
	write(t, store, w)
	require.NoError(t, store.Record(ctx, []Record{exhausted("wh_1", "evt_1", 1700000005000)}))
	got := read(t, store, "wh_1")
	require.Equal(t, 5, got.ConsecutiveFailures)
	require.Equal(t, int64(1700000005000), got.LastFailureAt)
	stored, err := srv.client.HGet(ctx, "webhooks:registry", "wh_1").Result()
	require.NoError(t, err)
	require.Contains(t, stored, `"consecutive_failures":4`)

	write(t, store, w) // a change of configuration keeps the counter
	require.Equal(t, 5, read(t, store, "wh_1").ConsecutiveFailures)
	require.NoError(t, store.ResetFailures(ctx, "wh_1"))
	require.Zero(t, read(t, store, "wh_1").ConsecutiveFailures)
	requireCode(t, holdfast.CodeNotFound, store.ResetFailures(ctx, "wh_2"))
	require.Zero(t, srv.client.Exists(ctx, "webhooks:stats:wh_2").Val())
}
