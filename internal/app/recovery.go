package app

import (
	"time"

	"github.com/emprops/holdfast/internal/jobrecovery"
	"github.com/emprops/holdfast/internal/redisadapter"
)

// recoveryGrace is how long the broker has for its own message: it asks EMPROPS up to three times first, and publishes a
// completion that EMPROPS denies again after half a minute (CONTRACT 7.2).
const recoveryGrace = 2 * time.Minute

// newRecovery looks for outcomes that nobody was told of. What is older than half the time for which event ids are
// recognised is let be: whether it was delivered could not be told for sure.
func (a *App) newRecovery(p platform) *jobrecovery.Recovery {
	var asked jobrecovery.Platform
	if p.Enabled() {
		asked = p.client
	}
	publisher := observedPublisher{a.publisher(p), "recovery", a.observed}
	return jobrecovery.New(redisadapter.Attestations{Store: a.store, Node: a.cfg.Node.ID}, asked, publisher, jobrecovery.Options{
		Interval: a.cfg.Ingress.RecoveryInterval, Grace: recoveryGrace, Horizon: a.cfg.Delivery.EventTTL / 2, Logger: a.logger,
	})
}
