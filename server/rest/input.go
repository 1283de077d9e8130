package rest

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/url"
	"strconv"
	"strings"

	"github.com/emprops/holdfast"
)

// inputField is what a request can say of a webhook: its name there, the domain's name, and how the value is read.
type inputField struct {
	name, domain string
	read         func(raw json.RawMessage, w *holdfast.Webhook, base holdfast.RetryPolicy) error
}

// inputFields are all of them. Anything else in a request is left out, as what the original's user interface sends back of
// what it was shown (CONTRACT 1.3); headers and static are taken at registration too (D57).
var inputFields = []inputField{
	{"url", "url", func(raw json.RawMessage, w *holdfast.Webhook, _ holdfast.RetryPolicy) error { return text(raw, &w.URL) }},
	{"events", "eventTypes", func(raw json.RawMessage, w *holdfast.Webhook, _ holdfast.RetryPolicy) error {
		return texts(raw, &w.Events)
	}},
	{"active", "active", func(raw json.RawMessage, w *holdfast.Webhook, _ holdfast.RetryPolicy) error {
		return boolean(raw, &w.Active)
	}},
	{"static", "static", func(raw json.RawMessage, w *holdfast.Webhook, _ holdfast.RetryPolicy) error {
		return boolean(raw, &w.Static)
	}},
	{"secret", "secret", func(raw json.RawMessage, w *holdfast.Webhook, _ holdfast.RetryPolicy) error {
		return text(raw, &w.Secret)
	}},
	{"description", "description", func(raw json.RawMessage, w *holdfast.Webhook, _ holdfast.RetryPolicy) error {
		return text(raw, &w.Description)
	}},
	{"headers", "headers", func(raw json.RawMessage, w *holdfast.Webhook, _ holdfast.RetryPolicy) error {
		if json.Unmarshal(raw, &w.Headers) != nil {
			return errors.New("must be an object of strings")
		}
		return nil
	}},
	{"filters", "filters", func(raw json.RawMessage, w *holdfast.Webhook, _ holdfast.RetryPolicy) error {
		return filters(raw, &w.Filters)
	}},
	{"retry_config", "retryPolicy", func(raw json.RawMessage, w *holdfast.Webhook, base holdfast.RetryPolicy) error {
		w.RetryConfig = base
		return retryConfig(raw, &w.RetryConfig)
	}},
}

// inputOf reads what a body says of a webhook: its values, which of the domain's fields they are, and what is wrong with
// them. Fields of the retry policy that are left out are the default's (D29).
func inputOf(body map[string]json.RawMessage, base holdfast.RetryPolicy) (w holdfast.Webhook, fields []string, violations []holdfast.Violation) {
	for _, f := range inputFields {
		raw, given := body[f.name]
		if !given {
			continue
		}
		fields = append(fields, f.domain)
		if err := f.read(raw, &w, base); err != nil {
			violations = append(violations, holdfast.Violation{Field: f.domain, Description: err.Error()})
		}
	}
	return w, fields, violations
}

func isNull(raw json.RawMessage) bool { return bytes.Equal(raw, []byte("null")) }

func text(raw json.RawMessage, into *string) error {
	if json.Unmarshal(raw, into) != nil {
		return errors.New("must be a string")
	}
	return nil
}

func texts(raw json.RawMessage, into *[]string) error {
	if json.Unmarshal(raw, into) != nil {
		return errors.New("must be an array of strings")
	}
	return nil
}

// boolean reads the words of forms too; the original took any text for true.
func boolean(raw json.RawMessage, into *bool) error {
	switch string(bytes.Trim(raw, `"`)) {
	case "true":
		*into = true
	case "false":
		*into = false
	default:
		return errors.New("must be true or false")
	}
	return nil
}

// number is a number, or the text of one as forms and the original's user interface have it.
type number float64

func (n *number) UnmarshalJSON(raw []byte) error {
	f, err := strconv.ParseFloat(string(bytes.Trim(raw, `"`)), 64)
	*n = number(f)
	return err
}

// filters reads the filters under both names that the original has for priorities (D28). Custom filters were never looked at.
func filters(raw json.RawMessage, into *holdfast.Filters) error {
	var in struct {
		JobTypes      []string `json:"job_types"`
		JobPriorities []number `json:"job_priorities"`
		Priorities    []number `json:"priorities"`
		MachineIDs    []string `json:"machine_ids"`
		WorkerIDs     []string `json:"worker_ids"`
	}
	if json.Unmarshal(raw, &in) != nil {
		return errors.New("must be an object of arrays: strings in job_types, machine_ids and worker_ids, numbers in job_priorities")
	}
	if in.JobPriorities == nil {
		in.JobPriorities = in.Priorities
	}
	*into = holdfast.Filters{JobTypes: in.JobTypes, MachineIDs: in.MachineIDs, WorkerIDs: in.WorkerIDs}
	if in.JobPriorities != nil {
		into.Priorities = make([]float64, len(in.JobPriorities))
		for i, p := range in.JobPriorities {
			into.Priorities[i] = float64(p)
		}
	}
	return nil
}

func retryConfig(raw json.RawMessage, into *holdfast.RetryPolicy) error {
	var in struct {
		MaxAttempts       *number `json:"max_attempts"`
		InitialDelayMS    *number `json:"initial_delay_ms"`
		BackoffMultiplier *number `json:"backoff_multiplier"`
		MaxDelayMS        *number `json:"max_delay_ms"`
		Jitter            *number `json:"jitter"`
		NoRetryStatuses   []int   `json:"no_retry_statuses"`
	}
	if json.Unmarshal(raw, &in) != nil {
		return errors.New("must be an object of numbers")
	}
	if in.MaxAttempts != nil {
		into.MaxAttempts = int(*in.MaxAttempts)
	}
	if in.InitialDelayMS != nil {
		into.InitialDelayMS = int64(*in.InitialDelayMS)
		into.MaxDelayMS = max(into.MaxDelayMS, min(into.InitialDelayMS, holdfast.MaxRetryDelayMS))
	}
	if in.BackoffMultiplier != nil {
		into.BackoffMultiplier = float64(*in.BackoffMultiplier)
	}
	if in.MaxDelayMS != nil {
		into.MaxDelayMS = int64(*in.MaxDelayMS)
	}
	if in.Jitter != nil {
		into.Jitter = float64(*in.Jitter)
	}
	if in.NoRetryStatuses != nil {
		into.NoRetryStatuses = in.NoRetryStatuses
	}
	return nil
}

// parseable tells whether a URL is one at all; whether it is a good one is decided elsewhere.
func parseable(raw string) bool {
	u, err := url.Parse(strings.TrimSpace(raw))
	return err == nil && u.Scheme != "" && (u.Host != "" || u.Opaque != "" || u.Path != "")
}
