package eventfilter_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/eventfilter"
)

func FuzzFilter(f *testing.F) {
	for _, expression := range []string{
		`type == "job_failed" && data.priority > 50`, `data.result.images.exists(i, i.width >= 1024)`,
		`data.error.matches("(?i)out of memory")`, `time.getHours("Europe/Berlin") < 8`, `data == data`, `data.a.map(x, data.a) != []`,
		`has(data.x) ? data.x in data.l : "b" in data`, `[data, {"a": data}] == [data]`, "((((((", "data.a[", `"\u{110000}"`, "1 > 2 in 3",
		`duration("1h") + time > time`, `b"a" + bytes(data.s) == b"aa"`, `type(data.a) == list`, `data.s.size() > 18446744073709551615u`,
	} {
		f.Add(expression, jobData)
	}
	f.Fuzz(func(t *testing.T, expression, data string) {
		began := time.Now()
		filter, err := eventfilter.Compile(expression)
		if err != nil {
			require.Equal(t, holdfast.CodeInvalid, holdfast.ErrorCode(err))
			return
		}
		compiled := time.Now()
		pass, err := filter.Match(eventfilter.NewView(event(data)))
		require.False(t, pass && err != nil)
		// Generous: the machine may be busy fuzzing.
		require.Less(t, compiled.Sub(began), 5*time.Second, expression)
		require.Less(t, time.Since(compiled), 5*time.Second, expression)
	})
}
