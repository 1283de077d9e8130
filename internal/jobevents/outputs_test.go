package jobevents_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/jobevents"
)

func completion(data string) *holdfast.Event {
	return &holdfast.Event{ID: "evt", Type: "workflow_completed", Data: json.RawMessage(data)}
}

func TestD19_OutputsAreLackingOnlyWhereTheMessageRefersToThem(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]string{
		`{"workflow_id":"w","outputs_available":true}`:              "w",
		`{"workflow_id":"w","outputs_available":false}`:             "",
		`{"workflow_id":"w"}`:                                       "",
		`{"workflow_id":"w","outputs_available":true,"outputs":[]}`: "",
		`{"workflow_id":"","outputs_available":true}`:               "",
		`{"workflow_id":7,"outputs_available":true}`:                "",
	} {
		id, ok := jobevents.OutputsOf(completion(data))
		require.Equal(t, want != "", ok, data)
		if ok {
			require.Equal(t, want, id)
		}
	}
	other := completion(`{"workflow_id":"w","outputs_available":true}`)
	other.Type = "complete_job"
	_, ok := jobevents.OutputsOf(other)
	require.False(t, ok)
}

func TestD19_OutputsAreAddedInJavaScriptsBytes(t *testing.T) {
	t.Parallel()
	e := completion(`{"workflow_id":"w"}`)
	require.NoError(t, jobevents.AddOutputs(e, json.RawMessage(`[ {"b":1.0, "2":"é"} ]`)))
	require.Equal(t, `{"workflow_id":"w","outputs":[{"2":"é","b":1}]}`, string(e.Data))

	for code, want := range map[holdfast.Code]string{
		holdfast.CodeNotFound: "not_found", holdfast.CodeRejected: "rejected", holdfast.CodeUnavailable: "unavailable",
		holdfast.CodeInternal: "unavailable",
	} {
		e := completion(`{"workflow_id":"w"}`)
		require.NoError(t, jobevents.AddOutputsMissing(e, code))
		require.Equal(t, `{"workflow_id":"w","outputs_missing":"`+want+`"}`, string(e.Data))
	}
}

func TestD19_OutputsThatCannotBeSentLeaveTheEventAsItIs(t *testing.T) {
	t.Parallel()
	for name, outputs := range map[string]string{
		"too large": `"` + strings.Repeat("x", holdfast.MaxEventBytes) + `"`,
		"no JSON":   `[1`,
	} {
		e := completion(`{"workflow_id":"w"}`)
		err := jobevents.AddOutputs(e, json.RawMessage(outputs))
		require.Equal(t, holdfast.CodeRejected, holdfast.ErrorCode(err), name)
		require.Equal(t, `{"workflow_id":"w"}`, string(e.Data), name)
	}
}
