package httpsend

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/jsjson"
)

// bodies are the exact bytes of each format for newEvent.
var bodies = map[holdfast.PayloadFormat]string{
	"":                      `{"event_type":"job_failed","event_id":"evt_1","timestamp":1718000000123,"webhook_id":"wh_1","data":{"3":[1e+21],"job_id":"<é>"}}`,
	holdfast.FormatEnvelope: `{"event_type":"job_failed","event_id":"evt_1","timestamp":1718000000123,"webhook_id":"wh_1","data":{"3":[1e+21],"job_id":"<é>"}}`,
	holdfast.FormatStandard: `{"type":"job_failed","timestamp":"2024-06-10T06:13:20.123Z","data":{"3":[1e+21],"job_id":"<é>"}}`,
	holdfast.FormatCloudEvents: `{"specversion":"1.0","id":"evt_1","source":"/jobs","type":"job_failed","time":"2024-06-10T06:13:20.123Z",` +
		`"datacontenttype":"application/json","webhookid":"wh_1","data":{"3":[1e+21],"job_id":"<é>"}}`,
}

func headerOf(head []string, name string) string {
	for _, line := range head[1:] {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			return value
		}
	}
	return ""
}

// The body is the same at every attempt and on every node, however much later; only the signed time moves. Every signature
// is over the bytes on the wire.
func TestEveryFormatIsTheSameAtEveryAttemptAndSigned(t *testing.T) {
	t.Parallel()
	url, requests := capture(t)
	seed := sha256.Sum256([]byte("a key"))
	key := ed25519.NewKeyFromSeed(seed[:])
	for format, want := range bodies {
		for attempt := range 3 {
			at := time.Unix(1718000001+int64(attempt)*86_400, 0)
			s := newSender(t, Config{Now: func() time.Time { return at }, Source: "/jobs"})
			w := newWebhook(url)
			w.Format = format
			w.SigningKey = "whsk_" + base64.StdEncoding.EncodeToString(key)
			a, err := s.Send(t.Context(), w, newEvent(), attempt+1)
			require.NoError(t, err)
			require.True(t, a.Success, a.ErrorMessage)
			got := <-requests
			require.Equal(t, want, string(got.body), format)
			contentType := "application/json"
			if format == holdfast.FormatCloudEvents {
				contentType = "application/cloudevents+json"
			}
			require.Equal(t, contentType, headerOf(got.head, "Content-Type"), format)
			require.Equal(t, "evt_1", headerOf(got.head, "webhook-id"))

			legacy := hmac.New(sha256.New, []byte("s3cr3t"))
			legacy.Write(got.body)
			require.Equal(t, "sha256="+hex.EncodeToString(legacy.Sum(nil)), headerOf(got.head, "X-Webhook-Signature"))
			signed := "evt_1." + headerOf(got.head, "webhook-timestamp") + "." + string(got.body)
			v1 := hmac.New(sha256.New, []byte("s3cr3t"))
			v1.Write([]byte(signed))
			first, second, _ := strings.Cut(headerOf(got.head, "webhook-signature"), " ")
			require.Equal(t, "v1,"+base64.StdEncoding.EncodeToString(v1.Sum(nil)), first)
			signature, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(second, "v1a,"))
			require.NoError(t, err)
			require.True(t, ed25519.Verify(key.Public().(ed25519.PublicKey), []byte(signed), signature), "%s", second)
		}
	}
}

func TestCloudEventsSourceDefaultsToHoldfast(t *testing.T) {
	t.Parallel()
	body, _, ok := New(Config{}).appendPayload(nil, &holdfast.Webhook{Format: holdfast.FormatCloudEvents}, newEvent())
	require.True(t, ok)
	var event struct{ Source string }
	require.NoError(t, json.Unmarshal(body, &event))
	require.Equal(t, "holdfast", event.Source)
}

func TestTimesAreRFC3339WhateverTheEventSays(t *testing.T) {
	t.Parallel()
	for ms, want := range map[int64]string{
		0: "1970-01-01T00:00:00.000Z", 1: "1970-01-01T00:00:00.001Z", -5: "1970-01-01T00:00:00.000Z",
		1718000000000: "2024-06-10T06:13:20.000Z", 1 << 62: "9999-12-31T23:59:59.999Z",
	} {
		got := string(appendTime(nil, ms))
		require.Equal(t, want, got)
		_, err := time.Parse(time.RFC3339, got)
		require.NoError(t, err)
	}
}

func TestUnknownFormatIsAFailedAttempt(t *testing.T) {
	t.Parallel()
	w := newWebhook("http://127.0.0.1:1/")
	w.Format = "xml"
	a := send(t, newSender(t, Config{}), w)
	require.Equal(t, holdfast.ClassBadRequest, a.ErrorClass)
	require.Equal(t, `the webhook's payload format "xml" is not known to this version`, a.ErrorMessage)
	require.Equal(t, w.URL, a.URL)
}

// Every format survives a JavaScript receiver that verifies over re-serialised JSON, with data that is hard for it.
func FuzzPayloadsSurviveReserialising(f *testing.F) {
	f.Add([]byte(`{"b":1,"10":2,"2":3}`), "evt", "wh", "job_failed", "holdfast", int64(0))
	f.Add([]byte(`{"s":"\u2028<&\ud800","n":[1.0,-0,1e21]}`), "é\x00", "\xff", "\u2028", "a b", int64(-1))
	f.Fuzz(func(t *testing.T, data []byte, eventID, webhookID, eventType, source string, timestamp int64) {
		canonical, err := jsjson.CanonicalObject(nil, data)
		// Beyond 2^53 a JavaScript number is another one; no event has such a time.
		if err != nil || len(canonical) > 10_000 || timestamp > 1<<53 || timestamp < -1<<53 {
			return
		}
		e := &holdfast.Event{ID: eventID, Type: eventType, Timestamp: timestamp, Data: canonical}
		for _, body := range [][]byte{AppendEnvelope(nil, webhookID, e), AppendStandard(nil, e), AppendCloudEvent(nil, source, webhookID, e)} {
			again, err := jsjson.Canonical(nil, body)
			require.NoError(t, err, "%s", body)
			require.Equal(t, string(body), string(again))
		}
	})
}

