package eventfilter_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/eventfilter"
)

const jobData = `{"job_id":"j1","job_type":"render","priority":60,"retries":0,"worker_id":"gpu-7","flag":true,"ratio":0.5,"none":null,
	"error":"CUDA: Out of memory at 3","tags":["a","b"],"result":{"images":[{"width":512},{"width":1024}],"cost":1e3}}`

func event(data string) *holdfast.Event {
	// 2026-03-01T06:30:00Z
	return &holdfast.Event{ID: "evt_1", Type: "job_failed", Timestamp: 1772346600000, Data: []byte(data)}
}

func compile(t testing.TB, expression string) *eventfilter.Filter {
	t.Helper()
	f, err := eventfilter.Compile(expression)
	require.NoError(t, err, expression)
	return f
}

func TestMatch(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]bool{
		"":                      true,
		"true":                  true,
		`type == "job_failed"`:  true,
		`type != "job_failed"`:  false,
		`id.startsWith("evt_")`: true,
		`time.getHours() == 6`:  true,
		`time < timestamp("2026-03-02T00:00:00Z") && time > timestamp("2026-03-01T00:00:00Z")`: true,
		`time.getHours("Europe/Berlin") == 7`:                                                  true,
		// JSON's numbers are doubles; literals of any kind compare.
		"data.priority > 50":                                   true,
		"data.priority > 50.5":                                 true,
		"data.priority > 60":                                   false,
		"data.priority >= 60u":                                 true,
		"data.priority == 60":                                  true,
		"data.priority in [1, 60]":                             true,
		"data.priority + 1.0 > 60":                             true,
		"data.ratio < 1":                                       true,
		"size(data.tags) > 1.5":                                true,
		"data.result.cost == 1000":                             true,
		`data.job_type in ["render", "x"]`:                     true,
		`"job_type" in data`:                                   true,
		`"nothing" in data`:                                    false,
		`"b" in data.tags`:                                     true,
		`data.tags == ["a", "b"]`:                              true,
		`data.tags != ["a"]`:                                   true,
		`data["job_type"] == "render"`:                         true,
		"data.flag":                                            true,
		"data.none == null":                                    true,
		"!data.flag":                                           false,
		`data.priority == "60"`:                                false, // another type is not equal, not wrong
		"has(data.job_id)":                                     true,
		"has(data.nothing)":                                    false,
		"!has(data.nothing)":                                   true,
		"has(data.result.images)":                              true,
		"has(data.nothing) && data.nothing.deep > 1":           false,
		"data.nothing > 1 || data.flag":                        true,  // one side is enough
		"data.nothing > 1 && !data.flag":                       false, // and here too
		"data.result.images.exists(i, i.width >= 1024)":        true,
		"data.result.images.all(i, i.width >= 1024)":           false,
		"data.result.images.exists_one(i, i.width > 1000)":     true,
		"size(data.result.images.filter(i, i.width > 1)) == 2": true,
		`data.tags.map(x, x + "!") == ["a!", "b!"]`:            true,
		`data.error.contains("memory")`:                        true,
		`data.error.matches("(?i)out of memory")`:              true,
		`matches(data.error, "^CUDA: .* \\d$")`:                true,
		`data.error.matches("^memory")`:                        false,
		`data.flag ? data.priority > 1 : false`:                true,
		`[1] + data.tags + [] == [1, "a", "b"]`:                true,
		`data.tags.map(x, x) + [] == data.tags`:                true,
		`1 + 1 == 2 && "a" + "b" == "ab"`:                      true,
		`type(data.tags) == list && type(type) == string`:      true,
	} {
		got, err := compile(t, expression).Match(eventfilter.NewView(event(jobData)))
		require.NoError(t, err, expression)
		require.Equal(t, want, got, expression)
	}
}

