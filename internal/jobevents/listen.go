package jobevents

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/zap"
)

const maxReconnectPause = 2 * time.Second

// listen keeps a subscription until ctx is done. Whatever ends one, the next is made.
func (s *Subscriber) listen(ctx context.Context, take func(channel, payload string)) {
	defer s.subscribed.Store(false)
	wait := 50 * time.Millisecond
	for ctx.Err() == nil {
		if s.subscription(ctx, take) {
			wait = 50 * time.Millisecond
		}
		s.unsubscribed(ctx)
		pause(ctx, wait)
		wait = min(2*wait, maxReconnectPause)
	}
}

// subscription subscribes once and hears until it breaks for good; confirmed tells whether it ever was complete. A
// single lost connection does not end it: the client reconnects and subscribes again by itself, faster than we could.
func (s *Subscriber) subscription(ctx context.Context, take func(channel, payload string)) (confirmed bool) {
	ps := s.client.Subscribe(ctx)
	defer ps.Close()
	defer context.AfterFunc(ctx, func() { _ = ps.Close() })() // a receive does not notice ctx by itself
	if ps.Subscribe(ctx, Channels...) != nil || ps.PSubscribe(ctx, MachineStatusPattern) != nil {
		return false
	}
	missing := channelSet()
	failures, probed := 0, false
	for {
		reply, err := ps.ReceiveTimeout(ctx, s.options.Heartbeat)
		switch {
		case ctx.Err() != nil && err != nil:
			return confirmed
		case isTimeout(err) && len(missing) == 0 && !probed:
			if probed = true; ps.Ping(ctx) == nil {
				continue
			}
			return confirmed
		case err != nil:
			if failures++; failures > 1 || isTimeout(err) {
				return confirmed
			}
			missing = channelSet()
			s.unsubscribed(ctx)
			continue
		}
		failures, probed = 0, false
		switch m := reply.(type) {
		case *redis.Subscription:
			if delete(missing, m.Channel); len(missing) == 0 {
				confirmed = true
				s.confirmed()
			}
		case *redis.Message:
			take(m.Channel, m.Payload)
		}
	}
}

// channelSet is what Redis has to confirm before a subscription is complete.
func channelSet() map[string]bool {
	all := map[string]bool{MachineStatusPattern: true}
	for _, c := range Channels {
		all[c] = true
	}
	return all
}

func (s *Subscriber) confirmed() {
	if s.subscribed.CompareAndSwap(false, true) {
		s.log.Info("subscribed to the job broker", zap.Int("channels", len(Channels)+1))
	}
	s.readyOnce.Do(func() { close(s.ready) })
}

func (s *Subscriber) unsubscribed(ctx context.Context) {
	if s.subscribed.CompareAndSwap(true, false) && ctx.Err() == nil {
		s.log.Warn("subscription to the job broker is lost; messages published now are not heard")
	}
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}
