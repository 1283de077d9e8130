package activities

import (
	"cmp"
	"context"
	"time"

	"github.com/emprops/holdfast"
)

// Judgement is whether failures disconnect a webhook, and how it is probed then.
type Judgement struct {
	Disconnect bool `json:"disconnect,omitempty"`
	Failures   int  `json:"failures"` // in a row, by the counter
	Probing
}

// Probing is when a webhook that failures disconnected is probed; the wait doubles from the first to the longest.
type Probing struct {
	ProbeAfterMS int64 `json:"probe_after_ms,omitempty"` // 0: it is not probed
	ProbeMaxMS   int64 `json:"probe_max_ms,omitempty"`
}

// What the original does (CONTRACT 3.6), and the longest wait between probes.
const (
	defaultThreshold         = 10
	defaultReconnectDelay    = 5 * time.Minute
	defaultReconnectMaxDelay = time.Hour
)

// JudgeFailures compares the counter of failures in a row with the threshold. A webhook that the registry does not hold,
// or whose counter a wiped Redis has lost, has not failed.
func (a *Registrations) JudgeFailures(ctx context.Context, in WebhookID) (Judgement, error) {
	w, _, err := a.Store.ReadWebhook(ctx, in.ID)
	if holdfast.ErrorCode(err) == holdfast.CodeNotFound {
		return Judgement{}, nil
	}
	if err != nil {
		return Judgement{}, failure(err)
	}
	threshold := cmp.Or(a.DisconnectThreshold, defaultThreshold)
	return Judgement{
		Disconnect: !w.Static && w.ConsecutiveFailures >= threshold, Failures: w.ConsecutiveFailures, Probing: a.probing(),
	}, nil
}

func (a *Registrations) probing() Probing {
	if !a.AutoReconnect {
		return Probing{}
	}
	first := cmp.Or(a.ReconnectDelay, defaultReconnectDelay)
	return Probing{
		ProbeAfterMS: first.Milliseconds(), ProbeMaxMS: max(first, cmp.Or(a.ReconnectMaxDelay, defaultReconnectMaxDelay)).Milliseconds(),
	}
}

// ResetFailures zeroes the counter of failures in a row. A Redis that was wiped has nothing to reset.
func (a *Registrations) ResetFailures(ctx context.Context, in WebhookID) (Attempted, error) {
	err := a.Store.ResetFailures(ctx, in.ID)
	if holdfast.ErrorCode(err) == holdfast.CodeNotFound {
		err = nil
	}
	return attempted(ctx), stepFailure(ctx, err)
}
