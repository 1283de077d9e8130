package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

type input = holdfastv1.WebhookInput

// kind is how often a flag may be given and whether it needs a value.
type kind int

const (
	once kind = iota
	list
	onOff
)

// webhookSetting is a flag for a field of a webhook.
type webhookSetting struct {
	flag, path string // path in the update mask
	kind       kind
	doc        string // the value's name in backquotes
	set        func(in *input, values []string) error
}

const fromFile = "; @FILE reads it from a file, @- from standard input"

var webhookSettings = []webhookSetting{
	{"url", "url", once, "`URL` events are posted to", text(func(in *input) *string { return &in.Url })},
	{"event-type", "eventTypes", list, "event `TYPE` wanted; repeat for more", func(in *input, values []string) error {
		in.EventTypes = values
		return nil
	}},
	{"description", "description", once, "`TEXT` for people", text(func(in *input) *string { return at(&in.Description) })},
	{
		"active", "active", onOff, "whether it receives events; those of an inactive one are held (default true)",
		boolean(func(in *input) *bool { return at(&in.Active) }),
	},
	{"static", "static", onOff, "never disconnect it after failures", boolean(func(in *input) *bool { return at(&in.Static) })},
	{
		"job-type", "filters.jobTypes", list, "only events whose job_type is this `VALUE`; repeat for more",
		strs(func(in *input) *[]string { return &filters(in).JobTypes }),
	},
	{"priority", "filters.priorities", list, "only events whose priority is this `NUMBER`; repeat for more", func(in *input, values []string) error {
		for _, value := range values {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return errors.New("must be a number")
			}
			filters(in).Priorities = append(filters(in).Priorities, n)
		}
		return nil
	}},
	{
		"machine-id", "filters.machineIds", list, "only events whose machine_id is this `VALUE`; repeat for more",
		strs(func(in *input) *[]string { return &filters(in).MachineIds }),
	},
	{
		"worker-id", "filters.workerIds", list, "only events whose worker_id is this `VALUE`; repeat for more",
		strs(func(in *input) *[]string { return &filters(in).WorkerIds }),
	},
	{
		"filter-expression", "filterExpression", once, "CEL `EXPRESSION` over the event that must hold",
		text(func(in *input) *string { return at(&in.FilterExpression) }),
	},
	{"secret", "secret", once, "`SECRET` requests are signed with" + fromFile, secret(func(in *input, value string) error {
		in.Secret = value
		return nil
	})},
	{
		"signing-key", "signingKey", once, "Ed25519 private `KEY`, whsk_ and base64, or new for one that is made" + fromFile,
		secret(signingKey),
	},
	{"header", "headers", list, "additional request header, `NAME: VALUE`; repeat for more, which replaces those there were", headers},
	{"basic", "authorization", once, "`USER:PASSWORD` for the receiver" + fromFile, secret(func(in *input, value string) error {
		user, password, ok := strings.Cut(value, ":")
		if !ok {
			return errors.New("must be USER:PASSWORD")
		}
		in.Authorization = &holdfastv1.Authorization{Credential: &holdfastv1.Authorization_Basic{
			Basic: &holdfastv1.BasicCredentials{User: user, Password: password},
		}}
		return nil
	})},
	{"bearer-token", "authorization", once, "bearer `TOKEN` for the receiver" + fromFile, secret(func(in *input, value string) error {
		if in.Authorization != nil {
			return errors.New("goes not together with --basic")
		}
		in.Authorization = &holdfastv1.Authorization{Credential: &holdfastv1.Authorization_BearerToken{BearerToken: value}}
		return nil
	})},
	{"format", "format", once, "`FORMAT` of the bodies: envelope, standard or cloudevents (default envelope)", func(in *input, values []string) error {
		number, known := holdfastv1.PayloadFormat_value["PAYLOAD_FORMAT_"+strings.ToUpper(values[0])]
		if !known || number == 0 {
			return errors.New("must be envelope, standard or cloudevents")
		}
		in.Format = holdfastv1.PayloadFormat(number)
		return nil
	}},
	{"handshake", "handshake", onOff, "ask the endpoint for its consent", boolean(func(in *input) *bool { return at(&in.Handshake) })},
	{
		"rate-limit", "rateLimit", once, "most attempts a second, `NUMBER`; 0 is no limit",
		number(func(in *input) *float64 { return at(&in.RateLimit) }),
	},
	{
		"ordering-key", "orderingKey", once, "`FIELD` of the data whose equal values are delivered in order",
		text(func(in *input) *string { return at(&in.OrderingKey) }),
	},
	{
		"retry-preset", "retryPolicy.preset", once, "retry policy by `NAME`: default or days; the flags below change it",
		text(func(in *input) *string { return at(&retries(in).Preset) }),
	},
	{"retry-max-attempts", "retryPolicy.maxAttempts", once, "`N` attempts, the first included", func(in *input, values []string) error {
		n, err := strconv.ParseInt(values[0], 10, 32)
		*at(&retries(in).MaxAttempts) = int32(n)
		return whole(err)
	}},
	{
		"retry-initial-delay", "retryPolicy.initialDelay", once, "`DURATION` before the second attempt",
		duration(func(in *input) **durationpb.Duration { return &retries(in).InitialDelay }),
	},
	{
		"retry-multiplier", "retryPolicy.backoffMultiplier", once, "growth `X` from one delay to the next",
		number(func(in *input) *float64 { return at(&retries(in).BackoffMultiplier) }),
	},
	{
		"retry-max-delay", "retryPolicy.maxDelay", once, "longest delay, `DURATION`",
		duration(func(in *input) **durationpb.Duration { return &retries(in).MaxDelay }),
	},
	{
		"retry-jitter", "retryPolicy.jitter", once, "`SHARE` of each delay left to chance, 0 to 1",
		number(func(in *input) *float64 { return at(&retries(in).Jitter) }),
	},
	{"no-retry-status", "retryPolicy.noRetryStatuses", list, "`STATUS` after which no attempt follows; repeat for more", func(in *input, values []string) error {
		for _, value := range values {
			status, err := strconv.ParseInt(value, 10, 32)
			if err != nil {
				return whole(err)
			}
			retries(in).NoRetryStatuses = append(retries(in).NoRetryStatuses, int32(status))
		}
		return nil
	}},
}

