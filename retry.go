package holdfast

import (
	"math"
	"time"
)

// RetryPolicy says how often and when a delivery is attempted (CONTRACT 3.4). The JSON is the original's retry_config.
type RetryPolicy struct {
	MaxAttempts       int     `json:"max_attempts"`       // all attempts, the first included
	InitialDelayMS    int64   `json:"initial_delay_ms"`   // after the first failure
	BackoffMultiplier float64 `json:"backoff_multiplier"` // growth from one delay to the next
	MaxDelayMS        int64   `json:"max_delay_ms"`       // bound of every delay

	// Jitter spreads each delay evenly over the share of it that Jitter says: 0 (none) to 1.
	Jitter float64 `json:"jitter,omitempty"`
	// NoRetryStatuses are answers after which the delivery is exhausted at once.
	NoRetryStatuses []int `json:"no_retry_statuses,omitempty"`
}

// Bounds of a retry policy. They keep a webhook from retrying in a hot loop (D29) or for ever.
const (
	MaxRetryAttempts   = 100
	MinRetryDelayMS    = 1
	MaxRetryDelayMS    = 7 * 24 * 3600 * 1000
	MaxRetryMultiplier = 100
)

// DefaultRetryPolicy is the original's: three attempts, after 1 s and 2 s.
func DefaultRetryPolicy() RetryPolicy {
	return RetryPolicy{MaxAttempts: 3, InitialDelayMS: 1000, BackoffMultiplier: 2, MaxDelayMS: 30000}
}

// RetryPresets are named policies. "days" keeps trying for more than a day, spread so that receivers that come back meet no
// herd: after about 1 min, 6 min, 36 min, 3.6 h, 8 h, 8 h and 8 h.
func RetryPresets() map[string]RetryPolicy {
	return map[string]RetryPolicy{
		"default": DefaultRetryPolicy(),
		"days":    {MaxAttempts: 8, InitialDelayMS: 60_000, BackoffMultiplier: 6, MaxDelayMS: 8 * 3600 * 1000, Jitter: 0.2},
	}
}

// MaxNoRetryStatuses bounds the list of statuses that end a delivery.
const MaxNoRetryStatuses = 100

// Merged returns the policy with zero fields taken from base, so that a partial policy never loses its bounds (D29).
func (p RetryPolicy) Merged(base RetryPolicy) RetryPolicy {
	if p.MaxAttempts == 0 {
		p.MaxAttempts = base.MaxAttempts
	}
	if p.InitialDelayMS == 0 {
		p.InitialDelayMS = base.InitialDelayMS
	}
	if p.BackoffMultiplier == 0 {
		p.BackoffMultiplier = base.BackoffMultiplier
	}
	if p.MaxDelayMS == 0 {
		p.MaxDelayMS = max(base.MaxDelayMS, p.InitialDelayMS)
	}
	return p
}

// Delay is the wait after failed attempt n (1-based), measured from the moment of failure. It is never shorter than
// MinRetryDelayMS, whatever the policy holds: one that was written to Redis by hand may have passed no validation (D29).
func (p RetryPolicy) Delay(n int) time.Duration {
	ms := float64(p.InitialDelayMS) * math.Pow(p.BackoffMultiplier, float64(n-1))
	longest := min(max(p.MaxDelayMS, MinRetryDelayMS), MaxRetryDelayMS)
	switch {
	case !(ms >= MinRetryDelayMS): // NaN included
		return MinRetryDelayMS * time.Millisecond
	case ms >= float64(longest):
		return time.Duration(longest) * time.Millisecond
	}
	return time.Duration(ms) * time.Millisecond
}

// Violations lists what is out of bounds, with paths below prefix in the API's spelling.
func (p RetryPolicy) Violations(prefix string) []Violation {
	var v []Violation
	add := func(bad bool, field, text string) {
		if bad {
			v = append(v, Violation{prefix + field, text})
		}
	}
	add(p.MaxAttempts < 1 || p.MaxAttempts > MaxRetryAttempts, "maxAttempts", "must be between 1 and 100")
	add(p.InitialDelayMS < MinRetryDelayMS || p.InitialDelayMS > MaxRetryDelayMS, "initialDelay", "must be between 1 ms and 7 days")
	add(!(p.BackoffMultiplier >= 1 && p.BackoffMultiplier <= MaxRetryMultiplier), "backoffMultiplier", "must be between 1 and 100")
	add(!(p.Jitter >= 0 && p.Jitter <= 1), "jitter", "must be between 0 and 1")
	add(len(p.NoRetryStatuses) > MaxNoRetryStatuses, "noRetryStatuses", "must not have more than 100 values")
	for _, status := range p.NoRetryStatuses {
		add(status < 300 || status > 599, "noRetryStatuses", "must be statuses from 300 to 599")
	}
	add(p.MaxDelayMS < p.InitialDelayMS || p.MaxDelayMS > MaxRetryDelayMS, "maxDelay", "must be between initialDelay and 7 days")
	return v
}
