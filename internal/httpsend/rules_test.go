package httpsend

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
)

// The rules of a good webhook sender, as far as they are about one request, each with the default settings.

func TestRule01_Only2xxIsSuccess(t *testing.T) {
	t.Parallel()
	url := serveRaw(t, func(conn net.Conn) {
		r := bufio.NewReader(conn)
		for {
			head, _, err := readRequest(r)
			if err != nil {
				return
			}
			code := strings.Trim(strings.Fields(head[0])[1], "/")
			_, _ = io.WriteString(conn, "HTTP/1.1 "+code+" x\r\nContent-Length: 0\r\n\r\n")
		}
	})
	s := newSender(t, Config{})
	for code := 200; code <= 999; code++ {
		a := send(t, s, newWebhook(url+"/"+strconv.Itoa(code)))
		require.Equal(t, code < 300, a.Success, code)
		require.Equal(t, code, a.ResponseStatus)
		switch {
		case code < 300:
		case code < 400:
			require.Equal(t, holdfast.ClassRedirect, a.ErrorClass, code)
		default:
			require.Equal(t, holdfast.ClassStatus, a.ErrorClass, code)
		}
	}
}

func TestRule02_RedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int32
	target := serve(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	s := newSender(t, Config{})
	for _, code := range []int{300, 301, 302, 303, 305, 307, 308} {
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", target.URL+"/new")
			w.WriteHeader(code)
		})
		a := send(t, s, newWebhook(server.URL))
		require.False(t, a.Success)
		require.Equal(t, code, a.ResponseStatus)
		require.Equal(t, holdfast.ClassRedirect, a.ErrorClass)
		require.Contains(t, a.ErrorMessage, "redirects to "+target.URL+"/new")
	}
	require.Zero(t, elsewhere.Load())
}

func TestRule06_RetryAfterIsObserved(t *testing.T) {
	t.Parallel()
	in := time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Retry-After", map[string]string{"/seconds": "90", "/date": in}[r.URL.Path])
		w.WriteHeader(429)
	})
	s := newSender(t, Config{})
	require.EqualValues(t, 90_000, send(t, s, newWebhook(server.URL+"/seconds")).RetryAfter)
	require.InDelta(t, 3_600_000, send(t, s, newWebhook(server.URL+"/date")).RetryAfter, 30_000)
}

func TestRule09_TimeoutIsBetween15And30Seconds(t *testing.T) {
	t.Parallel()
	s := New(Config{})
	require.GreaterOrEqual(t, s.timeout, 15*time.Second)
	require.LessOrEqual(t, s.timeout, 30*time.Second)
}

func TestRule11_PrivateAddressesAreRefusedByDefault(t *testing.T) {
	t.Parallel()
	server := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a private address was reached") })
	s := New(Config{})
	t.Cleanup(s.Close)
	a := send(t, s, newWebhook(server.URL))
	requireFailure(t, a, holdfast.ClassBlocked, 0, "the host resolves to a loopback address, which the address policy does not allow")
	for _, host := range []string{"127.0.0.1", "localhost", "10.0.0.1", "192.168.0.1", "172.16.0.1", "169.254.169.254", "[::1]", "[fd00::1]", "[fe80::1]"} {
		require.Error(t, AddressPolicy{}.Check("https://"+host+"/"), host)
	}
}

func TestRule12_StandardWebhooksHeadersByDefault(t *testing.T) {
	t.Parallel()
	url, requests := capture(t)
	s := newSender(t, Config{})
	before := time.Now().Unix()
	require.True(t, send(t, s, newWebhook(url)).Success)
	got := <-requests
	require.Equal(t, "evt_1", headerOf(got.head, "webhook-id"))
	at, err := strconv.ParseInt(headerOf(got.head, "webhook-timestamp"), 10, 64)
	require.NoError(t, err)
	require.GreaterOrEqual(t, at, before)
	require.LessOrEqual(t, at, time.Now().Unix())
	require.Equal(t, v1("s3cr3t", "evt_1."+strconv.FormatInt(at, 10)+"."+string(got.body)), headerOf(got.head, "webhook-signature"))
}

func TestRule13_HandshakeIsOptIn(t *testing.T) {
	t.Parallel()
	methods := make(chan string, 10)
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		methods <- r.Method + r.Header.Get("WebHook-Request-Origin")
		w.Header().Set("WebHook-Allowed-Origin", "*")
	})
	s := newSender(t, Config{Origin: "hooks.example"})
	w := newWebhook(server.URL)
	require.NoError(t, s.Handshake(t.Context(), w))
	require.True(t, send(t, s, w).Success)
	require.Equal(t, "POST", <-methods, "nothing is asked by default")
	require.Empty(t, methods)
	w.Handshake = true
	require.NoError(t, s.Handshake(t.Context(), w))
	require.Equal(t, "OPTIONShooks.example", <-methods)
}