func TestNoValueIsNoMatchAndSaysWhy(t *testing.T) {
	t.Parallel()
	for expression, why := range map[string]string{
		"data.nothing > 1":                     "no such key: nothing",
		"data.nothing.deep == 1":               "no such key: nothing",
		"data.job_type.deep == 1":              "no such",
		"!(data.nothing == 1)":                 "no such key: nothing",
		`data.job_type > 5`:                    "no such overload",
		"data.priority + 1 > 2":                "no such overload",
		"data.tags[7] == 'a'":                  "index out of bounds",
		"1 / (1 - int(data.flag ? 1 : 0)) > 0": "division by zero",
		"data.priority":                        "not true or false but of type double",
		"data.job_type":                        "of type string",
		"data.none":                            "of type null",
		`data.priority.matches("6")`:           "no such overload",
		`data.priority in data.job_type`:       "no such overload",
	} {
		got, err := compile(t, expression).Match(eventfilter.NewView(event(jobData)))
		require.False(t, got, expression)
		require.ErrorContains(t, err, why, expression)
		require.Equal(t, holdfast.CodePrecondition, holdfast.ErrorCode(err), expression)
	}
	for _, data := range []string{"", "null!", `[1]`, `"x"`, `{"a":`} {
		view := eventfilter.NewView(event(data))
		for range 2 { // what was found is kept
			got, err := compile(t, "true").Match(view)
			require.False(t, got, data)
			require.ErrorContains(t, err, "not a JSON object", data)
		}
	}
}

func TestCompileSaysWhereAndWhat(t *testing.T) {
	t.Parallel()
	for expression, want := range map[string]string{
		"typ == 'x'":                           "1:1: undeclared reference to 'typ'; for example: ",
		"true &&\n  data.x >":                  "2:11: ",
		"true &&\n  wrong == 1":                "2:3: undeclared reference to 'wrong'",
		"type == 5":                            "1:6: found no matching overload for '_==_'",
		"data.priority":                        "",
		"type":                                 "1:1: must be true or false, but is of type string",
		"data":                                 "1:1: must be true or false, but is of type map(string, dyn)",
		"1 + 1":                                "1:1: must be true or false, but is of type int",
		"data == 3":                            "1:6: found no matching overload",
		"has(data)":                            "1:5: invalid argument to has() macro",
		"now() > time":                         "1:4: undeclared reference to 'now'",
		`data.e.matches("(")`:                  "1:16: error parsing regexp: missing closing )",
		`matches("(", "x")`:                    "",
		`data.e.matches(data.pattern)`:         "1:20: the pattern of matches must be written out",
		`data.e.matches("a{900}b{900}c{900}")`: "1:16: the pattern is too large",
		`time > timestamp("yesterday")`:        "1:18: invalid timestamp",
		"data.a.all(a, data.b.all(b, data.c.all(c, data.d.all(d, a == d))))": "1:53: comprehension exceeds nesting limit",
		strings.Repeat("(", 500) + "true" + strings.Repeat(")", 500):         "1:",
		strings.Repeat("!", 4000) + "true":                                   "",
		" ":                                                                  "1:",
		"\x00":                                                               "1:1: ",
		"\xff\xfe":                                                           "1:",
		strings.Repeat("a", holdfast.MaxFilterExpression+1): "must not be longer than 4096 bytes",
	} {
		_, err := eventfilter.Compile(expression)
		if want == "" {
			require.NoError(t, err, expression)
			continue
		}
		require.Equal(t, holdfast.CodeInvalid, holdfast.ErrorCode(err), expression)
		e, ok := errors.AsType[*holdfast.Error](err)
		require.True(t, ok)
		require.Len(t, e.Violations, 1, expression)
		require.Equal(t, "filterExpression", e.Violations[0].Field)
		require.True(t, strings.HasPrefix(e.Violations[0].Description, want), "%q: %s", expression, e.Violations[0].Description)
		require.Less(t, len(e.Violations[0].Description), 400, expression)
		require.NotContains(t, e.Violations[0].Description, "\n")
	}
}

