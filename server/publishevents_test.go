package server_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	holdfast "github.com/emprops/holdfast"
	"github.com/emprops/holdfast/server"
)

const publishEvents = "EventService/PublishEvents"

func TestPublishEvents_eachEventHasItsOwnOutcomeAndItsBytes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var mu sync.Mutex
	got := map[string]string{}
	b.publish = func(_ context.Context, e *holdfast.Event) (server.PublishResult, error) {
		mu.Lock()
		defer mu.Unlock()
		got[e.ID] = string(e.Data)
		switch e.ID {
		case "full":
			return server.PublishResult{}, holdfast.Errorf(holdfast.CodeExhausted, "too many at once")
		case "bug":
			return server.PublishResult{}, errors.New("secret host 10.0.0.1")
		}
		return server.PublishResult{EventID: e.ID, Deliveries: []server.DeliveryRef{{ID: "wh_1/" + e.ID, WebhookID: "wh_1"}}}, nil
	}
	status, _, answer := b.post(t, publishEvents, `{"events":[
		{"id":"a","type":"job_failed","data":`+wild+`},
		{"id":"full","type":"job_failed","data":{}},
		{"id":"no data","type":"job_failed"},
		{"id":"bug","type":"job_failed","data":{}},
		{"id":"z","type":"job_failed","data":{"b":1,"a":2}}]}`)
	require.Equal(t, http.StatusOK, status, answer)
	require.Equal(t, wild, got["a"])
	require.Equal(t, `{"b":1,"a":2}`, got["z"])
	var outcomes []string
	for _, one := range answer["events"].([]any) {
		one := one.(map[string]any)
		if failed, _ := one["error"].(map[string]any); failed != nil {
			text, _, _ := strings.Cut(failed["message"].(string), "(id")
			outcomes = append(outcomes, fmt.Sprint(one["eventId"], " ", failed["code"], " ", failed["retryable"], " ", text))
			continue
		}
		outcomes = append(outcomes, fmt.Sprint(one["eventId"], " ", len(one["deliveries"].([]any))))
	}
	require.Equal(t, []string{
		"a 1", "full resource_exhausted true too many at once",
		"no data invalid_argument false invalid request: event.data: is required: exactly one of data and dataJson",
		"bug internal false internal error ", "z 1",
	}, outcomes)
}

func TestPublishEvents_bounds(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.publish = func(context.Context, *holdfast.Event) (server.PublishResult, error) {
		return server.PublishResult{}, nil
	}
	for name, body := range map[string]string{
		"none":          `{"events":[]}`,
		"absent":        `{}`,
		"too many":      `{"events":[` + strings.Repeat(`{"type":"t","data":{}},`, 1000) + `{"type":"t","data":{}}]}`,
		"unknown field": `{"events":[{"type":"t","data":{},"Type":"x"}]}`,
		"beside":        `{"events":[{"type":"t","data":{}}],"other":1}`,
	} {
		status, _, answer := b.post(t, publishEvents, body)
		require.Equal(t, http.StatusBadRequest, status, name)
		require.Equal(t, "invalid_argument", answer["code"], name)
	}
	status, _, _ := b.post(t, publishEvents, `{"events":[`+strings.Repeat(`{"type":"t","data":{}},`, 999)+`{"type":"t","data":{}}]}`)
	require.Equal(t, http.StatusOK, status)
}
