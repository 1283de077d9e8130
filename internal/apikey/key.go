package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// Header is the request header for a key where Authorization is taken, such as behind a proxy with a login of its own.
const Header = "X-API-Key"

// Prefix begins every key that New makes, so that people and scanners for leaked secrets recognise it.
const Prefix = "hf_"

// Key is one key of the configuration. The key itself is not in it.
type Key struct {
	Name  string // who it is, in the audit trail
	Scope Scope
	hash  [sha256.Size]byte
}

var names = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,31}$`)

// Parse reads an entry of the configuration, name:scope:hash, where hash is the SHA-256 of the key in hexadecimal. The
// error says what is wrong and never repeats the entry, in which somebody may have put the key itself.
func Parse(entry string) (Key, error) {
	parts := strings.Split(entry, ":")
	if len(parts) != 3 {
		return Key{}, errors.New("must be name:scope:hash; holdfast key makes one")
	}
	if !names.MatchString(parts[0]) {
		return Key{}, errors.New("the name must be letters, digits and _ . - only, at most 32 of them")
	}
	k := Key{Name: parts[0]}
	var ok bool
	if k.Scope, ok = ParseScope(parts[1]); !ok {
		return Key{}, fmt.Errorf("the scope of %s must be read, write or operate", k.Name)
	}
	if n, err := hex.Decode(k.hash[:], []byte(fit(parts[2]))); err != nil || n != len(k.hash) {
		return Key{}, fmt.Errorf("the hash of %s must be the SHA-256 of its key, 64 hexadecimal digits", k.Name)
	}
	return k, nil
}

// fit is the text where it has the length of a hash, and nothing where it has not.
func fit(text string) string {
	if len(text) != hex.EncodedLen(sha256.Size) {
		return ""
	}
	return text
}

// New makes a key of 130 random bits: the text that callers send, to be shown once, and the entry for the configuration.
// The error is about the name.
func New(name string, scope Scope) (text, entry string, err error) {
	text = Prefix + rand.Text()
	hash := sha256.Sum256([]byte(text))
	entry = name + ":" + scope.String() + ":" + hex.EncodeToString(hash[:])
	_, err = Parse(entry)
	return text, entry, err
}

// Ring is the keys of a configuration.
type Ring []Key

// ParseRing reads the entries of a configuration. The error is about the first that is wrong, or names twice.
func ParseRing(entries []string) (Ring, error) {
	var ring Ring
	for i, entry := range entries {
		k, err := Parse(entry)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
		for _, other := range ring {
			if other.Name == k.Name {
				return nil, fmt.Errorf("entry %d: there is another key named %s", i+1, k.Name)
			}
		}
		ring = append(ring, k)
	}
	return ring, nil
}

// Find returns the key with a text. It looks at all of them, each in the same time whatever the text.
func (r Ring) Find(text string) (found Key, ok bool) {
	hash := sha256.Sum256([]byte(text))
	for _, k := range r {
		if subtle.ConstantTimeCompare(hash[:], k.hash[:]) == 1 {
			found, ok = k, true
		}
	}
	return found, ok
}

// FromHeader returns the key that a request was sent with: a bearer token (RFC 6750 section 2.1), or else Header. It is ""
// when there is none; what contradicts itself or cannot be a key is none.
func FromHeader(h http.Header) string {
	for _, value := range h.Values("Authorization") {
		scheme, token, _ := strings.Cut(value, " ")
		if strings.EqualFold(scheme, "Bearer") {
			return only(h.Values("Authorization"), strings.Trim(token, " "))
		}
	}
	values := h.Values(Header)
	if len(values) == 0 {
		return ""
	}
	return only(values, strings.TrimSpace(values[0]))
}

// maxKey bounds what is hashed, in bytes.
const maxKey = 512

// only is the key when it stands in the one value that there is and can be one.
func only(values []string, key string) string {
	if len(values) != 1 || len(key) > maxKey || strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return ""
	}
	return key
}
