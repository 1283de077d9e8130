package httpsend

import (
	"bufio"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
)

type wireRequest struct {
	head []string
	body []byte
}

// capture makes a server that keeps requests as they came over the wire.
func capture(t *testing.T) (url string, requests chan wireRequest) {
	requests = make(chan wireRequest, 1)
	return serveRaw(t, func(conn net.Conn) {
		r := bufio.NewReader(conn)
		for {
			head, body, err := readRequest(r)
			if err != nil {
				return
			}
			requests <- wireRequest{head, body}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		}
	}), requests
}

func TestHeadersOnTheWire(t *testing.T) {
	t.Parallel()
	url, requests := capture(t)
	at := time.Unix(1718000001, 0)
	s := newSender(t, Config{Now: func() time.Time { return at }, Node: "node-1"})
	w := newWebhook(url + "/hook?token=a%20b")
	w.Headers = map[string]string{"Authorization": "Bearer t", "x-lower-Case": "é"}
	a, err := s.Send(t.Context(), w, newEvent(), 2)
	require.NoError(t, err)
	got := <-requests
	body := `{"event_type":"job_failed","event_id":"evt_1","timestamp":1718000000123,"webhook_id":"wh_1","data":{"3":[1e+21],"job_id":"<é>"}}`
	require.Equal(t, body, string(got.body))
	require.Equal(t, "POST /hook?token=a%20b HTTP/1.1", got.head[0])
	slices.Sort(got.head[1:])
	legacy := hmac.New(sha256.New, []byte("s3cr3t"))
	legacy.Write([]byte(body))
	standard := hmac.New(sha256.New, []byte("s3cr3t"))
	standard.Write([]byte("evt_1.1718000001." + body))
	require.Equal(t, []string{
		"Accept-Encoding: gzip",
		"Accept: */*",
		"Authorization: Bearer t",
		"Content-Length: " + strconv.Itoa(len(body)),
		"Content-Type: application/json",
		"Host: " + strings.TrimPrefix(url, "http://"),
		"User-Agent: EMP-Job-Queue-Webhook/1.0",
		"X-Event-ID: evt_1",
		"X-Webhook-Event: job_failed",
		"X-Webhook-ID: wh_1",
		"X-Webhook-Signature: sha256=" + hex.EncodeToString(legacy.Sum(nil)),
		"webhook-id: evt_1",
		"webhook-signature: v1," + base64.StdEncoding.EncodeToString(standard.Sum(nil)),
		"webhook-timestamp: 1718000001",
		"x-lower-Case: é",
	}, got.head[1:])
	require.Equal(t, holdfast.Attempt{
		ID: "wh_1/evt_1#2", WebhookID: "wh_1", EventID: "evt_1", EventType: "job_failed", Number: 2, Timestamp: at.UnixMilli(),
		Success: true, ResponseStatus: 200, ResponseBody: "ok", URL: w.URL, Node: "node-1",
	}, a)
}

func TestNoSecretNoSignature(t *testing.T) {
	t.Parallel()
	url, requests := capture(t)
	w := newWebhook(url)
	w.Secret = ""
	require.True(t, send(t, newSender(t, Config{}), w).Success)
	got := strings.ToLower(strings.Join((<-requests).head, "\n"))
	require.NotContains(t, got, "signature")
	require.Contains(t, got, "webhook-id: evt_1")
}

func TestD58_CustomHeadersCannotTouchReservedOnes(t *testing.T) {
	t.Parallel()
	url, requests := capture(t)
	w := newWebhook(url)
	w.Headers = map[string]string{"accept": "application/json", "Idempotency-Key": "k"}
	for _, name := range []string{
		"content-type", "content-length", "content-encoding", "user-agent", "host", "connection", "transfer-encoding", "te", "trailer",
		"upgrade", "keep-alive", "expect", "proxy-connection", "proxy-authorization", "accept-encoding", "x-webhook-event",
		"x-webhook-id", "x-event-id", "x-webhook-signature", "webhook-id", "webhook-timestamp", "webhook-signature",
		"webhook-request-origin", "ce-id", "ce-specversion", "ce-anything",
	} {
		w.Headers[name] = "spoof"
		w.Headers[strings.ToUpper(name)] = "spoof"
		w.Headers[http.CanonicalHeaderKey(name)] = "spoof"
	}
	require.True(t, send(t, newSender(t, Config{}), w).Success)
	head := (<-requests).head
	require.NotContains(t, strings.Join(head, "\n"), "spoof")
	require.Contains(t, head, "accept: application/json")
	require.NotContains(t, head, "Accept: */*")
	require.Contains(t, head, "idempotency-key: k")
}

