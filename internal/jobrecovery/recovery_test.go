package jobrecovery_test

import (
	"context"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/emprops"
	"github.com/emprops/holdfast/internal/jobevents"
	"github.com/emprops/holdfast/internal/jobrecovery"
	"github.com/emprops/holdfast/internal/redisadapter"
	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/testkit"
)

// now is when the tests take place.
var now = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) string { return now.Add(-d).Format(time.RFC3339Nano) }

// world is what a recovery meets: a Redis, EMPROPS, and who takes events.
type world struct {
	*testing.T
	redis     *redis.Client
	store     *redisstore.Store
	recovery  *jobrecovery.Recovery
	jobs      map[string]emprops.Job
	down      error // of EMPROPS
	published []*holdfast.Event
	refuse    error
	asked     int
}

func newWorld(t *testing.T, platform bool) *world {
	t.Helper()
	w := &world{T: t, redis: testkit.Redis(t), jobs: map[string]emprops.Job{}}
	w.store = redisstore.New(w.redis, redisstore.Options{})
	var p jobrecovery.Platform
	if platform {
		p = w
	}
	w.recovery = jobrecovery.New(redisadapter.Attestations{Store: w.store, Node: "n"}, p, w, jobrecovery.Options{
		Interval: time.Minute, Grace: 2 * time.Minute, Horizon: 12 * time.Hour, Logger: testkit.Logger(t), Now: func() time.Time { return now },
	})
	return w
}

func (w *world) Job(_ context.Context, id string) (emprops.Job, error) {
	w.asked++
	if w.down != nil {
		return emprops.Job{}, w.down
	}
	job, ok := w.jobs[id]
	if !ok {
		return job, holdfast.Errorf(holdfast.CodeNotFound, "unknown")
	}
	return job, nil
}

func (w *world) PublishMessage(ctx context.Context, e *holdfast.Event) error {
	if w.refuse != nil {
		return w.refuse
	}
	w.published = append(w.published, e)
	return w.store.SettleEvents(ctx, []redisstore.EventMark{{EventID: e.ID, CreatedAt: e.Timestamp}})
}

func (w *world) attest(key string, fields map[string]any) {
	w.Helper()
	text, err := json.Marshal(fields)
	require.NoError(w, err)
	require.NoError(w, w.redis.Set(w.Context(), key, text, 0).Err())
}

func (w *world) look(published int) {
	w.Helper()
	require.NoError(w, w.recovery.Look(w.Context()))
	require.Len(w, w.published, published)
}

func completion(id string, age time.Duration) map[string]any {
	return map[string]any{"workflow_id": id, "attestation_created_at": ago(age), "job_completion_data": map[string]any{"job_id": "j"}}
}

func done(at string) emprops.Job {
	return emprops.Job{
		Status: "completed", CompletedAt: at, Outputs: json.RawMessage(`[1]`),
		Data: json.RawMessage(`{"id":"w","name":"n","status":"completed","secret":"s","completed_at":"` + at + `"}`),
	}
}

func TestD65_ACompletionThatNobodyWasToldOfIsPublishedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.attest("api:workflow:completion:w", completion("w", 5*time.Minute))
	w.attest("api:workflow:completion:w:attempt-2", completion("w", 4*time.Minute))
	w.attest("api:workflow:completion:young", completion("young", time.Minute))
	w.attest("api:workflow:completion:old", completion("old", 13*time.Hour))
	w.down = holdfast.Errorf(holdfast.CodeUnavailable, "down")
	w.look(0)
	require.EqualValues(t, 2, w.recovery.Stats().Waiting)

	w.down = nil
	w.jobs["w"] = emprops.Job{Status: "processing"}
	w.look(0)
	w.jobs["w"] = done("2026-11-29T11:54:00.000Z")
	w.look(1)
	e := w.published[0]
	require.Equal(t, "workflow_completed", e.Type)
	var data map[string]any
	require.NoError(t, json.Unmarshal(e.Data, &data))
	require.Equal(t, "w", data["workflow_id"])
	require.Equal(t, "completed", data["status"])
	require.Equal(t, true, data["verified"])
	require.Equal(t, true, data["recovered"])
	require.Equal(t, true, data["outputs_available"])
	require.NotContains(t, fmt.Sprint(data["workflow_details"]), "secret")
	asked := w.asked
	w.look(1)
	require.Equal(t, asked, w.asked, "what is settled is not asked about again")
	require.EqualValues(t, 1, w.recovery.Stats().Recovered)
	require.Zero(t, w.recovery.Stats().Waiting)
}

// The event is known by the id that the broker's own message gives it.
func TestD65_ACompletionThatWasToldOfIsNotPublishedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	const at = "2026-11-29T11:54:00.000Z"
	live, ok, err := jobevents.Map("workflow_completed", []byte(`{"workflow_id":"w","status":"completed","completed_at":"`+at+`",`+
		`"timestamp":1795953240123,"verified":true,"message":"m","workflow_details":{"id":"w"},"outputs_available":true}`), now)
	require.NoError(t, err)
	require.True(t, ok)
	require.NoError(t, w.store.SettleEvents(t.Context(), []redisstore.EventMark{{EventID: live.ID, CreatedAt: 1}}))
	w.attest("api:workflow:completion:w", completion("w", 5*time.Minute))
	w.jobs["w"] = done(at)
	w.look(0)
	require.Zero(t, w.recovery.Stats().Waiting)
}

