package httpsend

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/emprops/holdfast"
)

// BenchmarkSend measures a whole attempt over loopback. The server does next to nothing and allocates nothing per request.
func BenchmarkSend(b *testing.B) {
	for _, size := range []int{200, 1 << 10, 100 << 10} {
		e := newEvent()
		e.Data = json.RawMessage(`{"text":"` + strings.Repeat("x", size) + `"}`)
		body := AppendEnvelope(nil, "wh_1", e)
		end := []byte("\r\n\r\n")
		answer := []byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		url := serveRaw(b, func(conn net.Conn) {
			r := bufio.NewReaderSize(conn, 8<<10)
			for {
				for {
					line, err := r.ReadSlice('\n')
					if err != nil {
						return
					}
					if bytes.Equal(line, end[:2]) {
						break
					}
				}
				if _, err := r.Discard(len(body)); err != nil {
					return
				}
				if _, err := conn.Write(answer); err != nil {
					return
				}
			}
		})
		for _, parallel := range []bool{false, true} {
			b.Run(fmt.Sprintf("%dB/parallel=%t", size, parallel), func(b *testing.B) {
				s := newSender(b, Config{MaxIdlePerHost: 256})
				w := newWebhook(url)
				one := func() {
					if a, err := s.Send(b.Context(), w, e, 1); err != nil || !a.Success {
						b.Error(a.ErrorMessage, err)
					}
				}
				b.ReportAllocs()
				if !parallel {
					for b.Loop() {
						one()
					}
					return
				}
				b.SetParallelism(32)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						one()
					}
				})
			})
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	s := New(Config{})
	e := newEvent()
	e.Data = json.RawMessage(`{"text":"` + strings.Repeat("x", 1000) + `"}`)
	w := &holdfast.Webhook{ID: "wh_1", URL: "http://example.com/hook", Secret: "s3cr3t", Headers: map[string]string{"Authorization": "Bearer x"}}
	b.ReportAllocs()
	for b.Loop() {
		req, bad := s.request(b.Context(), w, e, s.now())
		if bad != "" {
			b.Fatal(bad)
		}
		_, _ = io.Copy(io.Discard, req.Body)
	}
}

// BenchmarkSign measures what each signature adds to an attempt.
func BenchmarkSign(b *testing.B) {
	key := newSigningKey(b)
	now := time.Unix(1718000001, 0)
	body := AppendEnvelope(nil, "wh_1", newEvent())
	for name, w := range map[string]*holdfast.Webhook{
		"v1":       {Secret: "s3cr3t"},
		"rotating": {Secret: "s3cr3t", RetiringSecrets: []holdfast.RetiringSecret{{Secret: "a", Until: 1 << 60}}},
		"v1a":      {SigningKey: key},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := signatures(w, "evt_1", now, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