// settingFlags defines the flags of a webhook's fields. What they say is read by the function it returns: the values and
// the paths of the fields that were given.
func settingFlags(fs *pflag.FlagSet) func() (*input, []string, error) {
	for _, s := range webhookSettings {
		switch s.kind {
		case list:
			fs.StringArray(s.flag, nil, s.doc)
		case onOff:
			fs.Bool(s.flag, false, s.doc)
		default:
			fs.String(s.flag, "", s.doc)
		}
	}
	return func() (*input, []string, error) {
		in := &input{}
		var paths []string
		for _, s := range webhookSettings {
			flag := fs.Lookup(s.flag)
			if !flag.Changed {
				continue
			}
			values := []string{flag.Value.String()}
			if several, ok := flag.Value.(pflag.SliceValue); ok {
				values = several.GetSlice()
			}
			if err := s.set(in, values); err != nil {
				return nil, nil, usageError{"--" + s.flag + " " + err.Error()}
			}
			paths = append(paths, s.path)
		}
		return in, paths, nil
	}
}

// at points at an optional value, which is present from then on.
func at[T any](field **T) *T {
	if *field == nil {
		*field = new(T)
	}
	return *field
}

func filters(in *input) *holdfastv1.Filters     { return at(&in.Filters) }
func retries(in *input) *holdfastv1.RetryPolicy { return at(&in.RetryPolicy) }
func whole(err error) error {
	if err != nil {
		return errors.New("must be a whole number")
	}
	return nil
}

func text(field func(*input) *string) func(*input, []string) error {
	return func(in *input, values []string) error {
		*field(in) = values[0]
		return nil
	}
}

func strs(field func(*input) *[]string) func(*input, []string) error {
	return func(in *input, values []string) error {
		*field(in) = values
		return nil
	}
}

func boolean(field func(*input) *bool) func(*input, []string) error {
	return func(in *input, values []string) error {
		*field(in) = values[0] == "true"
		return nil
	}
}

func number(field func(*input) *float64) func(*input, []string) error {
	return func(in *input, values []string) error {
		n, err := strconv.ParseFloat(values[0], 64)
		if err != nil {
			return errors.New("must be a number")
		}
		*field(in) = n
		return nil
	}
}

func duration(field func(*input) **durationpb.Duration) func(*input, []string) error {
	return func(in *input, values []string) error {
		d, err := time.ParseDuration(values[0])
		if err != nil {
			return errors.New("must be a duration such as 30s or 2h")
		}
		*field(in) = durationpb.New(d)
		return nil
	}
}

func signingKey(in *input, value string) error {
	in.SigningKey = &holdfastv1.SigningKey{Key: &holdfastv1.SigningKey_PrivateKey{PrivateKey: value}}
	if value == "new" {
		in.SigningKey = &holdfastv1.SigningKey{Key: &holdfastv1.SigningKey_Generate{Generate: true}}
	}
	return nil
}

func headers(in *input, values []string) error {
	in.Headers = map[string]string{}
	for _, header := range values {
		name, value, ok := strings.Cut(header, ":")
		if !ok {
			return errors.New("must be NAME: VALUE")
		}
		in.Headers[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return nil
}

// secret reads a value that must not stand on a command line, where other users of the machine see it.
func secret(set func(*input, string) error) func(*input, []string) error {
	return func(in *input, values []string) error {
		value, err := credential(values[0])
		switch {
		case err != nil:
			return err
		case value == "":
			return errors.New("is empty; --clear removes what there is")
		}
		return set(in, value)
	}
}

// maxCredential bounds what is read from a file, in bytes.
const maxCredential = 64 << 10

// credential is the value itself, or the content of the file it names behind an @, without the end of its last line.
func credential(value string) (string, error) {
	name, isFile := strings.CutPrefix(value, "@")
	if !isFile {
		return value, nil
	}
	f := os.Stdin
	if name != "-" {
		opened, err := os.Open(name)
		if err != nil {
			return "", fmt.Errorf("cannot be read: %w", err)
		}
		defer func() { _ = opened.Close() }()
		f = opened
	}
	content, err := io.ReadAll(io.LimitReader(f, maxCredential))
	if err != nil {
		return "", fmt.Errorf("cannot be read: %w", err)
	}
	return strings.TrimRight(string(content), "\r\n"), nil
}
