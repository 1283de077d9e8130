package app_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

var loadEvents = flag.Int("load-events", 1000, "events that the load test publishes")

// javaScriptVectors are data as published and as it has to arrive (CONTRACT 4.3).
var javaScriptVectors = []struct{ in, out string }{
	{`{"b":1,"10":2,"2":3,"a":4,"01":5,"-1":6}`, `{"2":3,"10":2,"b":1,"a":4,"01":5,"-1":6}`},
	{`{"a":1,"b":2,"a":3}`, `{"a":3,"b":2}`},
	{
		`{"n":[1.0,1e3,1E21,1e-7,123456789012345678901,-0,0.1,1.5e300,5e-324]}`,
		`{"n":[1,1000,1e+21,1e-7,123456789012345680000,0,0.1,1.5e+300,5e-324]}`,
	},
	{`{"deep":{"4294967294":1,"4294967295":2,"3":3,"x":4}}`, `{"deep":{"3":3,"4294967294":1,"4294967295":2,"x":4}}`},
	{
		`{"s":"<script>&\u2028\u2029\u007f\/\u00e9\ud83d\ude00\ud800"}`,
		"{\"s\":\"<script>&\u2028\u2029\u007f/é😀\\ud800\"}",
	},
	{`{"big":9007199254740993}`, `{"big":9007199254740992}`},
}

// loadEvent is one event of the load, with the receivers that have to get it.
type loadEvent struct {
	eventType, data, arrives string
	wanted                   [3]bool
}

// loadOf makes events whose matches are worked out here, apart from the registry: receiver 0 wants job_submitted and
// complete_job, receiver 1 job_submitted of job type comfyui, receiver 2 complete_job and job_failed of priorities 1 and 2.
// A filter applies only to events that carry its field.
func loadOf(n int) []loadEvent {
	events := make([]loadEvent, 0, n+len(javaScriptVectors))
	types := []string{"job_submitted", "complete_job", "job_failed"}
	for i := range n {
		e := loadEvent{eventType: types[i%3]}
		jobType, priority := []string{"comfyui", "a1111"}[i/3%2], i/2%4
		e.data = fmt.Sprintf(`{"job_id":"job-%d","job_type":%q,"priority":%d,"note":"<b>&amp;é\u2028"}`, i, jobType, priority)
		e.arrives = fmt.Sprintf("{\"job_id\":\"job-%d\",\"job_type\":%q,\"priority\":%d,\"note\":\"<b>&amp;é\u2028\"}", i, jobType, priority)
		e.wanted[0] = e.eventType != "job_failed"
		e.wanted[1] = e.eventType == "job_submitted" && jobType == "comfyui"
		e.wanted[2] = e.eventType != "job_submitted" && (priority == 1 || priority == 2)
		events = append(events, e)
	}
	for _, v := range javaScriptVectors {
		events = append(events, loadEvent{eventType: "job_submitted", data: v.in, arrives: v.out, wanted: [3]bool{true, true, false}})
	}
	return events
}

func TestG3_G6_EveryAcceptedEventArrivesOnceAndSigned(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	inputs := [3]*holdfastv1.WebhookInput{
		{EventTypes: []string{"job_submitted", "complete_job"}, Secret: "s3cr3t"},
		{EventTypes: []string{"job_submitted"}, Filters: &holdfastv1.Filters{JobTypes: []string{"comfyui"}}},
		{EventTypes: []string{"complete_job", "job_failed"}, Filters: &holdfastv1.Filters{Priorities: []float64{1, 2}}, Secret: "s3cr3t-ü"},
	}
	var receivers [3]*testkit.Receiver
	var webhooks, secrets [3]string
	for i, in := range inputs {
		receivers[i] = testkit.NewReceiver(t)
		in.Url = receivers[i].URL()
		got := n.registerInput(t, in)
		webhooks[i], secrets[i] = got.GetWebhook().GetId(), in.GetSecret()
		if secrets[i] == "" {
			secrets[i] = got.GetSecret()
		}
		require.NotEmpty(t, secrets[i])
	}

	events := loadOf(*loadEvents)
	answers := make([]*holdfastv1.PublishEventResponse, len(events))
	errs := make([]error, len(events))
	var next atomic.Int64
	var callers sync.WaitGroup
	for range 32 {
		callers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(events); i = int(next.Add(1)) - 1 {
				answers[i], errs[i] = n.tryPublish(t.Context(), "", events[i].eventType, events[i].data)
			}
		})
	}
	callers.Wait()

	want := [3]map[string]loadEvent{{}, {}, {}} // by event id
	for i, e := range events {
		require.NoError(t, errs[i])
		require.False(t, answers[i].GetDuplicate())
		var ids []string
		for _, d := range answers[i].GetDeliveries() {
			ids = append(ids, d.GetWebhookId())
		}
		var wanted []string
		for k, yes := range e.wanted {
			if yes {
				wanted = append(wanted, webhooks[k])
				want[k][answers[i].GetEventId()] = e
			}
		}
		require.ElementsMatch(t, wanted, ids, "%s %s", e.eventType, e.data)
	}
	var all []received
	store := c.store()
	for k, r := range receivers {
		require.NotEmpty(t, want[k])
		arrived(t, r, len(want[k]))
		stats := c.stats(store, webhooks[k], int64(len(want[k])))
		requests := r.Requests()
		require.Len(t, requests, len(want[k]), "one request for each event")
		seen := map[string]bool{}
		for _, request := range requests {
			requireEnvelope(t, request, webhooks[k], want[k][request.Header.Get("X-Event-Id")])
			seen[request.Header.Get("X-Event-Id")] = true
			all = append(all, received{secrets[k], request})
		}
		require.Len(t, seen, len(want[k]), "no event twice")
		require.EqualValues(t, len(want[k]), stats.TotalDeliveries)
		require.EqualValues(t, len(want[k]), stats.SuccessfulDeliveries)
		require.EqualValues(t, len(want[k]), stats.Delivered)
		require.Zero(t, stats.FailedDeliveries+stats.Exhausted+stats.Cancelled+stats.ConsecutiveFailures)
		require.Positive(t, stats.LastSuccessAt)
		require.Positive(t, stats.ResponseTimeTotalMS)
	}
	requireSigned(t, all)
}

// requireEnvelope requires the original's body, key order included (CONTRACT 4.4), and headers (CONTRACT 4.2).
func requireEnvelope(t *testing.T, r testkit.ReceivedRequest, webhookID string, e loadEvent) {
	t.Helper()
	var body struct {
		Timestamp int64 `json:"timestamp"`
	}
	require.NoError(t, json.Unmarshal(r.Body, &body))
	eventID := r.Header.Get("X-Event-Id")
	require.Equal(t, fmt.Sprintf(`{"event_type":%q,"event_id":%q,"timestamp":%d,"webhook_id":%q,"data":%s}`,
		e.eventType, eventID, body.Timestamp, webhookID, e.arrives), string(r.Body))
	require.Equal(t, "POST", r.Method)
	require.Equal(t, "application/json", r.Header.Get("Content-Type"))
	require.Equal(t, "EMP-Job-Queue-Webhook/1.0", r.Header.Get("User-Agent"))
	require.Equal(t, e.eventType, r.Header.Get("X-Webhook-Event"))
	require.Equal(t, webhookID, r.Header.Get("X-Webhook-Id"))
}
