package holdfast_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
)

// validWebhook breaks no rule.
func validWebhook() holdfast.Webhook {
	return holdfast.Webhook{
		URL: "https://hooks.example.com/in?x=1", Events: []string{"job_submitted", "complete_job"}, Active: true,
		Secret: "s", Headers: map[string]string{"X-Team": "a"}, Description: "d", RetryConfig: holdfast.DefaultRetryPolicy(),
		Filters: holdfast.Filters{JobTypes: []string{"a"}, Priorities: []float64{1, 2.5}},
	}
}

func TestValidWebhookHasNoViolation(t *testing.T) {
	t.Parallel()
	w := validWebhook()
	require.Empty(t, w.Violations())
	w.Headers, w.Secret, w.Filters = nil, "", holdfast.Filters{}
	for _, url := range []string{
		"http://localhost:3332/receive/abc", "https://[::1]:8443/", "http://10.0.0.1", "https://xn--bcher-kva.example/a%20b",
	} {
		w.URL = url
		require.Empty(t, w.Violations(), url)
	}
}

func TestEveryRuleOfAWebhookNamesItsFieldAsTheAPISpellsIt(t *testing.T) {
	t.Parallel()
	manyHeaders := map[string]string{}
	for i := range holdfast.MaxHeaders + 1 {
		manyHeaders["X-"+strings.Repeat("a", i+1)] = "v"
	}
	manyTexts := slices.Repeat([]string{"a"}, holdfast.MaxFilterValues+1)
	cases := map[string]struct {
		set   func(*holdfast.Webhook)
		field string
		text  string // part of the description
	}{
		"no URL":                  {func(w *holdfast.Webhook) { w.URL = "" }, "url", "is required"},
		"long URL":                {func(w *holdfast.Webhook) { w.URL = "http://a/" + strings.Repeat("x", holdfast.MaxURLLength) }, "url", "longer than 2048"},
		"space in URL":            {func(w *holdfast.Webhook) { w.URL = "http://a/ b" }, "url", "spaces or control"},
		"newline in URL":          {func(w *holdfast.Webhook) { w.URL = "http://a/\nb" }, "url", "spaces or control"},
		"bad UTF-8 in URL":        {func(w *holdfast.Webhook) { w.URL = "http://a/\xff" }, "url", "spaces or control"},
		"unparseable URL":         {func(w *holdfast.Webhook) { w.URL = "http://a:b:c/" }, "url", "not a valid URL"},
		"URL of other scheme":     {func(w *holdfast.Webhook) { w.URL = "ftp://a/" }, "url", "http:// or https://"},
		"relative URL":            {func(w *holdfast.Webhook) { w.URL = "/hook" }, "url", "http:// or https://"},
		"URL without host":        {func(w *holdfast.Webhook) { w.URL = "http://:80/" }, "url", "name a host"},
		"URL with password":       {func(w *holdfast.Webhook) { w.URL = "https://u:p@a/" }, "url", "user name or password"},
		"URL with fragment":       {func(w *holdfast.Webhook) { w.URL = "https://a/#x" }, "url", "fragment"},
		"URL with empty fragment": {func(w *holdfast.Webhook) { w.URL = "https://a/#" }, "url", "fragment"},
		"no events":               {func(w *holdfast.Webhook) { w.Events = nil }, "eventTypes", "at least one"},
		"empty events":            {func(w *holdfast.Webhook) { w.Events = []string{} }, "eventTypes", "at least one"},
		"unknown event":           {func(w *holdfast.Webhook) { w.Events[1] = "bogus_event" }, "eventTypes[1]", `"bogus_event" is not an event type; known are job_submitted, `},
		"event twice":             {func(w *holdfast.Webhook) { w.Events[1] = w.Events[0] }, "eventTypes[1]", "twice"},
		"long secret":             {func(w *holdfast.Webhook) { w.Secret = strings.Repeat("s", holdfast.MaxSecretLength+1) }, "secret", "longer than 512"},
		"binary secret":           {func(w *holdfast.Webhook) { w.Secret = "\xff" }, "secret", "UTF-8"},
		"long description":        {func(w *holdfast.Webhook) { w.Description = strings.Repeat("d", holdfast.MaxDescriptionLength+1) }, "description", "longer than 1024"},
		"many headers":            {func(w *holdfast.Webhook) { w.Headers = manyHeaders }, "headers", "more than 50"},
		"large headers": {func(w *holdfast.Webhook) {
			w.Headers = map[string]string{"X-A": strings.Repeat("v", holdfast.MaxHeaderBytes)}
		}, "headers", "larger than 8192"},
		"header name":         {func(w *holdfast.Webhook) { w.Headers = map[string]string{"X A": "v"} }, "headers.X A", "not a valid header name"},
		"empty header name":   {func(w *holdfast.Webhook) { w.Headers = map[string]string{"": "v"} }, "headers.", "not a valid header name"},
		"reserved header":     {func(w *holdfast.Webhook) { w.Headers = map[string]string{"X-Webhook-Event": "v"} }, "headers.X-Webhook-Event", "set by Holdfast"},
		"header in two cases": {func(w *holdfast.Webhook) { w.Headers = map[string]string{"X-A": "1", "x-a": "2"} }, "headers.x-a", "case only"},
		"header value":        {func(w *holdfast.Webhook) { w.Headers = map[string]string{"X-A": "a\r\nX-B: b"} }, "headers.X-A", "control characters"},
		"many job types":      {func(w *holdfast.Webhook) { w.Filters.JobTypes = manyTexts }, "filters.jobTypes", "more than 1000"},
		"many priorities":     {func(w *holdfast.Webhook) { w.Filters.Priorities = make([]float64, holdfast.MaxFilterValues+1) }, "filters.priorities", "more than 1000"},
		"many machines":       {func(w *holdfast.Webhook) { w.Filters.MachineIDs = manyTexts }, "filters.machineIds", "more than 1000"},
		"many workers":        {func(w *holdfast.Webhook) { w.Filters.WorkerIDs = manyTexts }, "filters.workerIds", "more than 1000"},
		"priority NaN":        {func(w *holdfast.Webhook) { w.Filters.Priorities[1] = math.NaN() }, "filters.priorities[1]", "number"},
		"priority infinite":   {func(w *holdfast.Webhook) { w.Filters.Priorities[0] = math.Inf(-1) }, "filters.priorities[0]", "number"},
		"no attempts":         {func(w *holdfast.Webhook) { w.RetryConfig.MaxAttempts = 0 }, "retryPolicy.maxAttempts", "between 1 and 100"},
		"many attempts":       {func(w *holdfast.Webhook) { w.RetryConfig.MaxAttempts = 101 }, "retryPolicy.maxAttempts", "between 1 and 100"},
		"no delay":            {func(w *holdfast.Webhook) { w.RetryConfig.InitialDelayMS = 0 }, "retryPolicy.initialDelay", "1 ms"},
		"shrinking delay":     {func(w *holdfast.Webhook) { w.RetryConfig.BackoffMultiplier = 0.9 }, "retryPolicy.backoffMultiplier", "between 1 and 100"},
		"delay NaN":           {func(w *holdfast.Webhook) { w.RetryConfig.BackoffMultiplier = math.NaN() }, "retryPolicy.backoffMultiplier", "between 1 and 100"},
		"exploding delay":     {func(w *holdfast.Webhook) { w.RetryConfig.BackoffMultiplier = 101 }, "retryPolicy.backoffMultiplier", "between 1 and 100"},
		"longest under first": {func(w *holdfast.Webhook) { w.RetryConfig.MaxDelayMS = 999 }, "retryPolicy.maxDelay", "initialDelay"},
		"longest too long":    {func(w *holdfast.Webhook) { w.RetryConfig.MaxDelayMS = holdfast.MaxRetryDelayMS + 1 }, "retryPolicy.maxDelay", "7 days"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := validWebhook()
			c.set(&w)
			v := w.Violations()
			require.Len(t, v, 1)
			require.Equal(t, c.field, v[0].Field)
			require.Contains(t, v[0].Description, c.text)
		})
	}
}

