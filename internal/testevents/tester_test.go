package testevents_test

import (
	"context"
	"encoding/json"
	"net/http"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/httpsend"
	"github.com/emprops/holdfast/internal/testevents"
	"github.com/emprops/holdfast/internal/testkit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// registered is a registry of webhooks.
type registered map[string]*holdfast.Webhook

func (r registered) Webhook(_ context.Context, id string) (*holdfast.Webhook, error) {
	if r == nil {
		return nil, holdfast.Errorf(holdfast.CodeUnavailable, "the storage is out of reach")
	}
	if r[id] == nil {
		return nil, holdfast.Errorf(holdfast.CodeNotFound, "there is no webhook %s", id)
	}
	return r[id], nil
}

func newTester(t *testing.T, url string, events ...string) *testevents.Tester {
	t.Helper()
	policy := httpsend.AddressPolicy{AllowLoopback: true}
	sender := httpsend.New(httpsend.Config{Policy: policy})
	t.Cleanup(sender.Close)
	w := &holdfast.Webhook{ID: "wh_1", URL: url, Events: events, Active: true, Secret: "s3cr3t", RetryConfig: holdfast.DefaultRetryPolicy()}
	return &testevents.Tester{Webhooks: registered{"wh_1": w}, Sender: sender}
}

func TestD35_EveryTypeIsSentOnceWithIDsThatReceiversKnow(t *testing.T) {
	t.Parallel()
	receiver := testkit.NewReceiver(t)
	tester := newTester(t, receiver.URL(), append([]string{`made "up"`}, holdfast.EventTypes...)...)
	sent, err := tester.Test(t.Context(), "wh_1", nil, 10*time.Second)
	require.NoError(t, err)
	require.Len(t, sent, len(holdfast.EventTypes)+1)
	requests := map[string]testkit.ReceivedRequest{}
	for _, r := range receiver.Requests() {
		requests[r.Header.Get("X-Event-Id")] = r
	}
	require.Len(t, requests, len(sent))
	for i, s := range sent {
		wanted := append([]string{`made "up"`}, holdfast.EventTypes...)[i]
		require.Equal(t, wanted, s.Event.Type, "results come in the webhook's order")
		require.Regexp(t, `^test_wh_\d{13}_[0-9a-z]{9}_`+regexp.QuoteMeta(wanted)+`$`, s.Event.ID)
		require.True(t, s.Attempt.Success, s.Attempt.ErrorMessage)
		request := requests[s.Event.ID]
		require.Equal(t, string(request.Body), string(s.Payload))
		require.Equal(t, httpsend.Legacy("s3cr3t", request.Body), request.Header.Get("X-Webhook-Signature"))
		var body struct {
			Metadata map[string]any
			Data     map[string]any
		}
		require.NoError(t, json.Unmarshal(request.Body, &body))
		require.Equal(t, map[string]any{"test_event": true, "original_timestamp": float64(s.Event.Timestamp)}, body.Metadata)
		for key, form := range map[string]string{
			"job_id": `^test_job_\d{13}$`, "worker_id": `^test_worker_[0-9a-z]{5}$`, "machine_id": `^test_machine_[0-9a-z]{5}$`, "workflow_id": `^test_workflow_\d{13}$`,
		} {
			if id, ok := body.Data[key]; ok {
				require.Regexp(t, form, id)
			}
		}
		if regexp.MustCompile(`^(workflow|made)`).MatchString(wanted) {
			require.Equal(t, wanted, body.Data["test_event_type"])
			require.Equal(t, "Test event for "+wanted, body.Data["message"])
		}
		if regexp.MustCompile(`^workflow`).MatchString(wanted) {
			require.Contains(t, body.Data, "workflow_id")
		}
	}
}

func TestD35_UnknownWebhooksStorageFailuresAndTypes(t *testing.T) {
	t.Parallel()
	receiver := testkit.NewReceiver(t)
	tester := newTester(t, receiver.URL(), "job_failed", "complete_job")
	_, err := tester.Test(t.Context(), "wh_2", nil, time.Second)
	require.Equal(t, holdfast.CodeNotFound, holdfast.ErrorCode(err))
	_, err = (&testevents.Tester{Webhooks: registered(nil), Sender: tester.Sender}).Test(t.Context(), "wh_1", nil, time.Second)
	require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err))
	_, err = tester.Test(t.Context(), "wh_1", []string{"job_failed", "worker_status", "nonsense", "job_failed"}, time.Second)
	var invalid *holdfast.Error
	require.ErrorAs(t, err, &invalid)
	require.Equal(t, holdfast.CodeInvalid, invalid.Code)
	var fields []string
	for _, v := range invalid.Violations {
		fields = append(fields, v.Field)
	}
	require.Equal(t, []string{"eventTypes[1]", "eventTypes[2]", "eventTypes[3]"}, fields)
	require.Empty(t, receiver.Requests())
	sent, err := tester.Test(t.Context(), "wh_1", []string{"complete_job"}, 10*time.Second)
	require.NoError(t, err)
	require.Len(t, sent, 1)
	require.Len(t, receiver.Requests(), 1)
}

// A receiver that never answers is asked by four requests at most, and the test ends with its time and a result for each.
func TestD35_ASilentReceiverEndsTheTestInTime(t *testing.T) {
	t.Parallel()
	receiver := testkit.NewReceiver(t)
	receiver.Stall()
	tester := newTester(t, receiver.URL(), holdfast.EventTypes...)
	done := make(chan []testevents.Sent)
	go func() {
		sent, err := tester.Test(t.Context(), "wh_1", nil, 2*time.Second)
		if err != nil {
			t.Errorf("a silent receiver is no error of ours: %v", err)
		}
		done <- sent
	}()
	receiver.Wait(4)
	_, err := tester.Test(t.Context(), "wh_1", nil, time.Second)
	require.Equal(t, holdfast.CodeExhausted, holdfast.ErrorCode(err), "one test at a time")
	var cut, never int
	for _, s := range <-done {
		require.False(t, s.Attempt.Success)
		require.Equal(t, holdfast.ClassTimeout, s.Attempt.ErrorClass)
		if s.Attempt.Timestamp != 0 {
			cut++
			require.Equal(t, "no answer within the test's 2s", s.Attempt.ErrorMessage)
			require.Positive(t, s.Attempt.DurationMS)
		} else {
			never++
			require.Equal(t, "no request was made: the test's 2s were over", s.Attempt.ErrorMessage)
		}
	}
	require.Equal(t, 4, cut)
	require.Equal(t, len(holdfast.EventTypes)-4, never)
	require.Len(t, receiver.Requests(), 4)

	receiver.Status(http.StatusOK)
	sent, err := tester.Test(t.Context(), "wh_1", nil, 10*time.Second)
	require.NoError(t, err, "the webhook can be tested again")
	require.True(t, sent[0].Attempt.Success)
}

func TestATestEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	receiver := testkit.NewReceiver(t)
	receiver.Stall()
	tester := newTester(t, receiver.URL(), "job_failed")
	ctx, cancel := context.WithCancel(t.Context())
	var ended sync.WaitGroup
	ended.Go(func() {
		_, err := tester.Test(ctx, "wh_1", nil, time.Minute)
		if holdfast.ErrorCode(err) != holdfast.CodeUnavailable {
			t.Errorf("cancelled: %v", err)
		}
	})
	receiver.Wait(1)
	cancel()
	ended.Wait()
}
