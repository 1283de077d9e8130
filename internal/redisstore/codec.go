package redisstore

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	holdfast "github.com/emprops/holdfast"
)

// marshal gives the JSON that JavaScript would: no HTML escaping, no newline.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// encodeWebhook gives the JSON of the registry: the original's fields in the original's order, credentials sealed each
// by itself. The revision is not part of it: it is known only inside the script and lives in its own key, where the
// original, which copies unknown fields along, cannot make it a lie.
func encodeWebhook(w *holdfast.Webhook, sealer Sealer) ([]byte, error) {
	stored := *w
	stored.Revision = 0
	if sealer != nil {
		var err error
		if stored.Secret, err = sealed(sealer, w.Secret); err != nil {
			return nil, err
		}
		if stored.Authorization, err = sealed(sealer, w.Authorization); err != nil {
			return nil, err
		}
		if stored.SigningKey, err = sealed(sealer, w.SigningKey); err != nil {
			return nil, err
		}
		stored.RetiringSecrets = slices.Clone(w.RetiringSecrets)
		for i := range stored.RetiringSecrets {
			if stored.RetiringSecrets[i].Secret, err = sealed(sealer, w.RetiringSecrets[i].Secret); err != nil {
				return nil, err
			}
		}
		stored.Headers = maps.Clone(w.Headers)
		for name, value := range stored.Headers {
			if stored.Headers[name], err = sealed(sealer, value); err != nil {
				return nil, err
			}
		}
	}
	return marshal(&stored)
}

func sealed(sealer Sealer, value string) (string, error) {
	if value == "" {
		return "", nil
	}
	return sealer.Seal(value) // also what looks sealed: a caller's plain secret may look like anything
}

func opened(sealer Sealer, value string) (string, error) {
	if sealer == nil || !sealer.IsSealed(value) {
		return value, nil
	}
	return sealer.Open(value)
}

// storedWebhook reads what the original may have stored: it never checked types, and a PUT could write anything
// (CONTRACT 1.4). Values are read as JavaScript would have used them; what it could not have used is an error.
type storedWebhook struct {
	CreatedAt           number    `json:"created_at"`
	UpdatedAt           number    `json:"updated_at"`
	ConsecutiveFailures number    `json:"consecutive_failures"`
	Disconnected        truthy    `json:"disconnected"`
	RetryConfig         *struct { // null and missing mean the defaults, like each missing field (D29)
		MaxAttempts       number `json:"max_attempts"`
		InitialDelayMS    number `json:"initial_delay_ms"`
		BackoffMultiplier number `json:"backoff_multiplier"`
		MaxDelayMS        number `json:"max_delay_ms"`

		Jitter          lenient[float64] `json:"jitter"`
		NoRetryStatuses lenient[[]int]   `json:"no_retry_statuses"`
	} `json:"retry_config"`
	URL     string   `json:"url"`
	Events  []string `json:"events"`
	Active  truthy   `json:"active"`
	Secret  string   `json:"secret"`
	Filters *struct {
		JobTypes      []string `json:"job_types"`
		JobPriorities []number `json:"job_priorities"`
		Priorities    []number `json:"priorities"` // the name of the original's REST type and UI (D28)
		MachineIDs    []string `json:"machine_ids"`
		WorkerIDs     []string `json:"worker_ids"`
	} `json:"filters"`
	Headers       map[string]scalar `json:"headers"`
	Static        truthy            `json:"static"`
	LastFailureAt number            `json:"last_failure_at"`
	LastSuccessAt number            `json:"last_success_at"`
	Description   string            `json:"description"`

	Disconnection lenient[holdfast.Disconnection] `json:"disconnection"`
	Retiring      []struct {
		Secret string `json:"secret"`
		Until  number `json:"until"`
	} `json:"retiring_secrets"`
	Authorization string                          `json:"authorization"`
	SigningKey    string                          `json:"signing_key"`
	Format        lenient[holdfast.PayloadFormat] `json:"format"`
	Handshake     truthy                          `json:"handshake"`
	Filter        string                          `json:"filter_expression"` // of another type it is not ignored: all would pass
	RateLimit     lenient[float64]                `json:"rate_limit"`
	OrderingKey   lenient[string]                 `json:"ordering_key"`
}