func TestBoundsThemselvesAreAllowed(t *testing.T) {
	t.Parallel()
	w := validWebhook()
	w.URL = "http://a/" + strings.Repeat("x", holdfast.MaxURLLength-len("http://a/"))
	w.Secret = strings.Repeat("s", holdfast.MaxSecretLength)
	w.Description = strings.Repeat("d", holdfast.MaxDescriptionLength)
	w.Filters.JobTypes = slices.Repeat([]string{"a"}, holdfast.MaxFilterValues)
	w.Headers = map[string]string{"X-A": strings.Repeat("v", holdfast.MaxHeaderBytes-len("X-A"))}
	w.RetryConfig = holdfast.RetryPolicy{
		MaxAttempts: 100, InitialDelayMS: holdfast.MaxRetryDelayMS, BackoffMultiplier: 100, MaxDelayMS: holdfast.MaxRetryDelayMS,
	}
	require.Empty(t, w.Violations())
}

func TestD58_HeadersOfTheSenderCannotBeReplaced(t *testing.T) {
	t.Parallel()
	for _, name := range []string{
		"Content-Type", "content-length", "USER-AGENT", "Host", "Connection", "Transfer-Encoding", "X-Webhook-Event",
		"X-Webhook-Id", "X-Event-Id", "X-Webhook-Signature", "Webhook-Id", "webhook-timestamp", "Webhook-Signature",
		"TE", "trailer", "Upgrade", "keep-alive", "Expect", "Proxy-Connection", "Proxy-Authorization", "Accept-Encoding",
		"Content-Encoding", "content-range", "HTTP2-Settings", "WebHook-Request-Origin", "webhook-request-RATE",
		"WebHook-Request-Callback", "ce-id", "Ce-Source", "CE-TYPE", "ce-specversion", "ce-time", "ce-whatever",
	} {
		require.True(t, holdfast.ReservedHeader(name), name)
		w := validWebhook()
		w.Headers = map[string]string{name: "v"}
		require.Equal(t, []holdfast.Violation{{Field: "headers." + name, Description: "is set by Holdfast and cannot be replaced"}}, w.Violations())
	}
}

func TestD58_OtherHeadersArePassedOn(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Authorization", "Accept", "X-Api-Key", "Cookie", "Idempotency-Key", "Date", "cell-id", "Ce", "X-Ce-Id", "Webhook", "Content-Language"} {
		require.False(t, holdfast.ReservedHeader(name), name)
		w := validWebhook()
		w.Headers = map[string]string{name: "v"}
		require.Empty(t, w.Violations(), name)
	}
}

func TestD58_HeadersThatDifferInCaseOnlyAreRefused(t *testing.T) {
	t.Parallel()
	w := validWebhook()
	w.Headers = map[string]string{"X-TEAM": "a", "X-Team": "b", "x-team": "c", "X-Other": "d"}
	require.Equal(t, []holdfast.Violation{
		{Field: "headers.X-Team", Description: "differs from another header in case only"},
		{Field: "headers.x-team", Description: "differs from another header in case only"},
	}, w.Violations())
	w = validWebhook()
	w.Headers, w.Authorization = map[string]string{"AUTHORIZATION": "Basic eA=="}, "Bearer t"
	require.Equal(t, []holdfast.Violation{{Field: "authorization", Description: "is given a second time in headers"}}, w.Violations())
}

func TestSigningKeyMustBeOneThatCanBeVerified(t *testing.T) {
	t.Parallel()
	public, key, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	encode := base64.StdEncoding.EncodeToString
	for text, ok := range map[string]bool{
		"whsk_" + encode(key):        true,
		"whsk_" + encode(key.Seed()): true,
		encode(key):                  false,
		"whsk_" + encode(append(key.Seed(), key.Seed()...)):  false,
		"whsk_" + encode(public[:31]):                        false,
		"whsk_" + strings.TrimRight(encode(key.Seed()), "="): false,
		"whpk_" + encode(public):                             false,
		"whsk_":                                              false,
	} {
		w := validWebhook()
		w.SigningKey = text
		want := []holdfast.Violation{{Field: "signingKey", Description: "must be whsk_ and an Ed25519 private key in base64"}}
		if ok {
			want = nil
		}
		require.Equal(t, want, w.Violations())
	}
}

func TestViolationsComeInOneOrder(t *testing.T) {
	t.Parallel()
	w := validWebhook()
	many := slices.Repeat([]string{"a"}, holdfast.MaxFilterValues+1)
	w.Filters = holdfast.Filters{JobTypes: many, MachineIDs: many, WorkerIDs: many}
	w.Headers = map[string]string{"b b": "", "a a": "", "c c": "", "x-d": "", "X-D": "", "Host": ""}
	first := w.Violations()
	require.Len(t, first, 8)
	for range 50 {
		require.Equal(t, first, w.Violations())
	}
}

func TestEveryRuleOfAnEvent(t *testing.T) {
	t.Parallel()
	valid := holdfast.Event{ID: "evt_1-a.B:2", Type: "complete_job", Timestamp: 1, Data: []byte("{}")}
	require.Empty(t, valid.Violations())
	valid.ID = strings.Repeat("i", holdfast.MaxEventIDLength)
	require.Empty(t, valid.Violations())
	valid.ID = ""
	require.Empty(t, valid.Violations(), "an event without an id gets one")

	cases := map[string]struct {
		set   func(*holdfast.Event)
		field string
	}{
		"unknown type":              {func(e *holdfast.Event) { e.Type = "job.submitted" }, "event.type"},
		"no type":                   {func(e *holdfast.Event) { e.Type = "" }, "event.type"},
		"long id":                   {func(e *holdfast.Event) { e.ID = strings.Repeat("i", holdfast.MaxEventIDLength+1) }, "event.id"},
		"slash in id":               {func(e *holdfast.Event) { e.ID = "a/b" }, "event.id"},
		"newline in id":             {func(e *holdfast.Event) { e.ID = "a\nb" }, "event.id"},
		"letter beyond ASCII in id": {func(e *holdfast.Event) { e.ID = "é" }, "event.id"},
		"large data":                {func(e *holdfast.Event) { e.Data = make([]byte, holdfast.MaxEventBytes+1) }, "event.data"},
		"time before 1970":          {func(e *holdfast.Event) { e.Timestamp = -1 }, "event.timestamp"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := valid
			c.set(&e)
			v := e.Violations()
			require.Len(t, v, 1)
			require.Equal(t, c.field, v[0].Field)
			require.NotEmpty(t, v[0].Description)
		})
	}
}

func TestLongWrongNamesAreCutInTheAnswer(t *testing.T) {
	t.Parallel()
	e := holdfast.Event{Type: strings.Repeat("é", 1000)}
	v := e.Violations()
	require.Len(t, v, 1)
	require.Less(t, len(v[0].Description), 400)
	require.Contains(t, v[0].Description, "é…")
}

func FuzzWebhookViolationsNeverPanic(f *testing.F) {
	f.Add("http://a/", "job_submitted", "s", "X-A", "v", 1.0, int64(1))
	f.Add("http://[::1%25eth0]:1/#", "", "\xff", "Host", "\r\n", math.NaN(), int64(-1))
	f.Fuzz(func(t *testing.T, url, event, secret, header, value string, number float64, n int64) {
		w := holdfast.Webhook{
			URL: url, Events: []string{event, event}, Secret: secret, Description: value,
			Headers:     map[string]string{header: value, strings.ToUpper(header): value},
			Filters:     holdfast.Filters{JobTypes: []string{event}, Priorities: []float64{number}},
			RetryConfig: holdfast.RetryPolicy{MaxAttempts: int(n), InitialDelayMS: n, BackoffMultiplier: number, MaxDelayMS: n},
		}
		v := w.Violations()
		require.Equal(t, v, w.Violations())
		for _, one := range v {
			require.NotEmpty(t, one.Field)
			require.NotEmpty(t, one.Description)
		}
		e := holdfast.Event{ID: header, Type: event, Timestamp: n, Data: []byte(value)}
		_ = e.Violations()
		d := w.RetryConfig.Delay(int(n))
		require.Positive(t, d, "no hot loop whatever the policy (D29)")
		require.LessOrEqual(t, d.Milliseconds(), int64(holdfast.MaxRetryDelayMS))
		_ = holdfast.FactsOf([]byte(value))
	})
}
