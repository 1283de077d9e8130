package httpsend

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/emprops/holdfast"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newSender makes a Sender that may reach the servers of the test.
func newSender(t testing.TB, c Config) *Sender {
	t.Helper()
	c.Policy.AllowLoopback = true
	s := New(c)
	t.Cleanup(s.Close)
	return s
}

func newWebhook(url string) *holdfast.Webhook {
	return &holdfast.Webhook{ID: "wh_1", URL: url, Secret: "s3cr3t", Active: true}
}

func newEvent() *holdfast.Event {
	return &holdfast.Event{ID: "evt_1", Type: "job_failed", Timestamp: 1718000000123, Data: json.RawMessage(`{"3":[1e+21],"job_id":"<é>"}`)}
}

func serve(t testing.TB, handler http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server
}

// serveRaw answers every connection with talk and returns the server's URL. When the test ends, connections are closed.
func serveRaw(t testing.TB, talk func(conn net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closing := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				<-closing
				_ = conn.Close()
			}()
			go talk(conn)
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		close(closing)
		<-done
	})
	return "http://" + listener.Addr().String()
}

// readRequest reads one request off the wire, byte for byte.
func readRequest(r *bufio.Reader) (head []string, body []byte, err error) {
	length := 0
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return nil, nil, err
		}
		line = line[:max(len(line)-2, 0)]
		if line == "" {
			break
		}
		head = append(head, line)
		if value, ok := strings.CutPrefix(line, "Content-Length: "); ok {
			if length, err = strconv.Atoi(value); err != nil {
				return nil, nil, err
			}
		}
	}
	body = make([]byte, length)
	_, err = io.ReadFull(r, body)
	return head, body, err
}

// answerRaw reads a request and writes the answer, then leaves the connection open.
func answerRaw(t testing.TB, answer string) string {
	return serveRaw(t, func(conn net.Conn) {
		if _, _, err := readRequest(bufio.NewReader(conn)); err == nil {
			_, _ = io.WriteString(conn, answer)
		}
	})
}

// nameServer is a DNS server that knows the given addresses; other names do not exist.
func nameServer(t testing.TB, addresses map[string][4]byte) *net.Resolver {
	t.Helper()
	return nameServerFunc(t, func(name string) []netip.Addr {
		if ip, ok := addresses[name]; ok {
			return []netip.Addr{netip.AddrFrom4(ip)}
		}
		return nil
	})
}

// nameServerFunc is a DNS server that answers with what lookup has for a name with its final dot.
func nameServerFunc(t testing.TB, lookup func(name string) []netip.Addr) *net.Resolver {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			var query dnsmessage.Message
			if err != nil || query.Unpack(buf[:n]) != nil || len(query.Questions) != 1 {
				continue
			}
			if packed, err := answerTo(&query, lookup(query.Questions[0].Name.String())); err == nil {
				_, _ = conn.WriteTo(packed, from)
			}
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	var dialer net.Dialer
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return dialer.DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
}

func answerTo(query *dnsmessage.Message, addresses []netip.Addr) ([]byte, error) {
	question := query.Questions[0]
	answer := dnsmessage.Message{Header: dnsmessage.Header{ID: query.ID, Response: true, RecursionAvailable: true}, Questions: query.Questions}
	if len(addresses) == 0 {
		answer.RCode = dnsmessage.RCodeNameError
	}
	for _, ip := range addresses {
		header := dnsmessage.ResourceHeader{Name: question.Name, Type: question.Type, Class: dnsmessage.ClassINET}
		switch {
		case question.Type == dnsmessage.TypeA && ip.Is4():
			answer.Answers = append(answer.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: ip.As4()}})
		case question.Type == dnsmessage.TypeAAAA && ip.Is6():
			answer.Answers = append(answer.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: ip.As16()}})
		}
	}
	return answer.Pack()
}

func send(t testing.TB, s *Sender, w *holdfast.Webhook) holdfast.Attempt {
	t.Helper()
	a, err := s.Send(t.Context(), w, newEvent(), 1)
	require.NoError(t, err)
	require.Equal(t, a.Success, a.ErrorClass == holdfast.ClassNone)
	require.Equal(t, a.Success, a.ErrorMessage == "")
	require.NotContains(t, a.ErrorMessage, "s3cr3t")
	return a
}

// short is a deadline that a stalling server lets pass; no test waits for anything else under it.
const short = 150 * time.Millisecond
