package holdfast_test

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
)

func TestEventTypesAreTheOriginalsTen(t *testing.T) {
	t.Parallel()
	require.Len(t, holdfast.EventTypes, 10)
	for _, name := range holdfast.EventTypes {
		require.True(t, holdfast.IsEventType(name))
	}
	for _, name := range []string{"", "job.submitted", "JOB_SUBMITTED", "job_submitted "} {
		require.False(t, holdfast.IsEventType(name), name)
	}
}

func TestFactsOfReadsOnlyWhatFiltersCompare(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	number := func(n float64) *float64 { return &n }
	cases := map[string]struct {
		data string
		want holdfast.Facts
	}{
		"all":             {`{"job_type":"a","priority":5,"machine_id":"m","worker_id":"w"}`, holdfast.Facts{text("a"), number(5), text("m"), text("w")}},
		"none":            {`{}`, holdfast.Facts{}},
		"empty text":      {`{"machine_id":""}`, holdfast.Facts{MachineID: text("")}},
		"null":            {`{"job_type":null,"priority":null}`, holdfast.Facts{}},
		"other types":     {`{"job_type":1,"priority":"5","machine_id":{},"worker_id":["w"]}`, holdfast.Facts{}},
		"exact names":     {`{"Job_Type":"a","PRIORITY":1,"job_type":"b","JOB_TYPE":"c"}`, holdfast.Facts{JobType: text("b")}},
		"nested":          {`{"job":{"job_type":"a"}}`, holdfast.Facts{}},
		"number too big":  {`{"priority":1e999,"worker_id":"w"}`, holdfast.Facts{WorkerID: text("w")}},
		"not an object":   {`[1]`, holdfast.Facts{}},
		"not JSON":        {`{"job_type":"a"`, holdfast.Facts{}},
		"nothing":         {``, holdfast.Facts{}},
		"the last counts": {`{"worker_id":"a","worker_id":"b"}`, holdfast.Facts{WorkerID: text("b")}},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, holdfast.FactsOf(json.RawMessage(c.data)))
		})
	}
}

func TestFilters(t *testing.T) {
	t.Parallel()
	facts := holdfast.FactsOf(json.RawMessage(`{"job_type":"a","priority":5,"machine_id":"m","worker_id":"w"}`))
	cases := map[string]struct {
		filters holdfast.Filters
		event   string
		facts   holdfast.Facts
		want    bool
	}{
		"no filter":                           {holdfast.Filters{}, "job_submitted", facts, true},
		"all pass":                            {holdfast.Filters{[]string{"a"}, []float64{5}, []string{"m"}, []string{"w"}}, "job_submitted", facts, true},
		"any value of one filter":             {holdfast.Filters{JobTypes: []string{"x", "a"}}, "job_submitted", facts, true},
		"D27 job type counts":                 {holdfast.Filters{JobTypes: []string{"x"}}, "complete_job", facts, false},
		"priority":                            {holdfast.Filters{Priorities: []float64{4}}, "job_submitted", facts, false},
		"machine":                             {holdfast.Filters{MachineIDs: []string{"x"}}, "machine_status", facts, false},
		"worker":                              {holdfast.Filters{WorkerIDs: []string{"x"}}, "worker_status", facts, false},
		"one of several fails":                {holdfast.Filters{JobTypes: []string{"a"}, WorkerIDs: []string{"x"}}, "job_failed", facts, false},
		"no wildcard":                         {holdfast.Filters{MachineIDs: []string{"*"}}, "machine_status", facts, false},
		"field absent":                        {holdfast.Filters{[]string{"x"}, []float64{4}, []string{"x"}, []string{"x"}}, "job_failed", holdfast.Facts{}, true},
		"empty filter, field present":         {holdfast.Filters{MachineIDs: []string{}}, "machine_status", facts, false},
		"empty filter, field absent":          {holdfast.Filters{MachineIDs: []string{}}, "machine_status", holdfast.Facts{}, true},
		"workers not for workflow_completed":  {holdfast.Filters{WorkerIDs: []string{"x"}}, "workflow_completed", facts, true},
		"machines for workflow_completed too": {holdfast.Filters{MachineIDs: []string{"x"}}, "workflow_completed", facts, false},
		"workers for workflow_failed":         {holdfast.Filters{WorkerIDs: []string{"x"}}, "workflow_failed", facts, false},
		"workers for workflow_submitted":      {holdfast.Filters{WorkerIDs: []string{"x"}}, "workflow_submitted", facts, false},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, c.filters.Pass(c.event, c.facts))
		})
	}
}

func TestEmptyFilterSurvivesStorage(t *testing.T) {
	t.Parallel()
	in := holdfast.Filters{JobTypes: []string{}, Priorities: []float64{}, MachineIDs: []string{}, WorkerIDs: []string{}}
	require.False(t, in.None())
	stored, err := json.Marshal(in)
	require.NoError(t, err)
	var out holdfast.Filters
	require.NoError(t, json.Unmarshal(stored, &out))
	require.Equal(t, in, out, "an empty filter matches nothing; no filter matches everything")

	stored, err = json.Marshal(holdfast.Filters{})
	require.NoError(t, err)
	require.JSONEq(t, `{}`, string(stored))
	require.True(t, (&holdfast.Filters{}).None())
}

func TestSizeGrowsWithEveryPart(t *testing.T) {
	t.Parallel()
	e := holdfast.Event{ID: "evt_1", Type: "job_failed", Data: []byte(`{"a":1}`)}
	require.GreaterOrEqual(t, e.Size(), len(e.ID)+len(e.Type)+len(e.Data))
}

func FuzzFactsOfNeverPanics(f *testing.F) {
	f.Add([]byte(`{"job_type":"a","priority":5}`))
	f.Add([]byte(`{"priority":1e999,"worker_id":"\ud800"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		facts := holdfast.FactsOf(data)
		if !json.Valid(data) {
			require.Equal(t, holdfast.Facts{}, facts)
		}
	})
}