func TestSharedViewDecodesOnce(t *testing.T) {
	t.Parallel()
	e := event(jobData)
	view := eventfilter.NewView(e)
	for range 2 {
		for expression, want := range map[string]bool{"data.priority > 50": true, "data.flag": true, "data.priority < 50": false} {
			got, err := compile(t, expression).Match(view)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		e.Data = nil // nobody looks again
	}
}

// The worst that was thought of: each is over well before it does harm, on the largest data there can be.
func TestHostileExpressionsAreCutShort(t *testing.T) {
	t.Parallel()
	var numbers, same strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&numbers, "%d,", i%10)
	}
	for range 20_000 {
		same.WriteString(`{"a":[1,2,3,[4]]},`)
	}
	data := `{"n":[` + numbers.String() + `0],"m":[` + same.String() + `0],"s":"` + strings.Repeat("ab", 200_000) + `"}`
	require.Less(t, len(data), holdfast.MaxEventBytes)
	view := eventfilter.NewView(event(data))
	_, err := compile(t, "true").Match(view)
	require.NoError(t, err)
	some := func(n int, term, with string) string { return term + strings.Repeat(with+term, n-1) }
	fill := func(term, with string) string {
		return some((holdfast.MaxFilterExpression-len(term))/(len(with)+len(term)), term, with)
	}
	for name, expression := range map[string]string{
		"loops in loops":      "data.n.all(a, data.n.all(b, data.n.all(c, a + b + c >= 0.0)))",
		"many loops":          fill("data.n.all(a, a >= 0)", " && "),
		"lists in lists":      "size(data.n.map(a, data.n.map(b, data.n.map(c, c)))) > 0",
		"texts grow":          "size(data.n.map(a, data.s + data.s)) > 0",
		"long sum of texts":   "size(" + some(200, "data.s", "+") + ") > 0",
		"long sum of lists":   "5 in (" + some(200, "data.m", "+") + ")",
		"loop over the sum":   "(" + some(200, "data.n", "+") + ").all(x, x < 100)",
		"deep comparisons":    fill("data==data", "&&"),
		"list of lists":       "[" + some(200, "data.m", ",") + "] == [" + some(200, "data.m", ",") + "]",
		"in a list of lists":  "data.m in [" + some(400, "data.m", ",") + "]",
		"compare in a loop":   "data.m.all(x, data.m.all(y, x == y))",
		"texts compared":      fill("data.s<=data.s", "&&"),
		"sizes of texts":      fill("size(data.s)>1", "&&"),
		"slow pattern":        `data.s.matches("(a|b|ab)*(x+x+)+y$")`,
		"slow patterns":       fill(`data.s.matches("(x+x+)+y")`, "||"),
		"large pattern":       `data.n.all(i, data.s.matches("(ab?){300}x"))`,
		"small long pattern":  `data.n.exists(i, "` + strings.Repeat("ab", 1000) + `".matches("(a?b?){300}x"))`,
		"time zones in loops": "data.n.all(x, time.getHours('Asia/Tokyo') >= 0)",
		"contains":            `data.n.all(i, !data.s.contains("aab"))`,
		"conversions":         fill("bytes(data.s)!=b''", "&&"),
	} {
		f, err := eventfilter.Compile(expression)
		require.NoError(t, err, name)
		began := time.Now()
		_, err = f.Match(view)
		took := time.Since(began)
		t.Logf("%-20s %8v  %v", name, took.Round(10*time.Microsecond), err)
		require.Less(t, took, 10*time.Second, name) // unbounded they take minutes to hours; machines may be busy
		require.Error(t, err, name)
	}
}

func TestCacheIsBoundedAndForgetsTheLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	c := eventfilter.NewCache(2)
	of := func(expression string) *eventfilter.Filter {
		f, err := c.Compile(expression)
		require.NoError(t, err)
		return f
	}
	a, b := of("data.a"), of("data.b")
	require.Same(t, a, of("data.a"))
	of("data.c")
	require.Equal(t, 2, c.Len())
	require.Same(t, a, of("data.a"))
	require.NotSame(t, b, of("data.b"))
	require.Nil(t, of(""))
	_, err := c.Compile("nonsense")
	require.Equal(t, holdfast.CodeInvalid, holdfast.ErrorCode(err))
	require.Equal(t, 2, c.Len())
}

func TestFiltersAndCacheServeManyAtOnce(t *testing.T) {
	t.Parallel()
	c := eventfilter.NewCache(3)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 50 {
				f, err := c.Compile(fmt.Sprintf("data.priority > %d", (g+i)%5))
				if err != nil {
					t.Error(err)
					return
				}
				if pass, err := f.Match(eventfilter.NewView(event(`{"priority":2}`))); err != nil || pass != ((g+i)%5 < 2) {
					t.Error(pass, err)
				}
			}
		})
	}
	wg.Wait()
	require.LessOrEqual(t, c.Len(), 3)
}