// credentials are the values that rest sealed.
func (in *storedWebhook) credentials() []string {
	all := []string{in.Secret, in.Authorization, in.SigningKey}
	for _, r := range in.Retiring {
		all = append(all, r.Secret)
	}
	for _, value := range in.Headers {
		all = append(all, string(value))
	}
	return all
}

// decodeWebhook reads an entry of the registry. The id is the entry's field, whatever the JSON says.
func decodeWebhook(id, text string, revision int64, sealer Sealer) (*holdfast.Webhook, error) {
	var in storedWebhook
	if err := json.Unmarshal([]byte(text), &in); err != nil {
		return nil, describe(err)
	}
	w := &holdfast.Webhook{
		ID: id, CreatedAt: in.CreatedAt.int(), UpdatedAt: in.UpdatedAt.int(),
		ConsecutiveFailures: int(in.ConsecutiveFailures), Disconnected: bool(in.Disconnected),
		RetryConfig: holdfast.DefaultRetryPolicy(), URL: in.URL, Events: in.Events, Active: bool(in.Active),
		Static: bool(in.Static), LastFailureAt: in.LastFailureAt.int(), LastSuccessAt: in.LastSuccessAt.int(),
		Description: in.Description, Revision: revision, Disconnection: in.Disconnection.value, Handshake: bool(in.Handshake),
		Format: in.Format.orZero(), Filter: in.Filter, RateLimit: in.RateLimit.orZero(), OrderingKey: in.OrderingKey.orZero(),
	}
	if r := in.RetryConfig; r != nil {
		w.RetryConfig = holdfast.RetryPolicy{
			MaxAttempts: int(r.MaxAttempts), InitialDelayMS: r.InitialDelayMS.int(),
			BackoffMultiplier: float64(r.BackoffMultiplier), MaxDelayMS: r.MaxDelayMS.int(),
			Jitter: r.Jitter.orZero(), NoRetryStatuses: r.NoRetryStatuses.orZero(),
		}.Merged(holdfast.DefaultRetryPolicy())
	}
	if f := in.Filters; f != nil {
		w.Filters = holdfast.Filters{JobTypes: f.JobTypes, MachineIDs: f.MachineIDs, WorkerIDs: f.WorkerIDs}
		if f.JobPriorities == nil {
			f.JobPriorities = f.Priorities
		}
		if f.JobPriorities != nil {
			w.Filters.Priorities = make([]float64, len(f.JobPriorities))
			for i, p := range f.JobPriorities {
				w.Filters.Priorities[i] = float64(p)
			}
		}
	}
	if err := in.open(w, sealer); err != nil {
		return nil, err
	}
	return w, nil
}

// open puts the credentials into the webhook in clear.
func (in *storedWebhook) open(w *holdfast.Webhook, sealer Sealer) (err error) {
	if w.Secret, err = opened(sealer, in.Secret); err != nil {
		return fmt.Errorf("secret: cannot be opened: %w", err)
	}
	if w.Authorization, err = opened(sealer, in.Authorization); err != nil {
		return fmt.Errorf("authorization: cannot be opened: %w", err)
	}
	if w.SigningKey, err = opened(sealer, in.SigningKey); err != nil {
		return fmt.Errorf("signing_key: cannot be opened: %w", err)
	}
	for _, r := range in.Retiring {
		secret, err := opened(sealer, r.Secret)
		if err != nil {
			return fmt.Errorf("retiring_secrets: cannot be opened: %w", err)
		}
		w.RetiringSecrets = append(w.RetiringSecrets, holdfast.RetiringSecret{Secret: secret, Until: r.Until.int()})
	}
	if len(in.Headers) > 0 {
		w.Headers = make(map[string]string, len(in.Headers))
		for name, value := range in.Headers {
			if w.Headers[name], err = opened(sealer, string(value)); err != nil {
				return fmt.Errorf("headers.%s: cannot be opened: %w", name, err)
			}
		}
	}
	return nil
}

