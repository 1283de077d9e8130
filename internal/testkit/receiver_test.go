package testkit

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// post sends body and returns the response with its body; err is of sending or of reading.
func post(ctx context.Context, url, body string) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return nil, "", err
	}
	req.Header.Set("X-Test", "yes")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	got, err := io.ReadAll(resp.Body)
	return resp, string(got), err
}

func TestReceiverRecordsAndAnswers(t *testing.T) {
	t.Parallel()
	r := NewReceiver(t)
	r.Respond(func(n int, req *http.Request) (int, http.Header, string) {
		body, err := io.ReadAll(req.Body)
		if n == 1 || err != nil {
			return http.StatusServiceUnavailable, RetryAfter(7), "busy"
		}
		return http.StatusOK, nil, "got " + string(body)
	})
	resp, body, err := post(t.Context(), r.URL(), "one")
	require.NoError(t, err)
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.Equal(t, "7", resp.Header.Get("Retry-After"))
	require.Equal(t, "busy", body)
	_, body, err = post(t.Context(), r.URL()+"?q=1", "two")
	require.NoError(t, err)
	require.Equal(t, "got two", body)

	got := r.Wait(2)
	require.Len(t, got, 2)
	require.Equal(t, "one", string(got[0].Body))
	require.Equal(t, "yes", got[0].Header.Get("X-Test"))
	require.Equal(t, "/hook?q=1", got[1].Path)
	require.False(t, got[1].Time.Before(got[0].Time))

	r.Status(500, 204)
	for _, want := range []int{500, 204, 204} {
		resp, _, err := post(t.Context(), r.URL(), "")
		require.NoError(t, err)
		require.Equal(t, want, resp.StatusCode)
	}
}

func TestReceiverGoesDownAndUpOnTheSamePort(t *testing.T) {
	t.Parallel()
	r := NewReceiver(t)
	url := r.URL()
	_, _, err := post(t.Context(), url, "one")
	require.NoError(t, err)
	r.Close()
	_, _, err = post(t.Context(), url, "lost")
	require.Error(t, err)
	r.Reopen()
	require.Equal(t, url, r.URL())
	_, _, err = post(t.Context(), url, "two")
	require.NoError(t, err)
	require.Len(t, r.Requests(), 2)
}

func TestReceiverDownCutsWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	r := NewReceiver(t)
	r.Stall()
	result := make(chan error, 1)
	go func() {
		_, _, err := post(t.Context(), r.URL(), "")
		result <- err
	}()
	r.Wait(1)
	r.Close()
	require.Error(t, <-result)
}

func TestReceiverMisbehavesAsTold(t *testing.T) {
	t.Parallel()
	for name, misbehave := range map[string]func(*Receiver){
		"stall":      (*Receiver).Stall,
		"stall body": func(r *Receiver) { r.StallBody(http.StatusOK) },
		"drop":       (*Receiver).Drop,
		"slow":       func(r *Receiver) { r.Slow(time.Minute) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := NewReceiver(t)
			misbehave(r)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			_, _, err := post(ctx, r.URL(), "")
			require.Error(t, err)
			r.Wait(1)
		})
	}
}

func TestReceiverSlowAnswersInTheEnd(t *testing.T) {
	t.Parallel()
	r := NewReceiver(t)
	r.Slow(50 * time.Millisecond)
	start := time.Now()
	resp, _, err := post(t.Context(), r.URL(), "")
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.GreaterOrEqual(t, time.Since(start), 50*time.Millisecond)
}
