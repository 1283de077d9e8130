package jobevents_test

import (
	"cmp"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/emprops/holdfast/internal/jobevents"
)

// The two messages of one failure (CONTRACT 2.6), and what both together say.
const (
	workerSays     = `{"job_id":"step-1","worker_id":"w1","status":"failed","error":"boom","failed_at":"2025-09-05T10:00:03.000Z","retry_count":3,"can_retry":false,"timestamp":1757066403000}`
	baseWorkerSays = `{"job_id":"step-1","service_type":"comfyui","error":"boom","workflow_id":"wf-1","current_step":2,"workflow_priority":70,"workflow_datetime":1757066300000}`
	bothSay        = `{"job_id":"step-1","job_type":"comfyui","worker_id":"w1","workflow_id":"wf-1","workflow_priority":70,"workflow_datetime":1757066300000,"current_step":2,"error":"boom","failed_at":"2025-09-05T10:00:03.000Z","failed_at_iso":"2025-09-05T10:00:03.000Z","status":"failed","can_retry":false,"will_retry":false,"retry_count":3,"workflow_step":2}`
)

func TestD14_TheTwoMessagesOfAFailureAreOneEvent(t *testing.T) {
	t.Parallel()
	for name, order := range map[string][]string{"worker first": {workerSays, baseWorkerSays}, "base worker first": {baseWorkerSays, workerSays}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t)
			sinks := []*sink{{}, {}}
			for _, p := range sinks {
				s := subscribe(t, b, p, jobevents.Options{FailureWait: time.Hour})
				t.Cleanup(func() {
					require.Equal(t, jobevents.Stats{Received: 2, Processed: 1, Skipped: 1}, s.Stats())
				})
			}
			for _, message := range order {
				b.publish(t, "job_failed", message)
			}
			for _, p := range sinks {
				eventually(t, func() bool { return len(p.events()) == 1 })
				require.Equal(t, bothSay, string(p.events()[0].Data))
				require.EqualValues(t, 1757066403000, p.events()[0].Timestamp)
			}
			require.Equal(t, sinks[0].events()[0].ID, sinks[1].events()[0].ID, "whatever each of two replicas makes of it")
		})
	}
}

// A replica that hears only one of the two messages, or the second too late to wait for it, speaks of the same event.
func TestD14_ReplicasAgreeWhicheverMessageTheyHear(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	first, second := &sink{}, &sink{}
	a := subscribe(t, b, first, jobevents.Options{FailureWait: 20 * time.Millisecond})
	b.publish(t, "job_failed", baseWorkerSays)
	eventually(t, func() bool { return len(first.events()) == 1 })
	require.NotContains(t, string(first.events()[0].Data), "can_retry", "nobody knows")

	subscribe(t, b, second, jobevents.Options{FailureWait: 20 * time.Millisecond})
	b.publish(t, "job_failed", workerSays)
	eventually(t, func() bool { return len(second.events()) == 1 })
	require.Equal(t, first.events()[0].ID, second.events()[0].ID)
	eventually(t, func() bool { return a.Stats() == jobevents.Stats{Received: 2, Processed: 1, Skipped: 1} })
	require.Len(t, first.events(), 1, "what comes late is no second event")
}

func TestD14_EachFailureOfAJobIsAnEventOfItsOwn(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	sinks := []*sink{{}, {}}
	for _, p := range sinks {
		subscribe(t, b, p, jobevents.Options{FailureWait: time.Hour})
	}
	for range 2 { // two that will be tried again, all their bytes the same, and the last
		b.publish(t, "job_failed", baseWorkerSays)
	}
	b.publish(t, "job_failed", baseWorkerSays)
	b.publish(t, "job_failed", workerSays)
	b.publish(t, "job_failed", workerSays)
	ids := func(p *sink) map[string]bool {
		all := map[string]bool{}
		for _, e := range p.events() {
			all[e.ID] = true
		}
		return all
	}
	for _, p := range sinks {
		eventually(t, func() bool { return len(p.events()) == 3 })
		require.Len(t, ids(p), 3)
		require.Contains(t, datas(p), bothSay)
	}
	require.Equal(t, ids(sinks[0]), ids(sinks[1]))
}

// Any sequence of failures of jobs, as their publishers tell of them, heard by replicas with delays of their own: every
// failure is one event, and the replicas count it alike.
func TestD14_AnyFailuresAreCountedAlike(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		type heard struct {
			message string
			at      time.Duration
		}
		var messages []heard
		failed := map[string]int{}
		at := time.Duration(0)
		for n := range rapid.IntRange(1, 8).Draw(r, "failures") {
			job := rapid.SampledFrom([]string{"a", "b"}).Draw(r, "job")
			at += time.Duration(rapid.IntRange(2000, 4000).Draw(r, "ms until")) * time.Millisecond
			failed[job]++
			base := fmt.Sprintf(`{"job_id":%q,"error":"e","service_type":"s"}`, job)
			if rapid.Bool().Draw(r, "will be tried again") {
				messages = append(messages, heard{base, at})
				continue
			}
			both := []string{base, fmt.Sprintf(`{"job_id":%q,"error":"e","timestamp":%d}`, job, 1757066400000+n)}
			if rapid.Bool().Draw(r, "worker first") {
				slices.Reverse(both)
			}
			gap := time.Duration(rapid.IntRange(0, 1000).Draw(r, "ms between")) * time.Millisecond
			messages = append(messages, heard{both[0], at}, heard{both[1], at + gap})
		}
		for replica := range 2 {
			f := jobevents.NewFailures(300*time.Millisecond, 100, 1<<20)
			counted := map[string][]int{}
			count := func(sent []jobevents.Failure) {
				for _, e := range sent {
					counted[e.Job] = append(counted[e.Job], e.Number)
				}
			}
			start, last := time.UnixMilli(1757066400000), time.Duration(0)
			for _, m := range messages {
				late := time.Duration(rapid.IntRange(0, 100).Draw(r, "ms late")) * time.Millisecond
				last = max(last, m.at+late)
				count(f.Offer(m.message, start.Add(last)))
			}
			count(f.Due(start.Add(time.Hour)))
			for job, n := range failed {
				numbers := slices.Compact(slices.Sorted(slices.Values(counted[job])))
				require.Len(r, counted[job], n, "replica %d, job %s: each once", replica, job)
				require.Len(r, numbers, n)
			}
			require.Len(r, counted, len(failed))
			_, bytes := f.Held()
			require.Zero(r, bytes)
		}
	})
}

