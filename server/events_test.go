package server_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/server"
)

func jsonOf(v any) ([]byte, error) { return json.Marshal(v) }

// accept makes publishing succeed and returns where the last event shows.
func (b *bundle) accept() *holdfast.Event {
	got := new(holdfast.Event)
	b.publish = func(_ context.Context, e *holdfast.Event) (server.PublishResult, error) {
		*got = *e
		return server.PublishResult{
			EventID: "evt_1", Duplicate: true, Deliveries: []server.DeliveryRef{{ID: "wh_1/evt_1", WebhookID: "wh_1"}},
		}, nil
	}
	return got
}

// wild is an object that no detour through a map or a double would leave alone.
const wild = `{"z":1, "10":2,"2":[1.0,1e3,-0,9007199254740993,123456789012345678901] ,"a":{"b":"<&>\u00e9\ud800\/","c":"} ] , \" \\"},"a":null}`

func TestPublishEvent_dataKeepsItsBytes(t *testing.T) {
	t.Parallel()
	for _, body := range []string{
		`{"event":{"id":"e-1","type":"job_failed","data":` + wild + `,"timestamp":"2024-01-02T03:04:05.678Z"}}`,
		"\n{ \"event\" : {\"timestamp\":\"2024-01-02T03:04:05.678Z\",\"data\" : " + wild + "\r\n, \"type\":\"job_failed\",\"id\":\"e-1\"}\t}\n",
		`{"event":{"id":"e-1","type":"job_failed","dataJson":"` + base64.StdEncoding.EncodeToString([]byte(wild)) + `","timestamp":"2024-01-02T03:04:05.678Z"}}`,
		`{"event":{"id":"e-1","type":"job_failed","data":null,"data_json":"` + base64.StdEncoding.EncodeToString([]byte(wild)) + `","timestamp":"2024-01-02T03:04:05.678Z"}}`,
	} {
		for _, contentType := range []string{"application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8"} {
			b := setup(t)
			got := b.accept()
			status, _, answer := b.do(t, http.MethodPost, "/holdfast.v1.EventService/PublishEvent", strings.NewReader(body),
				http.Header{"Content-Type": {contentType}})
			require.Equal(t, 200, status, "%v", answer)
			require.Equal(t, wild, string(got.Data))
			require.Equal(t, []any{"e-1", "job_failed", int64(1704164645678)}, []any{got.ID, got.Type, got.Timestamp})
			require.Equal(t, map[string]any{
				"eventId": "evt_1", "duplicate": true,
				"deliveries": []any{map[string]any{"id": "wh_1/evt_1", "webhookId": "wh_1"}},
			}, answer)
		}
	}
}

func TestPublishEvent_throughEveryProtocol(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		got := b.accept()
		res, err := c.events.PublishEvent(t.Context(), &holdfastv1.PublishEventRequest{Event: &holdfastv1.Event{
			Id: "e", Type: "complete_job", DataJson: []byte(wild), Timestamp: timestamppb.New(time.UnixMilli(42)),
		}})
		require.NoError(t, err)
		require.Equal(t, holdfast.Event{ID: "e", Type: "complete_job", Timestamp: 42, Data: json.RawMessage(wild)}, *got)
		require.Equal(t, "evt_1", res.GetEventId())
		require.True(t, res.GetDuplicate())
		require.Equal(t, "wh_1", res.GetDeliveries()[0].GetWebhookId())

		data, err := structpb.NewStruct(map[string]any{"b": 1.5, "a": "<x>", "c": []any{true, nil}})
		require.NoError(t, err)
		_, err = c.events.PublishEvent(t.Context(), &holdfastv1.PublishEventRequest{Event: &holdfastv1.Event{
			Type: "complete_job", Data: data,
		}})
		require.NoError(t, err)
		require.JSONEq(t, `{"b":1.5,"a":"<x>","c":[true,null]}`, string(got.Data))
		require.Zero(t, got.Timestamp)
		require.Empty(t, got.ID)
	})
}

func TestPublishEvent_wantsExactlyOneFormOfData(t *testing.T) {
	t.Parallel()
	each(t, func(t *testing.T, b *bundle, c clients) {
		b.accept()
		for name, e := range map[string]*holdfastv1.Event{
			"none": {Type: "job_failed"},
			"both": {Type: "job_failed", Data: &structpb.Struct{}, DataJson: []byte(`{}`)},
			"list": {Type: "job_failed", DataJson: []byte(` []`)},
		} {
			_, err := c.events.PublishEvent(t.Context(), &holdfastv1.PublishEventRequest{Event: e})
			require.Equal(t, []string{"event.data"}, fieldsOf(t, err), name)
		}
		_, err := c.events.PublishEvent(t.Context(), &holdfastv1.PublishEventRequest{})
		require.Equal(t, []string{"event"}, fieldsOf(t, err))
	})
}

func TestPublishEvent_plainJSONThatIsWrong(t *testing.T) {
	t.Parallel()
	for body, field := range map[string]string{
		`{"event":{"type":"job_failed","data":[1,2]}}`:                "event.data",
		`{"event":{"type":"job_failed","data":"{}"}}`:                 "event.data",
		`{"event":{"type":"job_failed","data":null}}`:                 "event.data",
		`{"event":{"type":"job_failed","data":true}}`:                 "event.data",
		`{"event":{"type":"job_failed","data":{},"dataJson":"e30="}}`: "event.data",
		`{"event":{"type":"job_failed"}}`:                             "event.data",
		`{"event":{"type":"job_failed","data":7}}`:                    "event.data",
		`{}`: "event",
	} {
		b := setup(t)
		b.accept()
		status, _, answer := b.post(t, "EventService/PublishEvent", body)
		require.Equal(t, 400, status, body)
		require.Equal(t, []string{field}, violatedFields(t, answer), body)
	}
}

func TestRequestsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for body, text := range map[string]string{
		``: "the body is empty",
		`{"event":{"type":"job_failed","data":{}`:                  "unexpected",
		`{"event":{"typo":"job_failed","data":{"a":1}}}`:           `unknown field "typo"`,
		`{"event":{"data":{"a":1},"data":{"b":1}}}`:                `duplicate field "data"`,
		`{"event":{"data":{"a":1}},"event":{"data":{"b":1}}}`:      `duplicate field "event"`,
		`{"event":{"data":{"a":[1,2,3]},"timestamp":"yesterday"}}`: `"yesterday"`,
		`{"event":{"data":{"aaaaaaaaaaaaaaaa":[1,2,3]},"x":1}}`:    `(line 1:47): unknown field "x"`,
		`{"event":{"type":7,"data":{}}}`:                           "type",
		`[]`:                                                       "unexpected token",
		"{\"event\":{\"type\":\"\xff\",\"data\":{}}}":              "UTF-8",
	} {
		b := setup(t)
		b.accept()
		status, _, answer := b.post(t, "EventService/PublishEvent", body)
		require.Equal(t, 400, status, body)
		require.Equal(t, "invalid_argument", answer["code"], body)
		require.Contains(t, answer["message"], text, body)
		require.NotContains(t, answer["message"], "proto:")
	}
	b := setup(t)
	status, _, answer := b.post(t, "WebhookService/RegisterWebhook", `{"webhook":{"url":"http://h/","retryPolicy":{"maxDelay":"soon"}}}`)
	require.Equal(t, 400, status)
	require.Contains(t, answer["message"], `invalid google.protobuf.Duration value "soon"`)
	status, _, answer = b.post(t, "WebhookService/RegisterWebhook", `{"webhook":{"event_typess":[]}}`)
	require.Equal(t, 400, status)
	require.Contains(t, answer["message"], `unknown field "event_typess"`)
}

func TestABodyThatIsTooLargeIsRefused(t *testing.T) {
	t.Parallel()
	for _, p := range protocols() {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, func(o *server.Options) { o.MaxBodyBytes = 2000 })
			b.accept()
			c := b.clients(p)
			publish := func(n int) error {
				_, err := c.events.PublishEvent(t.Context(), &holdfastv1.PublishEventRequest{Event: &holdfastv1.Event{
					Type: "job_failed", DataJson: []byte(`{"a":"` + strings.Repeat("x", n) + `"}`),
				}})
				return err
			}
			require.NoError(t, publish(1000))
			require.Equal(t, connect.CodeResourceExhausted, connect.CodeOf(publish(3000)))
		})
	}
}

func TestABodyIsMeasuredUnpacked(t *testing.T) {
	t.Parallel()
	b := setup(t, func(o *server.Options) { o.MaxBodyBytes = 2000 })
	c := b.clients(protocol{options: []connect.ClientOption{connect.WithProtoJSON(), connect.WithSendGzip()}})
	b.accept()
	_, err := c.events.PublishEvent(t.Context(), &holdfastv1.PublishEventRequest{Event: &holdfastv1.Event{
		Type: "job_failed", DataJson: []byte(`{"a":"` + strings.Repeat("x", 100_000) + `"}`),
	}})
	require.Equal(t, connect.CodeResourceExhausted, connect.CodeOf(err))
}

func TestTheDefaultBodyLimitIsInForce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accept()
	body := func(n int) string {
		return `{"event":{"type":"job_failed","data":{"a":"` + strings.Repeat("x", n) + `"}}}`
	}
	status, _, _ := b.post(t, "EventService/PublishEvent", body(holdfast.MaxEventBytes))
	require.Equal(t, 200, status)
	status, _, answer := b.post(t, "EventService/PublishEvent", body(server.DefaultMaxBodyBytes))
	require.Equal(t, 429, status)
	require.Equal(t, "resource_exhausted", answer["code"])
}

func TestSmallAnswersAreNotCompressed(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.accept()
	_, header, _ := b.do(t, http.MethodPost, "/holdfast.v1.EventService/PublishEvent",
		strings.NewReader(`{"event":{"type":"job_failed","data":{}}}`),
		http.Header{"Content-Type": {"application/json"}, "Accept-Encoding": {"gzip"}})
	require.Empty(t, header.Get("Content-Encoding"))
}

func BenchmarkPublishEvent(b *testing.B) {
	f := &fakes{publish: func(context.Context, *holdfast.Event) (server.PublishResult, error) {
		return server.PublishResult{EventID: "evt_1700000000000_abcdefghi", Deliveries: []server.DeliveryRef{{ID: "wh_1/evt_1", WebhookID: "wh_1"}}}, nil
	}}
	handler := server.New(server.Deps{Events: f, Registrations: f, Webhooks: f, Deliveries: f, Receivers: f, Checker: f}, server.Options{})
	body := []byte(`{"event":{"id":"evt_1700000000000_abcdefghi","type":"complete_job","data":{"job_id":"j-1","payload":"` +
		strings.Repeat("abcdefgh", 120) + `"}}}`)
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	reader := bytes.NewReader(body)
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, base+"/holdfast.v1.EventService/PublishEvent", reader)
	require.NoError(b, err)
	req.Header.Set("Content-Type", "application/json")
	w := &discard{header: http.Header{}}
	for b.Loop() {
		reader.Reset(body)
		clear(w.header)
		handler.ServeHTTP(w, req)
	}
	require.Equal(b, 200, w.status)
}

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { d.status = max(d.status, 200); return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }
