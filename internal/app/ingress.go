package app

import (
	"time"

	"github.com/emprops/holdfast/internal/eventstream"
	"github.com/emprops/holdfast/internal/jobevents"
	"github.com/emprops/holdfast/internal/jobrecovery"
	"github.com/emprops/holdfast/internal/redisadapter"
)

// recoveryGrace is how long the broker has for its own message: it asks EMPROPS up to three times first, and publishes a
// completion that EMPROPS denies again after half a minute (CONTRACT 7.2).
const recoveryGrace = 2 * time.Minute

// wireIngress builds what takes events in besides the API, as the configuration wants it.
func (a *App) wireIngress(p platform) {
	from := func(source string) jobevents.Publisher { return observedPublisher{a.publisher(p), source, a.observed} }
	in := a.cfg.Ingress
	if in.PubSub {
		a.ingress = jobevents.New(a.redis, from("broker"), a.store, a.store, jobevents.Options{
			Logger: a.logger, ProgressInterval: in.ProgressThrottle, FinalFailuresOnly: !in.RetryableFailures,
		})
	}
	if in.Stream {
		a.stream = eventstream.New(redisadapter.Events{Store: a.store}, from("stream"), eventstream.Options{
			Name: a.cfg.Node.ID, Logger: a.logger,
		})
	}
	if in.RecoveryInterval > 0 {
		var asked jobrecovery.Platform
		if p.Enabled() {
			asked = p.client
		}
		attestations := redisadapter.Attestations{Store: a.store, Node: a.cfg.Node.ID}
		// What is older than half the time for which event ids are recognised is let be: whether it was delivered could not be
		// told for sure.
		a.recovery = jobrecovery.New(attestations, asked, from("recovery"), jobrecovery.Options{
			Interval: in.RecoveryInterval, Grace: recoveryGrace, Horizon: a.cfg.Delivery.EventTTL / 2, Logger: a.logger,
		})
	}
}