// EMPROPS allows so many questions a minute (CONTRACT 7): it is not asked about what somebody was told of, and about the rest
// bit by bit.
func TestD65_EMPROPSIsAskedSparingly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	const told, missed = 200, 70
	for i := range told {
		id := fmt.Sprintf("told%d", i)
		w.attest("api:workflow:completion:"+id, completion(id, time.Hour))
		live := &holdfast.Event{Type: "workflow_completed", Data: json.RawMessage(`{"workflow_id":"` + id + `"}`)}
		mark := redisstore.EventMark{EventID: jobrecovery.ToldBy(live), CreatedAt: now.Add(-59 * time.Minute).UnixMilli()}
		require.NoError(t, w.store.SettleEvents(t.Context(), []redisstore.EventMark{mark}))
	}
	for i := range missed {
		id := fmt.Sprintf("missed%d", i)
		w.attest("api:workflow:completion:"+id, completion(id, time.Hour))
		w.jobs[id] = done("2026-11-29T11:00:00.000Z")
	}
	w.look(50)
	require.Equal(t, 50, w.asked)
	require.EqualValues(t, missed-50, w.recovery.Stats().Waiting)
	w.look(missed)
	require.Equal(t, missed, w.asked)

	// Told of an earlier run of the workflow, nobody was of this one.
	w.attest("api:workflow:completion:told0:attempt-2", completion("told0", 30*time.Minute))
	w.jobs["told0"] = done("2026-11-29T11:30:00.000Z")
	w.look(missed + 1)
	require.Empty(t, jobrecovery.ToldBy(&holdfast.Event{Type: "complete_job", Data: json.RawMessage(`{"workflow_id":"w"}`)}))
}

func TestD65_AWorkflowThatEMPROPSDoesNotKnowCountsAsAttested(t *testing.T) {
	t.Parallel()
	w := newWorld(t, true)
	w.attest("api:workflow:completion:w", completion("w", 5*time.Minute))
	w.look(1)
	require.Contains(t, string(w.published[0].Data), `"verified":false`)

	off := newWorld(t, false)
	off.attest("api:workflow:completion:w", completion("w", 5*time.Minute))
	off.look(0)
}

func TestD66_AFailureThatNobodyWasToldOfIsPublishedOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	w.attest("api:workflow:failure:w", map[string]any{
		"workflow_id": "w", "attestation_type": "workflow_failure", "failed_job_id": "j3", "failed_at_step": 3, "total_steps": 5,
		"worker_id": "wk", "error": "out of memory", "failed_at": now.Add(-5 * time.Minute).UnixMilli(), "workflow_type": "multi", "reason": "r",
	})
	w.attest("workflow:failure:w:permanent", map[string]any{"workflow_id": "w", "job_id": "j3", "error": "out of memory", "failed_at": ago(5 * time.Minute)})
	w.attest("workflow:failure:other:attempt:1", map[string]any{"workflow_id": "other", "failed_at": ago(5 * time.Minute)})
	w.attest("api:workflow:failure:junk", map[string]any{"no": "workflow"})
	require.NoError(t, w.redis.Set(t.Context(), "api:workflow:failure:text", "not JSON", 0).Err())
	require.NoError(t, w.redis.RPush(t.Context(), "api:workflow:failure:list", "x").Err())
	w.refuse = holdfast.Errorf(holdfast.CodeUnavailable, "Temporal is away")
	w.look(0)
	w.refuse = nil
	w.look(1)
	require.Equal(t, "workflow_failed", w.published[0].Type)
	var data map[string]any
	require.NoError(t, json.Unmarshal(w.published[0].Data, &data))
	require.Equal(t, "j3", data["failed_job_id"])
	require.InDelta(t, 3, data["failed_at_step"], 0)
	require.Equal(t, "out of memory", data["error"])
	require.Equal(t, true, data["recovered"])

	live, _, err := jobevents.Map("workflow_failed", []byte(`{"workflow_id":"w","failed_job_id":"j3","timestamp":1795953240123}`), now)
	require.NoError(t, err)
	require.Equal(t, live.ID, w.published[0].ID, "the broker's message, should it still come, is known")
}

func TestOneNodeLooksAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	a, b := redisadapter.Attestations{Store: w.store, Node: "a"}, redisadapter.Attestations{Store: w.store, Node: "b"}
	first, err := a.Lease(t.Context(), time.Minute)
	require.NoError(t, err)
	second, err := b.Lease(t.Context(), time.Minute)
	require.NoError(t, err)
	require.Equal(t, []bool{true, false}, []bool{first, second})
	require.Positive(t, w.redis.PTTL(t.Context(), "webhooks:recovery").Val())
}

func TestAttestationsAreFoundAmongManyKeys(t *testing.T) {
	t.Parallel()
	w := newWorld(t, false)
	pipe := w.redis.Pipeline()
	for i := range 5000 {
		pipe.Set(t.Context(), fmt.Sprintf("job:%d", i), "x", 0)
	}
	_, err := pipe.Exec(t.Context())
	require.NoError(t, err)
	const failures = 30
	for i := range failures {
		w.attest(fmt.Sprintf("api:workflow:failure:w%d", i), map[string]any{"workflow_id": fmt.Sprintf("w%d", i), "failed_at": ago(time.Hour)})
	}
	w.look(failures)
	w.look(failures)
}
