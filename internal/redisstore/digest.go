package redisstore

import (
	"crypto/sha1" //nolint:gosec // the hash that Redis offers its scripts; it guards against accidents, not attackers
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// DigestOf is the contribution of one registry entry to the digest: the first 64 bits of SHA-1("<id>:<revision>"). The
// digest of a set of entries is the XOR of their contributions, DigestText of that is Position.Digest. Entries without a
// revision, which the original wrote, contribute nothing and are not counted; poisoned ones with a revision do.
func DigestOf(id string, revision int64) uint64 {
	sum := sha1.Sum(strconv.AppendInt(append([]byte(id), ':'), revision, 10)) //nolint:gosec // see above
	return binary.BigEndian.Uint64(sum[:8])
}

// DigestText writes a digest as Position.Digest has it: 16 hexadecimal digits.
func DigestText(digest uint64) string { return fmt.Sprintf("%016x", digest) }

// ParseDigest is the inverse of DigestText; what is no digest, like none at all, counts as that of nothing.
func ParseDigest(text string) uint64 {
	digest, _ := strconv.ParseUint(text, 16, 64)
	return digest
}

// Position says how far the registry in Redis is. The zero Position means that Redis holds no registry of Holdfast: it is
// new, or it was wiped.
type Position struct {
	// Revision grows with every change. It is never less than the time of the change in microseconds by Redis' clock.
	Revision int64
	// Count is the number of entries that the digest covers: those with a revision. Entries that the original wrote are
	// not covered until Holdfast writes them.
	Count int64
	// Digest is DigestText over the covered entries; "" in the zero Position.
	Digest string
	// Incarnation names this life of the registry. A registry that was wiped or restored from a backup gets another.
	Incarnation string
	// Born is the revision that the incarnation began at.
	Born int64
	// Complete tells that the registry of this incarnation has every webhook there is (MarkComplete). While it does not,
	// a webhook that it lacks may still have to be written again.
	Complete bool
}

// position reads the values of the keys revision, digest and incarnation. What is not understood counts as absent: the
// next write puts it right.
func position(revision, digest, incarnation string) Position {
	var p Position
	p.Revision, _ = strconv.ParseInt(revision, 10, 64)
	count, hex, ok := strings.Cut(digest, ":")
	n, err := strconv.ParseInt(count, 10, 64)
	if ok && err == nil && len(hex) == 16 {
		p.Count, p.Digest = n, hex
	}
	parts := strings.SplitN(incarnation, ":", 4)
	if len(parts) == 4 {
		if p.Born, err = strconv.ParseInt(parts[0], 10, 64); err == nil {
			p.Incarnation, p.Complete = parts[1], parts[2] == "1"
		}
	}
	return p
}
