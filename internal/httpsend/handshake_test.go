package httpsend

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
)

func requireViolation(t *testing.T, err error, field, text string) {
	t.Helper()
	var e *holdfast.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, holdfast.CodeInvalid, e.Code)
	require.Len(t, e.Violations, 1)
	require.Equal(t, field, e.Violations[0].Field)
	require.Equal(t, text, e.Violations[0].Description)
}

func TestHandshakeOnTheWire(t *testing.T) {
	t.Parallel()
	requests := make(chan []string, 2)
	url := serveRaw(t, func(conn net.Conn) {
		r := bufio.NewReader(conn)
		for {
			head, _, err := readRequest(r)
			if err != nil {
				return
			}
			requests <- head
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nWebHook-Allowed-Origin: hooks.example\r\nWebHook-Allowed-Rate: 120\r\nContent-Length: 2\r\n\r\nok")
		}
	})
	s := newSender(t, Config{Origin: "hooks.example"})
	w := newWebhook(url + "/hook?a=b")
	w.Handshake, w.RateLimit, w.Authorization, w.Headers = true, 1.99, "Bearer t", map[string]string{"X-Team": "a"}
	require.NoError(t, s.Handshake(t.Context(), w))
	head := <-requests
	require.Equal(t, "OPTIONS /hook?a=b HTTP/1.1", head[0])
	for _, want := range []string{"WebHook-Request-Origin: hooks.example", "WebHook-Request-Rate: 120", "Authorization: Bearer t", "X-Team: a"} {
		require.Contains(t, head, want)
	}
	require.NotContains(t, strings.ToLower(strings.Join(head, "\n")), "signature")
	// The specification wants the origin on every delivery after the handshake.
	require.True(t, send(t, s, w).Success)
	require.Contains(t, <-requests, "WebHook-Request-Origin: hooks.example")
}

func TestHandshakeOriginIsTheHostOfOurBaseURL(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"https://Hooks.example:8443/x": "Hooks.example", "http://localhost:3332": "localhost", "": "holdfast", "::": "holdfast",
	} {
		require.Equal(t, want, New(Config{Policy: AddressPolicy{OwnBaseURL: base}}).origin)
	}
	require.Equal(t, "given", New(Config{Origin: "given", Policy: AddressPolicy{OwnBaseURL: "http://a"}}).origin)
}

func TestHandshakeAnswers(t *testing.T) {
	t.Parallel()
	const refused = "does not consent to the delivery of events: "
	for name, c := range map[string]struct {
		status        int
		origin, rate  []string
		limit         float64
		field, reason string
	}{
		"named":                  {200, []string{"hooks.example"}, []string{"120"}, 0, "", ""},
		"any":                    {204, []string{"*"}, nil, 0, "", ""},
		"another case":           {200, []string{"Hooks.Example"}, []string{"*"}, 5, "", ""},
		"a list":                 {200, []string{"a.example, hooks.example"}, nil, 0, "", ""},
		"two headers":            {200, []string{"a.example", "hooks.example"}, nil, 0, "", ""},
		"status says nothing":    {405, []string{"*"}, nil, 0, "", ""},
		"rate enough":            {200, []string{"*"}, []string{"300"}, 5, "", ""},
		"no rate though asked":   {200, []string{"*"}, nil, 5, "", ""},
		"no header":              {200, nil, []string{"120"}, 0, "url", refused + "its answer to OPTIONS (HTTP 200) has no WebHook-Allowed-Origin header"},
		"not supported":          {405, nil, nil, 0, "url", refused + "its answer to OPTIONS (HTTP 405) has no WebHook-Allowed-Origin header"},
		"redirect":               {307, nil, nil, 0, "url", refused + "its answer to OPTIONS (HTTP 307) has no WebHook-Allowed-Origin header"},
		"another origin":         {200, []string{"evil.hooks.example"}, nil, 0, "url", refused + "the WebHook-Allowed-Origin header of its answer names neither hooks.example nor *"},
		"empty":                  {200, []string{""}, nil, 0, "url", refused + "the WebHook-Allowed-Origin header of its answer names neither hooks.example nor *"},
		"pattern":                {200, []string{"*.example"}, nil, 0, "url", refused + "the WebHook-Allowed-Origin header of its answer names neither hooks.example nor *"},
		"rate that is none":      {200, []string{"*"}, []string{"many"}, 0, "url", "answers the validation handshake with a WebHook-Allowed-Rate header that is neither a positive number nor *"},
		"rate zero":              {200, []string{"*"}, []string{"0"}, 0, "url", "answers the validation handshake with a WebHook-Allowed-Rate header that is neither a positive number nor *"},
		"rate below what we ask": {200, []string{"*"}, []string{"299"}, 5, "rateLimit", "is above the 299 requests per minute that the endpoint allows"},
		"rate without a limit":   {200, []string{"*"}, []string{"1"}, 0, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header()["Webhook-Allowed-Origin"] = c.origin
				w.Header()["Webhook-Allowed-Rate"] = c.rate
				w.Header().Set("Location", "http://"+r.Host+"/granted")
				if r.URL.Path == "/granted" {
					w.Header().Set("WebHook-Allowed-Origin", "*")
				}
				w.WriteHeader(c.status)
			})
			w := newWebhook(server.URL)
			w.Handshake, w.RateLimit = true, c.limit
			err := newSender(t, Config{Origin: "hooks.example"}).Handshake(t.Context(), w)
			if c.field == "" {
				require.NoError(t, err)
				return
			}
			requireViolation(t, err, c.field, c.reason)
		})
	}
}

func TestHandshakeWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	s := newSender(t, Config{Timeout: short, resolver: nameServer(t, nil)})
	ask := func(s *Sender, url string) error {
		w := newWebhook(url)
		w.Handshake = true
		return s.Handshake(t.Context(), w)
	}
	err := ask(s, answerRaw(t, ""))
	require.Equal(t, holdfast.CodeInvalid, holdfast.ErrorCode(err))
	require.ErrorContains(t, err, "url: did not answer the validation handshake: no answer within 150 ms: no response headers came")
	requireViolation(t, ask(s, "http://nothing.test/"), "url", "did not answer the validation handshake: no such host nothing.test")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, listener.Close())
	requireViolation(t, ask(s, "http://"+listener.Addr().String()), "url", "did not answer the validation handshake: connection refused")
	requireViolation(t, ask(s, "http://u:topsecret@a.test/"), "url", "cannot be asked for consent: the webhook's URL contains a user name or password")
	w := newWebhook("http://127.0.0.1:1/")
	w.Handshake, w.Headers = true, map[string]string{"a b": "c"}
	requireViolation(t, s.Handshake(t.Context(), w), "url", "cannot be asked for consent: a custom header has an invalid name or value")

	// The address policy applies to it as to a delivery.
	strict := New(Config{resolver: nameServer(t, map[string][4]byte{"inner.test.": {10, 0, 0, 5}})})
	t.Cleanup(strict.Close)
	requireViolation(t, ask(strict, "http://inner.test/"), "url",
		"did not answer the validation handshake: the host resolves to a private address, which the address policy does not allow")

	// A body without end does not hold up the answer that the headers gave already.
	require.NoError(t, ask(s, answerRaw(t, "HTTP/1.1 200 OK\r\nWebHook-Allowed-Origin: *\r\nContent-Length: 9\r\n\r\nhalf")))
}

func TestHandshakeThatIsCancelledSaysNothingOfTheEndpoint(t *testing.T) {
	t.Parallel()
	s := newSender(t, Config{})
	w := newWebhook("")
	w.Handshake = true
	came := make(chan struct{}, 1)
	w.URL = serveRaw(t, func(conn net.Conn) {
		_, _, _ = readRequest(bufio.NewReader(conn))
		came <- struct{}{}
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-came
		cancel()
	}()
	for range 2 { // under way, and from the start
		err := s.Handshake(ctx, w)
		require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err))
		require.ErrorIs(t, err, context.Canceled)
	}
}
