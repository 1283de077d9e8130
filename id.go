package holdfast

import (
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"math/big"
	"strconv"
	"time"
)

// NewWebhookID makes an id in the original's form, wh_<ms>_<9 base-36 characters> (CONTRACT 3.1), from a strong source.
func NewWebhookID(now time.Time) string { return newID("wh", now) }

// NewEventID makes an event id in the same form with the prefix evt.
func NewEventID(now time.Time) string { return newID("evt", now) }

// NewReceiverID makes the id of a test receiver: 16 characters A-Za-z0-9 (CONTRACT 6.1).
func NewReceiverID() string { return rand.Text()[:16] }

// IdempotentWebhookID derives the id of a webhook from its creator's idempotency key: the same key always names the same
// webhook, with no look-up that could race.
func IdempotentWebhookID(key string) string { return "wh_k_" + digest36(key, 20) }

// DerivedEventID makes the id of an event that came without one from what it is made of, so that every replica that
// hears a message gives it the same id (D22).
func DerivedEventID(timestamp int64, source, message string) string {
	return fmt.Sprintf("evt_%d_%s", timestamp, digest36(source+"\x00"+message, 12))
}

func newID(prefix string, now time.Time) string {
	return prefix + "_" + strconv.FormatInt(now.UnixMilli(), 10) + "_" + random36(9)
}

func random36(n int) string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return tail36(b[:], n)
}

func digest36(text string, n int) string {
	sum := sha256.Sum256([]byte(text))
	return tail36(sum[:], n)
}

func tail36(b []byte, n int) string {
	s := fmt.Sprintf("%0*s", n, new(big.Int).SetBytes(b).Text(36))
	return s[len(s)-n:]
}
