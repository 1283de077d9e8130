package redisstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"

	holdfast "github.com/emprops/holdfast"
)

// WriteWebhook stores a webhook whole: registry, active set, statistics, revision, change entry and digest in one atomic
// step (D3, D12). It returns the new revision and sets w.Revision. Writing the same webhook again is harmless. The
// counters of deliveries are not touched, except that a webhook without any begins with w.ConsecutiveFailures. The first
// write to an empty Redis begins an incarnation, which is not complete.
//
// CodeInvalid without an id; CodeInternal when credentials cannot be sealed; CodeUnavailable.
func (s *Store) WriteWebhook(ctx context.Context, w *holdfast.Webhook) (revision int64, err error) {
	if w.ID == "" {
		return 0, holdfast.Invalid([]holdfast.Violation{{Field: "id", Description: "is required"}})
	}
	encoded, err := encodeWebhook(w, s.opts.Sealer)
	if err != nil {
		return 0, holdfast.Wrap(holdfast.CodeInternal, err, "the webhook cannot be encoded")
	}
	active := "0"
	if w.Active {
		active = "1"
	}
	revision, err = writeScript.Run(ctx, s.client, s.keys.forWrite(w.ID),
		w.ID, encoded, active, s.opts.Limits.Changes, w.ConsecutiveFailures, rand.Text()).Int64()
	if err != nil {
		return 0, unavailable("writing a webhook", err)
	}
	w.Revision = revision
	return revision, nil
}

// RemoveWebhook removes a webhook and everything kept under its id in one atomic step. It returns the new revision, which
// the removal has even if there was nothing to remove: a node may still show a webhook that the registry lost in a wipe or
// a restore. existed tells whether there was; a webhook that somebody else took out of the registry is still known by its
// revision. CodeUnavailable.
func (s *Store) RemoveWebhook(ctx context.Context, id string) (revision int64, existed bool, err error) {
	values, err := reply(removeScript.Run(ctx, s.client, s.keys.forRemove(id), id, s.opts.Limits.Changes, rand.Text()), 2)
	if err != nil {
		return 0, false, unavailable("removing a webhook", err)
	}
	known, _ := values[1].(int64)
	return parseInt(text(values[0])), known == 1, nil
}

// ReadWebhook reads a webhook at one moment, with the failure counter and times of its statistics, and whether the
// active set names it. The configuration is returned as stored, even if it breaks rules of today.
//
// CodeNotFound only when the registry really has no such entry; CodeInternal when the entry cannot be read (D31);
// CodeUnavailable.
func (s *Store) ReadWebhook(ctx context.Context, id string) (w *holdfast.Webhook, inActiveSet bool, err error) {
	values, err := reply(readScript.Run(ctx, s.client, s.keys.forRead(id), id), 4)
	if err != nil {
		return nil, false, unavailable("reading a webhook", err)
	}
	encoded, found := values[0].(string)
	if !found {
		return nil, false, holdfast.Errorf(holdfast.CodeNotFound, "webhook %q does not exist", id)
	}
	w, err = decodeWebhook(id, encoded, parseInt(text(values[1])), s.opts.Sealer)
	if err != nil {
		return nil, false, holdfast.Wrap(holdfast.CodeInternal, fmt.Errorf("webhook %s: %w", id, err), "the stored webhook cannot be read")
	}
	flat, _ := values[3].([]any)
	fields := make(map[string]string, len(flat)/2)
	for i := 0; i+1 < len(flat); i += 2 {
		fields[text(flat[i])] = text(flat[i+1])
	}
	t := statsOf(fields)
	if _, counted := fields[statConsecutive]; counted {
		w.ConsecutiveFailures = int(t.ConsecutiveFailures)
	}
	w.LastFailureAt = max(w.LastFailureAt, t.LastFailureAt)
	w.LastSuccessAt = max(w.LastSuccessAt, t.LastSuccessAt)
	return w, values[2] == int64(1), nil
}

// ActiveIDs lists the active set, in no order. The consistency check compares it with the registry (D3). CodeUnavailable.
func (s *Store) ActiveIDs(ctx context.Context) ([]string, error) {
	ids, err := s.client.SMembers(ctx, s.keys.active()).Result()
	return ids, unavailable("reading the active set", err)
}

// ResetFailures sets a webhook's consecutive failures to zero, as a reconnect does (CONTRACT 3.6). CodeNotFound;
// CodeUnavailable.
func (s *Store) ResetFailures(ctx context.Context, id string) error {
	found, err := resetFailuresScript.Run(ctx, s.client, s.keys.forResetFailures(id), id).Int()
	if err != nil {
		return unavailable("resetting failures", err)
	}
	if found == 0 {
		return holdfast.Errorf(holdfast.CodeNotFound, "webhook %q does not exist", id)
	}
	return nil
}

func parseInt(s string) int64 {
	n, _ := strconv.ParseInt(s, 10, 64)
	return n
}
