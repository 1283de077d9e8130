package redisstore

import (
	"context"
	"strconv"
	"time"
)

// MaxWait bounds a pause and a wait of Admit.
const MaxWait = time.Hour

const maxRate = 1_000_000 // attempts per second; a higher rate is no limit

// Pause lets Admit put every attempt of a webhook off until a time, by the clock of this node, but at most for MaxWait. A
// longer pause that is in force stays, a time that has passed changes nothing, and so does a webhook that is not in the
// registry (D10). All nodes see it. CodeUnavailable.
func (s *Store) Pause(ctx context.Context, webhookID string, until time.Time) error {
	// The length and not the time is sent: the clocks of nodes differ from that of Redis.
	length := min(time.Until(until), MaxWait).Milliseconds()
	if length <= 0 {
		return nil
	}
	return unavailable("pausing a webhook", pauseScript.Run(ctx, s.client, s.keys.forPause(webhookID), webhookID, length).Err())
}

// Paused tells how much of a webhook's pause is left, 0 when there is none. A delivery whose wait is over can ask it
// whether a pause has begun meanwhile. CodeUnavailable.
func (s *Store) Paused(ctx context.Context, webhookID string) (time.Duration, error) {
	left, err := s.client.PTTL(ctx, s.keys.pause(webhookID)).Result()
	if err != nil {
		return 0, unavailable("reading a pause", err)
	}
	return max(left, 0), nil
}

// Admit lets one attempt of a webhook begin now, or tells how long there is none, by the rate, over all nodes, and by a
// pause in force. A rate that is not positive is no limit. The bucket holds a second of the rate, at least one attempt; it
// is empty when a pause ends. A wait takes nothing from it: who waited asks again. It is at most MaxWait. A webhook that is
// not in the registry waits for nothing. CodeUnavailable.
func (s *Store) Admit(ctx context.Context, webhookID string, ratePerSecond float64) (wait time.Duration, err error) {
	return s.admitAt(ctx, webhookID, ratePerSecond, "")
}

// admitAt is Admit at a time of the caller's, ms, or by the clock of Redis when it is "".
func (s *Store) admitAt(ctx context.Context, webhookID string, ratePerSecond float64, now string) (time.Duration, error) {
	if !(ratePerSecond > 0) || ratePerSecond > maxRate { // NaN is no rate
		ratePerSecond = 0
	}
	wait, err := admitScript.Run(ctx, s.client, s.keys.forAdmit(webhookID), webhookID,
		strconv.FormatFloat(ratePerSecond, 'g', -1, 64), MaxWait.Milliseconds(), now).Int64()
	if err != nil {
		return 0, unavailable("pacing a webhook", err)
	}
	return time.Duration(wait) * time.Microsecond, nil
}
