package telemetry

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/jsjson"
)

func TestD46_IDsAreReadFromData(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxID-2)
	for data, want := range map[string]ids{
		`{"job_id":"j","workflow_id":"w","customer_id":7}`:                            {"w", "j", "7"},
		`{"a":{"job_id":"inner","b":["}",{"c":"\"}"}]},"job_id":"j"}`:                 {unknown, "j", unknown},
		`{"Job_ID":"other","job_id":"j","JOB_ID":"other"}`:                            {unknown, "j", unknown},
		`{"job_id":null,"workflow_id":"","customer_id":{"a":1}}`:                      {unknown, unknown, `{"a":1}`},
		`{"x\"":"\\","job_id":"a\"b\u0001","e":{},"f":[],"customer_id":true}`:         {unknown, "a\"b\x01", "true"},
		`{"job_id":"` + long + `","workflow_id":"` + long + `x","customer_id":"ü,}"}`: {unknown, long, "ü,}"},
		`{}`: {unknown, unknown, unknown},
	} {
		canonical, err := jsjson.CanonicalObject(nil, []byte(data))
		require.NoError(t, err, data)
		require.Equal(t, want, idsOf(canonical), data)
	}
}

func FuzzIDsOf(f *testing.F) {
	for _, seed := range []string{`{"job_id":"j","a":[1,{"b":"\""}]}`, `{"job_id`, `{"a":"\`, `{"a"`, `{"a":]`, ``, `[1]`, `{"a":1,`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got := idsOf(data)
		for _, id := range []string{got.workflow, got.job, got.customer} {
			require.NotEmpty(t, id)
			require.LessOrEqual(t, len(id), maxID*3) // a byte that is no UTF-8 becomes three
		}
		canonical, err := jsjson.CanonicalObject(nil, data)
		if err != nil {
			return
		}
		require.Equal(t, decoded(t, canonical), idsOf(canonical))
	})
}

// decoded is what idsOf says, by a decoder.
func decoded(t *testing.T, data []byte) ids {
	t.Helper()
	var members map[string]json.RawMessage
	require.NoError(t, json.Unmarshal(data, &members))
	return ids{id(members["workflow_id"]), id(members["job_id"]), id(members["customer_id"])}
}
