package alerting_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/alerting"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const token = "t0ken-that-must-not-leak"

// receiver answers with the statuses in turn, the last one for ever, and passes on what it got.
func receiver(t *testing.T, statuses ...int) (url string, got chan *http.Request, bodies chan string) {
	t.Helper()
	got, bodies = make(chan *http.Request, 16), make(chan string, 16)
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r
		bodies <- string(body)
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(statuses[min(n, len(statuses)-1)])
		n++
	}))
	t.Cleanup(srv.Close)
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	return srv.URL, got, bodies
}

var alert = holdfast.Alert{
	Kind: holdfast.AlertWebhookDisconnected, Subject: "wh_1", Message: "10 deliveries in a row failed", RaisedAt: 1000, UpdatedAt: 1500, Count: 2,
}

func TestD46_AnAlertIsPostedAsJSON(t *testing.T) {
	t.Parallel()
	url, got, bodies := receiver(t, http.StatusNoContent)
	p, err := alerting.New(alerting.Config{URL: url + "/hook", Token: token})
	require.NoError(t, err)
	require.NoError(t, p.Post(t.Context(), alert))
	r := <-got
	require.Equal(t, []string{http.MethodPost, "/hook", "application/json", "Bearer " + token, "webhook_disconnected%3Awh_1/1000/0"},
		[]string{r.Method, r.URL.Path, r.Header.Get("Content-Type"), r.Header.Get("Authorization"), r.Header.Get("Idempotency-Key")})
	require.JSONEq(t, `{"kind":"webhook_disconnected","subject":"wh_1","message":"10 deliveries in a row failed","raised_at":1000,"count":2,"source":"holdfast"}`, <-bodies)

	over := alert
	over.ResolvedAt = 2000
	require.NoError(t, p.Post(t.Context(), over))
	require.Equal(t, "webhook_disconnected%3Awh_1/1000/2000", (<-got).Header.Get("Idempotency-Key"))
	var body map[string]any
	require.NoError(t, json.Unmarshal([]byte(<-bodies), &body))
	require.EqualValues(t, 2000, body["resolved_at"])
}

func TestWithoutATokenNoneIsSent(t *testing.T) {
	t.Parallel()
	url, got, _ := receiver(t, http.StatusOK)
	p, err := alerting.New(alerting.Config{URL: url})
	require.NoError(t, err)
	require.NoError(t, p.Post(t.Context(), alert))
	require.Empty(t, (<-got).Header.Values("Authorization"))
}

func TestAnAnswerOutside2xxIsTriedAgain(t *testing.T) {
	t.Parallel()
	url, got, _ := receiver(t, 503, 404, 302, 200)
	p, err := alerting.New(alerting.Config{URL: url, Token: token})
	require.NoError(t, err)
	for range 3 {
		err := p.Post(t.Context(), alert)
		require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err))
		require.NotContains(t, err.Error(), token)
	}
	require.NoError(t, p.Post(t.Context(), alert))
	require.Len(t, got, 4, "a redirect is not followed: it would carry the token elsewhere")
}

func TestG8_ErrorsNameNeitherURLNorToken(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-hang }))
	t.Cleanup(srv.Close)
	t.Cleanup(func() { close(hang) })
	for _, url := range []string{srv.URL + "/s3cr3t", "http://127.0.0.1:1/s3cr3t"} {
		p, err := alerting.New(alerting.Config{URL: url, Token: token, Timeout: 50 * time.Millisecond})
		require.NoError(t, err)
		err = p.Post(t.Context(), alert)
		require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err))
		require.NotContains(t, err.Error(), "s3cr3t")
		require.NotContains(t, err.Error(), token)
	}
	for _, url := range []string{"", "ftp://s3cr3t", "http://", "http://s3cr3t:x\n", "s3cr3t"} {
		_, err := alerting.New(alerting.Config{URL: url})
		require.Equal(t, holdfast.CodeInvalid, holdfast.ErrorCode(err))
		require.NotContains(t, err.Error(), "s3cr3t")
	}
}
