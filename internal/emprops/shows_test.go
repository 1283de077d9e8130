package emprops_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/emprops"
)

func TestShowsTellsWhetherEMPROPSKnowsTheWebhookAsItIs(t *testing.T) {
	t.Parallel()
	_, c := platform(t, emprops.ModeRequired, time.Second)
	w := webhook()
	same, detail, err := c.Shows(t.Context(), w)
	require.NoError(t, err)
	require.Equal(t, []any{false, "not known"}, []any{same, detail})

	require.NoError(t, c.Confirm(t.Context(), w))
	same, _, err = c.Shows(t.Context(), w)
	require.NoError(t, err)
	require.True(t, same)

	w.URL, w.Active = "https://example.com/other", false
	same, detail, err = c.Shows(t.Context(), w)
	require.NoError(t, err)
	require.Equal(t, []any{false, "[active url] differ"}, []any{same, detail})

	_, _, err = c.Shows(t.Context(), &holdfast.Webhook{})
	requireCode(t, holdfast.CodeInvalid, err, "without an id")
}

func TestShowsTakesAFailureForNoAnswer(t *testing.T) {
	t.Parallel()
	c := clientOf(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
	}), emprops.ModeBestEffort, time.Second)
	same, _, err := c.Shows(t.Context(), webhook())
	require.False(t, same)
	requireCode(t, holdfast.CodeUnavailable, err, "HTTP 500")

	off, err := emprops.New(emprops.Config{Mode: emprops.ModeOff})
	require.NoError(t, err)
	same, _, err = off.Shows(t.Context(), webhook())
	require.NoError(t, err)
	require.True(t, same)
}