func TestD14_WhatIsHeldOfFailuresIsBounded(t *testing.T) {
	t.Parallel()
	at := time.UnixMilli(1757066400000)
	message := func(job string) string { return fmt.Sprintf(`{"job_id":%q,"error":"e"}`, job) }
	f := jobevents.NewFailures(time.Second, 2, 1<<20)
	require.Empty(t, f.Offer(message("a"), at))
	require.Empty(t, f.Offer(message("b"), at))
	require.Len(t, f.Offer(message("c"), at), 1, "beyond the bound an event does not wait")
	require.Len(t, f.Due(at.Add(time.Second)), 2)
	require.Len(t, f.Offer(message("c"), at.Add(time.Second)), 1)
	require.Empty(t, f.Offer(message("c"), at.Add(time.Hour)), "the others are forgotten by then")
	jobs, _ := f.Held()
	require.Equal(t, 1, jobs)

	f = jobevents.NewFailures(time.Second, 100, 200)
	require.Empty(t, f.Offer(message("a"), at))
	require.Len(t, f.Offer(message("b"), at), 1)
	require.Len(t, f.Due(at.Add(time.Hour)), 1)
	_, bytes := f.Held()
	require.Zero(t, bytes)
}

func TestD14_AStopHandsOverTheFailureThatWaits(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	p := &sink{}
	s := subscribe(t, b, p, jobevents.Options{FailureWait: time.Hour})
	b.publish(t, "job_failed", workerSays)
	eventually(t, func() bool { return s.Stats().Received == 1 })
	require.NoError(t, stop(t, s, patience))
	require.Len(t, p.events(), 1)
	require.Equal(t, jobevents.Stats{Received: 1, Processed: 1}, s.Stats())
}

// Whether the job is tried again is in the message, or else the broker's status of the job tells; failures after which it is
// can be left out, those of which nobody knows are sent.
func TestD14_FailuresThatAreTriedAgainAreMarkedAndCanBeLeftOut(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ message, status, want string }{
		"core, again":           {`{"job_id":"%s","error":"e","retry_count":1,"will_retry":true,"failed_at":"2025-09-05T10:00:03.000Z"}`, "failed", "true"},
		"core, stuck for good":  {`{"job_id":"%s","error":"e","retry_count":3,"will_retry":false,"failed_at":"2025-09-05T10:00:03.000Z"}`, "", "false"}, // D68
		"base worker, again":    {`{"job_id":"%s","error":"e","service_type":"s"}`, "pending", "true"},
		"base worker, for good": {`{"job_id":"%s","error":"e","service_type":"s"}`, "failed", "false"},
		"base worker, unknown":  {`{"job_id":"%s","error":"e","service_type":"s"}`, "in_progress", ""},
		"worker":                {`{"job_id":"%s","error":"e","can_retry":false,"failed_at":"2025-09-05T10:00:03.000Z"}`, "pending", "false"},
	}
	for _, finalOnly := range []bool{false, true} {
		b := startBroker(t)
		p := &sink{}
		s := subscribe(t, b, p, jobevents.Options{FailureWait: time.Millisecond, FinalFailuresOnly: finalOnly})
		want := map[string][2]any{}
		for name, tc := range cases {
			if tc.status != "" {
				require.NoError(t, b.client.HSet(t.Context(), "job:"+name, "status", tc.status).Err())
			}
			b.publish(t, "job_failed", fmt.Sprintf(tc.message, name))
			if tc.want != "true" || !finalOnly {
				want[name] = [2]any{cmp.Or(tc.want, "absent"), cmp.Or(tc.want, "absent")}
			}
		}
		n := int64(len(cases))
		eventually(t, func() bool { return settled(s.Stats()) && s.Stats().Received == n })
		require.Equal(t, jobevents.Stats{Received: n, Processed: int64(len(want)), Skipped: n - int64(len(want))}, s.Stats())
		got := map[string][2]any{}
		for _, e := range p.events() {
			data := members(t, e)
			got[data["job_id"].(string)] = [2]any{told(data, "can_retry"), told(data, "will_retry")}
		}
		require.Equal(t, want, got)
	}
}

// told spells a member of an event's data.
func told(data map[string]any, key string) string {
	if v, ok := data[key]; ok {
		return fmt.Sprint(v)
	}
	return "absent"
}