func TestEveryFormatIsCanonicalInNode(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	for format, body := range bodies {
		cmd := exec.CommandContext(t.Context(), node, "-e", `
const text = require('fs').readFileSync(0, 'utf8'), body = JSON.parse(text), time = body.time ?? (body.type && body.timestamp);
if (time && new Date(time).toISOString() !== time) throw new Error(time);
process.stdout.write(JSON.stringify(body));`)
		cmd.Stdin = strings.NewReader(body)
		out, err := cmd.Output()
		require.NoError(t, err)
		require.Equal(t, body, string(out), format)
	}
}

// A test event says that it is one, in the original's envelope with the original's order of keys (CONTRACT 4.5).
func TestD35_TestEventsAreMarkedInEveryFormat(t *testing.T) {
	t.Parallel()
	url, requests := capture(t)
	s := newSender(t, Config{Source: "/jobs"})
	e := newEvent()
	e.Test = true
	for format, want := range map[holdfast.PayloadFormat]string{
		holdfast.FormatEnvelope: `{"event_id":"evt_1","timestamp":1718000000123,"webhook_id":"wh_1",` +
			`"metadata":{"original_timestamp":1718000000123,"test_event":true},"event_type":"job_failed","data":{"3":[1e+21],"job_id":"<é>"}}`,
		holdfast.FormatStandard: `{"type":"job_failed","timestamp":"2024-06-10T06:13:20.123Z",` +
			`"metadata":{"original_timestamp":1718000000123,"test_event":true},"data":{"3":[1e+21],"job_id":"<é>"}}`,
		holdfast.FormatCloudEvents: `{"specversion":"1.0","id":"evt_1","source":"/jobs","type":"job_failed","time":"2024-06-10T06:13:20.123Z",` +
			`"datacontenttype":"application/json","webhookid":"wh_1","testevent":true,"data":{"3":[1e+21],"job_id":"<é>"}}`,
	} {
		w := newWebhook(url)
		w.Format = format
		a, err := s.Send(t.Context(), w, e, 1)
		require.NoError(t, err)
		require.True(t, a.Success, a.ErrorMessage)
		require.Equal(t, want, string((<-requests).body))
		require.Equal(t, want, string(s.Payload(w, e)))
		require.LessOrEqual(t, len(want), s.payloadOverhead(w, e)+len(e.Data), "one allocation holds it")
	}
	require.Nil(t, s.Payload(&holdfast.Webhook{Format: "gopher"}, e))
}

func TestAuthorizationOfTheReceiver(t *testing.T) {
	t.Parallel()
	url, requests := capture(t)
	s := newSender(t, Config{})
	w := newWebhook(url)
	w.Authorization = "Bearer tok"
	w.Headers = map[string]string{"authorization": "Basic old", "AUTHORIZATION": "Basic older"} // stored before there was a field for it
	require.True(t, send(t, s, w).Success)
	head := (<-requests).head
	require.Contains(t, head, "Authorization: Bearer tok")
	require.Equal(t, 1, strings.Count(strings.ToLower(strings.Join(head, "\n")), "\nauthorization: "))

	w.Authorization = "Bearer topsecret\r\nX-Evil: 1"
	a := send(t, s, w)
	requireFailure(t, a, holdfast.ClassBadRequest, 0, "the webhook's authorization cannot be sent in a header")
	encoded, err := json.Marshal(a)
	require.NoError(t, err)
	require.NotContains(t, string(encoded), "topsecret")
}

// A redirect must not carry credentials away, and neither must anything that is recorded.
func TestG8_NoCredentialInAnAttempt(t *testing.T) {
	t.Parallel()
	key := newSigningKey(t)
	w := newWebhook(answerRaw(t, "HTTP/1.1 307 x\r\nLocation: http://u:p@else.test/?t=1\r\nContent-Length: 0\r\n\r\n"))
	w.Authorization, w.SigningKey = "Bearer planted-1", key
	w.Headers = map[string]string{"X-Key": "planted-2"}
	w.RetiringSecrets = []holdfast.RetiringSecret{{Secret: "planted-3", Until: 1 << 60}}
	encoded, err := json.Marshal(send(t, newSender(t, Config{}), w))
	require.NoError(t, err)
	for _, secret := range []string{"planted", key, "s3cr3t", "u:p", "t=1"} {
		require.NotContains(t, string(encoded), secret)
	}
}

func TestRequestBodyIsReadable(t *testing.T) {
	t.Parallel()
	s := newSender(t, Config{})
	e := newEvent()
	for format, want := range bodies {
		w := newWebhook("http://x.test/")
		w.Format = format
		s.source = "/jobs"
		req, bad := s.request(t.Context(), w, e, time.Now())
		require.Empty(t, bad)
		require.EqualValues(t, len(want), req.ContentLength)
		require.LessOrEqual(t, len(want), s.payloadOverhead(w, e)+len(e.Data), "one allocation holds it")
		for range 2 { // net/http sends it again on a new connection when an old one was dead
			body, err := req.GetBody()
			require.NoError(t, err)
			got, err := io.ReadAll(body)
			require.NoError(t, err)
			require.Equal(t, want, string(got))
		}
	}
}
