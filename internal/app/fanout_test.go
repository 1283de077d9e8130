package app_test

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
	"github.com/emprops/holdfast/workflows"
)

var fanOut = flag.Int("fan-out", 10_000, "webhooks that one event goes to; one start can carry about 20000")

// fanOutMemory is what a fan-out may take of a node beside what the node takes anyway. It does not grow with the webhooks
// beyond their ids: 256 attempts are under way at once.
const fanOutMemory = 128 << 20

// One event goes to very many webhooks, one in twenty of which fails at first. One start of a workflow has acknowledged it
// for all, the workflow tells how far it is, the node's memory is bounded, and each webhook takes the event once.
func TestD24_G4_G6_OneEventGoesToVeryManyWebhooks(t *testing.T) {
	t.Parallel()
	soaking(t)
	c := newCluster(t)
	// The webhooks are not registered but written, as the original would; no check shall adopt them meanwhile.
	node, base := c.process(t, testkit.Build(t, "./cmd/holdfast", "lean"), "--registry-check-interval", "24h")
	events := holdfastv1connect.NewEventServiceClient(http.DefaultClient, base)

	var mu sync.Mutex
	requests, taken := map[string]int{}, map[string]int{} // by path, which is the webhook
	receiver := testkit.NewReceiver(t)
	fails := func(path string) bool {
		number, err := strconv.Atoi(path[len("/hook/"):])
		return err != nil || number%20 == 0
	}
	receiver.Respond(func(_ int, r *http.Request) (int, http.Header, string) {
		mu.Lock()
		defer mu.Unlock()
		requests[r.URL.Path]++
		if requests[r.URL.Path] == 1 && fails(r.URL.Path) {
			return http.StatusServiceUnavailable, nil, ""
		}
		taken[r.URL.Path]++
		return http.StatusOK, nil, ""
	})
	store := c.store()
	for i := range *fanOut {
		_, err := store.WriteWebhook(t.Context(), &holdfast.Webhook{
			ID: fmt.Sprintf("wh_%d_fan", i), URL: fmt.Sprintf("%s/%d", receiver.URL(), i), Events: []string{"complete_job"},
			Secret: "s3cr3t", Active: true, RetryConfig: holdfast.RetryPolicy{MaxAttempts: 5, InitialDelayMS: 1000, BackoffMultiplier: 2, MaxDelayMS: 5000},
		})
		require.NoError(t, err)
	}
	publish := func(id, eventType string) *holdfastv1.PublishEventResponse {
		got, err := events.PublishEvent(t.Context(), &holdfastv1.PublishEventRequest{
			Event: &holdfastv1.Event{Id: id, Type: eventType, DataJson: []byte(`{"job_id":"j","result":"` + id + `"}`)},
		})
		require.NoError(t, err)
		return got
	}
	publish("nobody-wants-it", "job_failed") // brings the node's copy up to date
	before := memory(t, node.Pid())
	resetPeak(t, node.Pid())

	began := time.Now()
	answer := publish("fan-out", "complete_job")
	acknowledged := time.Since(began)
	require.Len(t, answer.GetDeliveries(), *fanOut)
	first := c.groups(t)
	require.Len(t, first, 1, "one durable write")
	for id, targets := range first {
		require.Equal(t, *fanOut, targets, "the start carries all")
		seen := c.watchGroup(t, id, *fanOut)
		require.NotEmpty(t, seen, "progress between the beginning and the end")
		t.Logf("progress asked for: %v of %d attempted", seen, *fanOut)
	}
	firstAttempts := time.Since(began)
	awaitTrue(t, "every webhook to take the event", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(taken) == *fanOut
	})
	all := time.Since(began)
	requireNoneOpen(t, c)
	after := memory(t, node.Pid())

	failed := (*fanOut + 19) / 20
	mu.Lock()
	defer mu.Unlock()
	twice := 0
	for path, n := range taken {
		if n != 1 {
			twice++
		}
		want := 1
		if fails(path) {
			want = 2
		}
		require.Equal(t, want, requests[path], "requests to %s", path)
	}
	require.Zero(t, twice, "webhooks that took the event more than once")
	require.Len(t, receiver.Requests(), *fanOut+failed)
	var attempts, successes, deliveries int64
	for i := range *fanOut {
		stats, err := store.Stats(t.Context(), fmt.Sprintf("wh_%d_fan", i))
		require.NoError(t, err)
		attempts, successes, deliveries = attempts+stats.TotalDeliveries, successes+stats.SuccessfulDeliveries, deliveries+stats.Delivered
	}
	require.Equal(t, []int64{int64(*fanOut + failed), int64(*fanOut), int64(*fanOut)}, []int64{attempts, successes, deliveries})
	require.Len(t, c.groups(t), 1)
	t.Logf("%d webhooks: acknowledged after %v with one start, first attempts over after %v, taken by all after %v",
		*fanOut, acknowledged.Round(time.Millisecond), firstAttempts.Round(time.Millisecond), all.Round(time.Millisecond))
	t.Logf("%d requests, %d failed at first, none taken twice; statistics: %d attempts, %d delivered", attempts, failed, attempts, deliveries)
	const mib = 1 << 20
	t.Logf("resident memory of the node: %d MiB before, %d MiB at most, %d MiB after", before.now/mib, after.peak/mib, after.now/mib)
	require.Less(t, after.peak-before.now, fanOutMemory, "bytes more than before")
}

