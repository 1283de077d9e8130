package activities

import (
	"context"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/emprops/holdfast"
)

// Pace is what the nodes share to pace attempts to one webhook: its rate limit and the pause that it asked for.
type Pace interface {
	// Pause lets no attempt of the webhook begin before the time, on any node. A pause that ends later already stays.
	Pause(ctx context.Context, webhookID string, until time.Time) error
	// Admit lets one attempt begin, or says how long the webhook has none to give: its pause, or the time until a rate of
	// ratePerSecond allows the next one (0: no limit). A wait takes nothing away; who waited asks again.
	Admit(ctx context.Context, webhookID string, ratePerSecond float64) (wait time.Duration, err error)
}

const (
	// paceTimeout bounds the question to Pace: an attempt holds its slot meanwhile.
	paceTimeout = 250 * time.Millisecond
	// paceHoldOff is how long attempts go unpaced after Pace could not be reached.
	paceHoldOff = time.Second
	// pausedSpacing keeps those who waited for the end of a pause from coming all at once.
	pausedSpacing = 50 * time.Millisecond
)

// pacer asks Pace, where there is one, and does without it while it cannot be reached (G5).
type pacer struct {
	pace   Pace
	lanes  *Lanes
	logger *zap.Logger
	out    atomic.Pointer[time.Time] // until when Pace is taken to be away; not a number, which a jump of the clock would move
}

// admit returns how long an attempt has to wait, 0 when it may begin now. The nodes' common state is asked only for
// webhooks that have a rate limit or were seen throttled, slow or failing, so that the way of all others costs nothing.
func (p *pacer) admit(ctx context.Context, w *holdfast.Webhook, slow bool) time.Duration {
	if p.pace == nil || !slow && w.RateLimit <= 0 && !p.lanes.Throttled(w.ID) || p.away() {
		return 0
	}
	ctx, cancel := context.WithTimeout(ctx, paceTimeout)
	defer cancel()
	wait, err := p.pace.Admit(ctx, w.ID, w.RateLimit)
	switch {
	case err != nil:
		p.out.Store(new(time.Now().Add(paceHoldOff)))
		p.logger.Debug("attempts go unpaced", zap.Error(err))
		return 0
	case wait <= 0:
		return 0
	case w.RateLimit > 0:
		return p.lanes.Turn(w.ID, wait, time.Duration(float64(time.Second)/w.RateLimit))
	}
	p.lanes.PauseUntil(w.ID, time.Now().Add(wait))
	return p.lanes.Turn(w.ID, wait, pausedSpacing)
}

func (p *pacer) away() bool {
	until := p.out.Load()
	return until != nil && time.Until(*until) > 0
}

// paused returns how long an attempt has to wait for a pause that this node knows of.
func (p *pacer) paused(webhookID string) time.Duration {
	wait := p.lanes.Paused(webhookID)
	if wait <= 0 {
		return 0
	}
	return p.lanes.Turn(webhookID, wait, pausedSpacing)
}

// pause tells the other nodes.
func (p *pacer) pause(ctx context.Context, webhookID string, until time.Time) {
	if p.pace == nil {
		return
	}
	if err := p.pace.Pause(ctx, webhookID, until); err != nil {
		p.logger.Debug("a pause is known to this node alone", zap.Error(err))
	}
}

// throttling tells whether an answer asks for fewer requests rather than for another try: it slows the webhook, not only
// the delivery that got it.
func throttling(status int) bool { return status == 429 || status == 502 || status == 504 }
