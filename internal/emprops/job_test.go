package emprops_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/emprops"
)

func TestJobsAreRead(t *testing.T) {
	t.Parallel()
	c := scripted(t, map[string]http.HandlerFunc{
		"GET /jobs/{id}": say(200, `{"data":{"id":"a/b","status":"completed","completed_at":"2026-01-02T03:04:05.000Z","data":{"outputs":[{"id":1}]}},"error":null}`),
	})
	job, err := c.Job(t.Context(), "a/b")
	require.NoError(t, err)
	require.Equal(t, emprops.Completed, job.Status)
	require.Equal(t, "2026-01-02T03:04:05.000Z", job.CompletedAt)
	require.JSONEq(t, `[{"id":1}]`, string(job.Outputs))

	for body, status := range map[string]string{
		`{"data":{"status":"processing","completed_at":null,"data":{"outputs":null}},"error":null}`: "processing",
		`{"data":{"status":"pending","data":null},"error":null}`:                                    "pending",
		`{"data":{},"error":null}`: "",
	} {
		job, err := scripted(t, map[string]http.HandlerFunc{"GET /jobs/{id}": say(200, body)}).Job(t.Context(), "w")
		require.NoError(t, err)
		job.Data = nil
		require.Equal(t, emprops.Job{Status: status}, job)
	}
}

func TestJobsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		code   holdfast.Code
		text   string
	}{
		"unknown":   {say(404, `{"data":null,"error":"Job not found"}`), holdfast.CodeNotFound, "does not know the workflow"},
		"down":      {say(503, ``), holdfast.CodeUnavailable, "HTTP 503"},
		"refused":   {say(422, ``), holdfast.CodeUnavailable, "HTTP 422"},
		"no JSON":   {say(200, `<html>`), holdfast.CodeUnavailable, "cannot be read"},
		"no object": {say(200, `{"data":[1]}`), holdfast.CodeUnavailable, "cannot be read"},
		"null":      {say(200, `{"data":null,"error":null}`), holdfast.CodeUnavailable, "cannot be read"},
		"too large": {say(200, strings.Repeat(" ", 1<<20+1)), holdfast.CodeRejected, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := scripted(t, map[string]http.HandlerFunc{"GET /jobs/{id}": tc.answer}).Job(t.Context(), "w")
			requireCode(t, tc.code, err, tc.text)
		})
	}
	_, err := scripted(t, nil).Job(t.Context(), "")
	requireCode(t, holdfast.CodeInvalid, err, "without an id")
	off, err := emprops.New(emprops.Config{Mode: emprops.ModeOff})
	require.NoError(t, err)
	_, err = off.Job(t.Context(), "w")
	requireCode(t, holdfast.CodePrecondition, err, "mode is off")
}