// describe keeps the value out of a type error: it may be a secret.
func describe(err error) error {
	if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("%s: must not be a %s", e.Field, e.Value)
	}
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("not JSON at byte %d", e.Offset)
	}
	return err
}

// usable checks the configuration and leaves out what an original's webhook may carry without harm, so that a working
// webhook is not lost over it: event types that do not exist or are named twice, retry settings out of bounds, headers
// that may not be set, a pace, format or order that does not exist; the original lets its callers write any field. What
// then still breaks a rule makes the entry unusable (D31).
func usable(w *holdfast.Webhook) error {
	if len(w.Violations()) == 0 {
		return nil
	}
	var events []string
	for _, e := range w.Events {
		if holdfast.IsEventType(e) && !slices.Contains(events, e) {
			events = append(events, e)
		}
	}
	w.Events = events
	r := &w.RetryConfig
	r.MaxAttempts = min(max(r.MaxAttempts, 1), holdfast.MaxRetryAttempts)
	r.InitialDelayMS = min(max(r.InitialDelayMS, holdfast.MinRetryDelayMS), holdfast.MaxRetryDelayMS)
	r.BackoffMultiplier = min(max(r.BackoffMultiplier, 1), holdfast.MaxRetryMultiplier)
	r.MaxDelayMS = min(max(r.MaxDelayMS, r.InitialDelayMS), holdfast.MaxRetryDelayMS)
	r.Jitter = min(max(r.Jitter, 0), 1)
	r.NoRetryStatuses = slices.DeleteFunc(r.NoRetryStatuses, func(status int) bool { return status < 300 || status > 599 })
	r.NoRetryStatuses = r.NoRetryStatuses[:min(len(r.NoRetryStatuses), holdfast.MaxNoRetryStatuses)]
	if !slices.Contains(holdfast.PayloadFormats(), w.Format) {
		w.Format = ""
	}
	probe := holdfast.Webhook{
		URL: "http://localhost", Events: holdfast.EventTypes, RetryConfig: holdfast.DefaultRetryPolicy(), RateLimit: w.RateLimit,
	}
	if len(probe.Violations()) > 0 {
		w.RateLimit = 0
	}
	probe.RateLimit, probe.OrderingKey = 0, w.OrderingKey
	if len(probe.Violations()) > 0 {
		w.OrderingKey = ""
	}
	maps.DeleteFunc(w.Headers, func(name, value string) bool {
		probe := holdfast.Webhook{
			URL: "http://localhost", Events: holdfast.EventTypes, RetryConfig: holdfast.DefaultRetryPolicy(),
			Headers: map[string]string{name: value},
		}
		return len(probe.Violations()) > 0
	})
	return holdfast.Invalid(w.Violations())
}

// number is a JSON number, or a string or boolean that JavaScript would use as one; null is 0.
type number float64

func (n number) int() int64 { return int64(n) }

func (n *number) UnmarshalJSON(b []byte) error {
	if string(b) == "null" {
		*n = 0
		return nil
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(strings.Trim(string(b), `"`)), 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) || math.Abs(f) > 1<<53 {
		return errors.New("a number is expected")
	}
	*n = number(f)
	return nil
}

// truthy is a JSON value as JavaScript's condition takes it: the original stored "active":"false" and meant true.
type truthy bool

func (t *truthy) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case "false", "null", `""`:
		*t = false
	default:
		f, err := strconv.ParseFloat(string(b), 64)
		*t = truthy(err != nil || f != 0)
	}
	return nil
}

// lenient is a value that is left out when it has another type.
type lenient[T any] struct{ value *T }

func (l *lenient[T]) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, &l.value) != nil {
		l.value = nil
	}
	return nil
}

func (l lenient[T]) orZero() (value T) {
	if l.value != nil {
		value = *l.value
	}
	return value
}

// scalar is a header value: a string, or a number or boolean as its text.
type scalar string

func (s *scalar) UnmarshalJSON(b []byte) error {
	switch b[0] {
	case '"':
		return json.Unmarshal(b, (*string)(s))
	case '{', '[', 'n':
		return errors.New("headers: a value must be a string")
	}
	*s = scalar(b)
	return nil
}
