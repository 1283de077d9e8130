package jobevents_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/jobevents"
	"github.com/emprops/holdfast/internal/redisstore"
)

// members are those of an event's data.
func members(t *testing.T, e *holdfast.Event) (data map[string]any) {
	t.Helper()
	require.NoError(t, json.Unmarshal(e.Data, &data))
	return data
}

// keepJob has the broker know a job.
func (b *broker) keepJob(t *testing.T, id string, fields ...any) {
	t.Helper()
	require.NoError(t, b.client.HSet(t.Context(), "job:"+id, fields...).Err())
}

func TestD18_D27_WhatAMessageLacksOfItsJobIsLookedUp(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.keepJob(t, "step-2", "service_required", "comfyui", "workflow_id", "wf-1", "workflow_priority", "70",
		"workflow_datetime", "1757066300000", "current_step", "2", "total_steps", "3", "payload", "secret", "status", "failed")
	b.keepJob(t, "single", "service_required", "sim<1>", "current_step", "0", "workflow_priority", "high", "total_steps", "01")
	for _, tc := range []struct{ name, channel, message, want string }{
		{
			"progress keeps the service's own steps", "update_job_progress",
			`{"job_id":"step-2","worker_id":"w1","progress":45.5,"current_step":"KSampler","total_steps":20,"timestamp":1757066401000}`,
			`{"job_id":"step-2","worker_id":"w1","total_steps":20,"current_step":"KSampler","progress":45.5,"step_label":"KSampler","sampling_steps":20,"job_type":"comfyui","workflow_id":"wf-1","workflow_priority":70,"workflow_datetime":1757066300000,"workflow_step":2,"workflow_total_steps":3}`,
		},
		{
			"and gets no others", "update_job_progress", `{"job_id":"step-2","progress":0,"timestamp":1757066401000}`,
			`{"job_id":"step-2","progress":0,"job_type":"comfyui","workflow_id":"wf-1","workflow_priority":70,"workflow_datetime":1757066300000,"workflow_step":2,"workflow_total_steps":3}`,
		},
		{
			"the message counts", "complete_job",
			`{"job_id":"step-2","workflow_id":"wf-9","current_step":1,"result":[],"timestamp":1757066402000}`,
			`{"job_id":"step-2","workflow_id":"wf-9","current_step":1,"result":[],"completed_at":1757066402000,"completed_at_iso":"2025-09-05T10:00:02.000Z","workflow_step":1,"job_type":"comfyui","workflow_priority":70,"workflow_datetime":1757066300000,"total_steps":3,"workflow_total_steps":3}`,
		},
		{
			"failure", "job_failed", `{"job_id":"step-2","error":"e","service_type":"s"}`,
			`{"job_id":"step-2","job_type":"s","error":"e","workflow_id":"wf-1","workflow_priority":70,"workflow_datetime":1757066300000,"total_steps":3,"current_step":2,"workflow_step":2,"workflow_total_steps":3,"can_retry":false,"will_retry":false}`,
		},
		{
			"a workflow's failure is not the job's", "workflow_failed",
			`{"workflow_id":"wf-1","failed_job_id":"step-2","timestamp":1757066405100}`,
			`{"workflow_id":"wf-1","timestamp":1757066405100,"failed_job_id":"step-2","job_type":"comfyui"}`,
		},
		{
			"values that are none", "cancel_job", `{"job_id":"single","reason":"r","timestamp":1757066407000}`,
			`{"job_id":"single","cancelled_at":"2025-09-05T10:00:07.000Z","reason":"r","job_type":"sim<1>","workflow_step":0}`,
		},
		{"unknown job", "complete_job", `{"job_id":"x"}`, `{"job_id":"x"}`},
		{"no job", "complete_job", `{}`, `{}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := &sink{}
			s := subscribe(t, b, p, jobevents.Options{FailureWait: time.Millisecond})
			b.publish(t, tc.channel, tc.message)
			eventually(t, func() bool { return len(p.events()) == 1 })
			require.Equal(t, tc.want, string(p.events()[0].Data))
			if tc.channel != "job_failed" {
				plain, _, err := jobevents.Map(tc.channel, []byte(tc.message), now)
				require.NoError(t, err)
				require.Equal(t, plain.ID, p.events()[0].ID, "the id does not depend on it")
			}
			require.NoError(t, stop(t, s, patience))
		})
	}
}

// slowJobs is a store of jobs that can be slow, or broken, and counts.
type slowJobs struct {
	jobevents.Jobs
	asked  atomic.Int32
	broken atomic.Bool
}

func (j *slowJobs) BrokerJob(ctx context.Context, id string, fields ...string) (map[string]string, error) {
	j.asked.Add(1)
	if j.broken.Load() {
		<-ctx.Done() // as a Redis that does not answer
		return nil, holdfast.Wrap(holdfast.CodeUnavailable, ctx.Err(), "away")
	}
	return j.Jobs.BrokerJob(ctx, id, fields...)
}

func TestD18_AJobIsLookedUpOnceAndItsEventsWaitForNobody(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.keepJob(t, "j", "service_required", "comfyui")
	client := b.dial(t)
	store := redisstore.New(client, redisstore.Options{})
	jobs, p := &slowJobs{Jobs: store}, &sink{}
	s := jobevents.New(client, p, store, jobs, jobevents.Options{Workers: 1, ProgressInterval: time.Nanosecond})
	require.NoError(t, s.Start(t.Context()))
	t.Cleanup(func() { _ = stop(t, s, patience) })
	wait(t, s.Ready())

	jobs.broken.Store(true)
	b.publish(t, "complete_job", `{"job_id":"j","timestamp":1}`)
	eventually(t, func() bool { return len(p.events()) == 1 })
	require.Equal(t, "absent", told(members(t, p.events()[0]), "job_type"))
	jobs.broken.Store(false)
	for n := range 5 {
		b.publish(t, "complete_job", fmt.Sprintf(`{"job_id":"j","timestamp":%d}`, n+2))
	}
	eventually(t, func() bool { return len(p.events()) == 6 })
	for _, e := range p.events()[1:] {
		require.Equal(t, "comfyui", told(members(t, e), "job_type"))
	}
	require.EqualValues(t, 2, jobs.asked.Load(), "what was not answered is asked again, what was is not")
}
