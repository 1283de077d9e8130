package httpsend

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Header names of the two signature schemes, as they are spelled on the wire.
const (
	HeaderSignature         = "X-Webhook-Signature"
	HeaderStandardID        = "webhook-id"
	HeaderStandardTimestamp = "webhook-timestamp"
	HeaderStandardSignature = "webhook-signature"
)

const (
	legacyPrefix    = "sha256="
	standardVersion = "v1,"
	// standardSecretPrefix begins a secret whose rest is a key in base64 (Standard Webhooks, "Signature scheme").
	standardSecretPrefix = "whsec_"
)

// Legacy is the original's X-Webhook-Signature (CONTRACT 4.2): "sha256=" and the lower-case hexadecimal HMAC-SHA256 of
// the exact body, keyed with the secret's UTF-8 bytes.
func Legacy(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	var sum [sha256.Size]byte
	out := make([]byte, 0, len(legacyPrefix)+2*sha256.Size)
	out = append(out, legacyPrefix...)
	return string(hex.AppendEncode(out, mac.Sum(sum[:0])))
}

// Standard is one signature of the Standard Webhooks specification: "v1," and the base64 HMAC-SHA256 of
// "<id>.<timestamp>.<body>". timestamp is in seconds since the epoch. The key is the decoded rest of a secret that begins
// with whsec_, otherwise the secret's UTF-8 bytes. The header may hold several signatures separated by spaces.
func Standard(secret, id string, timestamp int64, body []byte) string {
	mac := hmac.New(sha256.New, standardKey(secret))
	mac.Write(signedHead(make([]byte, 0, 160), id, timestamp))
	mac.Write(body)
	var sum [sha256.Size]byte
	out := make([]byte, 0, len(standardVersion)+base64.StdEncoding.EncodedLen(sha256.Size))
	out = append(out, standardVersion...)
	return string(base64.StdEncoding.AppendEncode(out, mac.Sum(sum[:0])))
}

// signedHead appends what is signed before the body.
func signedHead(dst []byte, id string, timestamp int64) []byte {
	dst = append(append(dst, id...), '.')
	return append(strconv.AppendInt(dst, timestamp, 10), '.')
}

func standardKey(secret string) []byte {
	if encoded, ok := strings.CutPrefix(secret, standardSecretPrefix); ok {
		if key, err := base64.StdEncoding.DecodeString(encoded); err == nil && len(key) > 0 {
			return key
		}
	}
	return []byte(secret)
}

// VerifyLegacy tells whether header, the value of X-Webhook-Signature, signs the body. An empty secret verifies nothing.
func VerifyLegacy(secret, header string, body []byte) bool {
	return secret != "" && hmac.Equal([]byte(header), []byte(Legacy(secret, body)))
}

// VerifyStandard tells whether one of the Standard Webhooks signatures in the header signs the body, and whether the
// signed time is within tolerance of now. An empty secret verifies nothing.
func VerifyStandard(secret string, header http.Header, body []byte, now time.Time, tolerance time.Duration) bool {
	timestamp, err := strconv.ParseInt(value(header, HeaderStandardTimestamp), 10, 64)
	if err != nil || secret == "" || now.Sub(time.Unix(timestamp, 0)).Abs() > tolerance {
		return false
	}
	want := []byte(Standard(secret, value(header, HeaderStandardID), timestamp, body))
	for given := range strings.SplitSeq(value(header, HeaderStandardSignature), " ") {
		if hmac.Equal([]byte(given), want) {
			return true
		}
	}
	return false
}

// value finds a header under its canonical or its lower-case name.
func value(header http.Header, lower string) string {
	if v := header.Get(lower); v != "" {
		return v
	}
	if v := header[lower]; len(v) > 0 {
		return v[0]
	}
	return ""
}