// What the sender sets must be what registration refuses.
func TestD58_WhatTheSenderSetsIsRefusedAtRegistration(t *testing.T) {
	t.Parallel()
	s := newSender(t, Config{})
	w := newWebhook("http://x")
	w.Handshake = true
	own, bad := s.header(w, newEvent(), nil, "application/json", time.Now())
	require.Empty(t, bad)
	delete(own, "Accept")
	require.Len(t, own, 10)
	for name := range own {
		require.True(t, holdfast.ReservedHeader(name), name)
	}
}

func TestBadConfigurationIsAFailedAttempt(t *testing.T) {
	t.Parallel()
	s := newSender(t, Config{})
	for name, w := range map[string]*holdfast.Webhook{
		"empty URL":     newWebhook(""),
		"no host":       newWebhook("http:///x"),
		"scheme":        newWebhook("ftp://example.com/"),
		"unparsable":    newWebhook("http://user:topsecret@[::1/"),
		"password":      newWebhook("http://user:topsecret@example.com/"),
		"header name":   {ID: "wh_1", URL: "http://127.0.0.1:1/", Headers: map[string]string{"a b": "x"}},
		"header value":  {ID: "wh_1", URL: "http://127.0.0.1:1/", Headers: map[string]string{"a": "topsecret\r\nX-Evil: 1"}},
		"empty name":    {ID: "wh_1", URL: "http://127.0.0.1:1/", Headers: map[string]string{"": "x"}},
		"port too long": newWebhook("http://127.0.0.1:99999/"),
	} {
		a := send(t, s, w)
		require.False(t, a.Success, name)
		require.Zero(t, a.ResponseStatus, name)
		if name == "port too long" {
			require.Equal(t, holdfast.ClassConnect, a.ErrorClass, a.ErrorMessage)
			continue
		}
		require.Equal(t, holdfast.ClassBadRequest, a.ErrorClass, name)
		encoded, err := json.Marshal(a)
		require.NoError(t, err)
		require.NotContains(t, string(encoded), "topsecret", name)
	}
}

// The published advice to receivers is to verify over re-serialised JSON (CONTRACT 4.3); the original's reference
// receiver does it in JavaScript, and so does this test.
func TestSignatureVerifiesOverReserialisedJSONInNode(t *testing.T) {
	t.Parallel()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	url, requests := capture(t)
	w := newWebhook(url)
	require.True(t, send(t, newSender(t, Config{}), w).Success)
	got := <-requests
	cmd := exec.CommandContext(t.Context(), node, "-e", `
const text = require('fs').readFileSync(0, 'utf8');
const hmac = body => 'sha256=' + require('crypto').createHmac('sha256', 's3cr3t').update(body).digest('hex');
process.stdout.write(hmac(JSON.stringify(JSON.parse(text))) + '\n' + hmac(text));`)
	cmd.Stdin = strings.NewReader(string(got.body))
	out, err := cmd.Output()
	require.NoError(t, err)
	reserialised, raw, _ := strings.Cut(string(out), "\n")
	require.Contains(t, got.head, "X-Webhook-Signature: "+reserialised)
	require.Contains(t, got.head, "X-Webhook-Signature: "+raw)
}

func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	connections := make(chan struct{}, 1000)
	url := serveRaw(t, func(conn net.Conn) {
		connections <- struct{}{}
		r := bufio.NewReader(conn)
		for {
			if _, _, err := readRequest(r); err != nil {
				return
			}
			// A body beyond what is kept, but within what is drained.
			_, _ = io.WriteString(conn, "HTTP/1.1 500 x\r\nContent-Length: 50000\r\n\r\n"+strings.Repeat("b", 50000))
		}
	})
	s := newSender(t, Config{})
	for range 50 {
		require.Equal(t, 500, send(t, s, newWebhook(url)).ResponseStatus)
	}
	require.Len(t, connections, 1)

	// Under load: never more connections than twice the concurrent attempts, however many attempts there are. (Twice,
	// because one may be dialled while another becomes free.)
	const concurrent, each = 16, 40
	var wg sync.WaitGroup
	for range concurrent {
		wg.Go(func() {
			for range each {
				if a, err := s.Send(t.Context(), newWebhook(url), newEvent(), 1); err != nil || a.ResponseStatus != 500 {
					t.Error(err, a.ErrorMessage)
				}
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, len(connections), 2*concurrent)
}
