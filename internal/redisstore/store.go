// Package redisstore keeps in Redis what Holdfast needs quickly or shows to people: the registry of webhooks with its
// revision, the nodes, event marks, delivery records, statistics and test receivers. Keys, types, JSON and caps that the
// original has are exactly the original's (CONTRACT 5.1), so both can run on the same data.
//
// Every change is one atomic script. A failure of Redis, whatever its kind, is an error with CodeUnavailable and never
// an empty answer or CodeNotFound (D9).
package redisstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"time"

	"github.com/redis/go-redis/v9"

	holdfast "github.com/emprops/holdfast"
)

// Sealer encrypts single values. IsSealed recognises its own output, so that values stored plain before a key was
// configured stay readable.
type Sealer interface {
	Seal(plain string) (string, error)
	Open(sealed string) (string, error)
	IsSealed(s string) bool
}

// Options configure a Store. The zero value of every field means its default.
type Options struct {
	Prefix      string        // of all keys; default DefaultPrefix. A hash tag such as "{webhooks}" for Redis Cluster
	Sealer      Sealer        // for secrets and header values; nil stores them plain
	NodeTTL     time.Duration // a node whose heartbeat is older has lapsed; default 10 s
	ClaimTTL    time.Duration // how long a claim of BeginEvents lasts; default 30 s
	MarkTTL     time.Duration // how long an event mark is kept; default 24 h
	ReceiverTTL time.Duration // lifetime of a test receiver, not extended by use; default 24 h (CONTRACT 6.1)
	Limits      Limits
}

// Limits bound what is kept. Zero means the default. Those of ended deliveries may be exceeded by a 32nd, and from 256 on
// by a few more.
type Limits struct {
	Changes          int // entries of the change stream, approximately; default 10,000
	Attempts         int // attempts of a webhook, as read; an eighth more is stored; default 100 (CONTRACT 5.1)
	Log              int // entries of the delivery log, as read; an eighth more is stored; default 1,000 (CONTRACT 5.1)
	Deliveries       int // ended deliveries of a webhook; default 1,000
	OpenDeliveries   int // open deliveries of a webhook whose records are kept whole, those of more are short; default 10,000
	GlobalDeliveries int // deliveries in the list over all webhooks; default 10,000
	Receivers        int // test receivers; default 100 (CONTRACT 6.1)
	ReceivedRequests int // requests of a test receiver; default 100 (CONTRACT 6.1)
	ResponseBody     int // bytes of an attempt's response body; default 64 KiB (D33)
	ErrorMessage     int // bytes of an attempt's error message; default 4 KiB (D33)
	Excerpt          int // bytes of either in the log and in attempts followed by others; default 4 KiB
	RecordSize       int // bytes of a delivery's record; default 256 KiB
	Scan             int // index entries that one call of ListDeliveries looks at; default 2,000
	Count            int // index entries that one call of CountDeliveries looks at; default 20,000
}

func (o Options) withDefaults() Options {
	o.Prefix = cmp.Or(o.Prefix, DefaultPrefix)
	o.NodeTTL = cmp.Or(o.NodeTTL, 10*time.Second)
	o.ClaimTTL = cmp.Or(o.ClaimTTL, 30*time.Second)
	o.MarkTTL = cmp.Or(o.MarkTTL, 24*time.Hour)
	o.ReceiverTTL = cmp.Or(o.ReceiverTTL, 24*time.Hour)
	l := &o.Limits
	for _, d := range []struct {
		field *int
		value int
	}{
		{&l.Changes, 10_000}, {&l.Attempts, 100}, {&l.Log, 1000}, {&l.Deliveries, 1000}, {&l.OpenDeliveries, 10_000},
		{&l.GlobalDeliveries, 10_000}, {&l.Receivers, 100}, {&l.ReceivedRequests, 100}, {&l.ResponseBody, 64 << 10},
		{&l.ErrorMessage, 4 << 10}, {&l.Excerpt, 4 << 10}, {&l.RecordSize, 256 << 10}, {&l.Scan, 2000}, {&l.Count, 20_000},
	} {
		*d.field = cmp.Or(*d.field, d.value)
	}
	return o
}

// Store is the storage. It is safe for concurrent use and needs no closing; the client belongs to the caller.
type Store struct {
	client redis.UniversalClient
	keys   keys
	opts   Options
	claim  string // what the claims of this Store begin with
	seed   maphash.Seed
	record *redis.Script
}

// New makes a Store on a client. Nothing is sent yet.
func New(client redis.UniversalClient, opts Options) *Store {
	opts = opts.withDefaults()
	return &Store{
		client: client, keys: keys{opts.Prefix}, opts: opts, claim: claimMark + rand.Text() + ":", seed: maphash.MakeSeed(),
		record: recordScript(opts.Limits, keys{opts.Prefix}.deliveryChanges()),
	}
}

// Ping asks Redis whether it answers. CodeUnavailable when it does not.
func (s *Store) Ping(ctx context.Context) error {
	return unavailable("ping", s.client.Ping(ctx).Err())
}

// unavailable gives an error of Redis its code: out of reach, out of memory, read-only, denied by ACL or of a wrong type
// all mean the same to the caller, that the storage cannot answer now. nil stays nil.
func unavailable(operation string, err error) error {
	if err == nil {
		return nil
	}
	return holdfast.Wrap(holdfast.CodeUnavailable, fmt.Errorf("redis: %s: %w", operation, err), "storage is unavailable")
}

// failure is the first real error of a pipeline. Exec itself names only the first error, which may be the harmless nil
// reply before a real one.
func failure(cmds []redis.Cmder, err error) error {
	for _, cmd := range cmds {
		if e := cmd.Err(); e != nil && !errors.Is(e, redis.Nil) {
			return e
		}
	}
	if errors.Is(err, redis.Nil) {
		return nil
	}
	return err
}