// groups returns the DeliveryGroup workflows there have been, with the number of deliveries each was started for.
func (c *cluster) groups(t *testing.T) map[string]int {
	t.Helper()
	return await(t, "the group to be listed", func() (map[string]int, bool) {
		listed, err := c.temporal.Client.ListWorkflow(t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
			Namespace: c.temporal.Namespace, Query: `WorkflowType = "DeliveryGroup"`,
		})
		require.NoError(t, err)
		groups := map[string]int{}
		for _, w := range listed.GetExecutions() {
			history := c.temporal.Client.GetWorkflowHistory(t.Context(), w.GetExecution().GetWorkflowId(), w.GetFirstRunId(), false, 0)
			started, err := history.Next()
			require.NoError(t, err)
			var in workflows.GroupInput
			input := started.GetWorkflowExecutionStartedEventAttributes().GetInput()
			require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(input, &in))
			groups[w.GetExecution().GetWorkflowId()] = len(in.Targets)
		}
		return groups, len(groups) > 0
	})
}

// watchGroup asks a group how far it is until all its first attempts are made, and returns what it said meanwhile.
func (c *cluster) watchGroup(t *testing.T, id string, total int) (attempted []int) {
	t.Helper()
	awaitTrue(t, "the group's first attempts", func() bool {
		answer, err := c.temporal.Client.QueryWorkflow(t.Context(), id, "", workflows.QueryStatus)
		if err != nil {
			return false // its first workflow task is not over
		}
		var status workflows.GroupStatus
		require.NoError(t, answer.Get(&status))
		require.Equal(t, total, status.Total)
		if n := len(attempted); status.Attempted > 0 && status.Attempted < total && (n == 0 || attempted[n-1] < status.Attempted) {
			attempted = append(attempted, status.Attempted)
		}
		return status.Attempted == total
	})
	return attempted
}

// usage is the resident memory of a process in bytes.
type usage struct{ now, peak int }

var residentMemory = regexp.MustCompile(`(?s)VmHWM:\s+(\d+) kB.*VmRSS:\s+(\d+) kB`)

func memory(t *testing.T, pid int) usage {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err, "the memory of a process is read as Linux tells it")
	match := residentMemory.FindSubmatch(status)
	require.NotNil(t, match, "%s", status)
	peak, err := strconv.Atoi(string(match[1]))
	require.NoError(t, err)
	now, err := strconv.Atoi(string(match[2]))
	require.NoError(t, err)
	return usage{now: now << 10, peak: peak << 10}
}

// resetPeak makes the peak of a process' memory begin anew.
func resetPeak(t *testing.T, pid int) {
	t.Helper()
	require.NoError(t, os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0))
}
