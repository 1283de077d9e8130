// Package seal encrypts credentials, so that they travel through workflow histories and rest in Redis without being
// readable there (DESIGN 9). It is AES-256-GCM with random nonces; keys can be rotated.
package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"strings"

	"github.com/emprops/holdfast"
)

// prefix begins every sealed text and names its form.
const prefix = "hf1."

var encoding = base64.RawURLEncoding.Strict()

// Keyring seals with its first key and opens with any. The nil Keyring is the one without keys: it leaves texts as they
// are. A Keyring is safe for concurrent use.
type Keyring struct {
	sealing string // id of the key that seals
	aeads   map[string]cipher.AEAD
}

// New makes a keyring of which the first key seals and all open; after a rotation the old keys follow the new one.
// Without keys it returns nil. Errors have CodeInvalid: a key of another size than KeySize, a malformed or repeated id.
func New(keys ...Key) (*Keyring, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	k := &Keyring{sealing: keys[0].ID, aeads: make(map[string]cipher.AEAD, len(keys))}
	for _, key := range keys {
		if err := key.check(); err != nil {
			return nil, err
		}
		if k.aeads[key.ID] != nil {
			return nil, holdfast.Errorf(holdfast.CodeInvalid, "sealing key %s is given twice", key.ID)
		}
		block, err := aes.NewCipher(key.Secret)
		if err != nil {
			return nil, holdfast.Wrap(holdfast.CodeInvalid, err, "sealing key %s is not usable", key.ID)
		}
		if k.aeads[key.ID], err = cipher.NewGCM(block); err != nil {
			return nil, holdfast.Wrap(holdfast.CodeInternal, err, "set up AES-GCM for sealing key %s", key.ID)
		}
	}
	return k, nil
}

// Seal encrypts plain to "hf1.<key id>.<base64url of nonce and ciphertext>". The empty text stays empty, so that "no
// secret" remains visible. Sealing a text twice gives different results. It fails only with CodeInternal.
func (k *Keyring) Seal(plain string) (string, error) {
	if k == nil || plain == "" {
		return plain, nil
	}
	aead := k.aeads[k.sealing]
	nonce := make([]byte, aead.NonceSize(), aead.NonceSize()+len(plain)+aead.Overhead())
	if _, err := rand.Read(nonce); err != nil {
		return "", holdfast.Wrap(holdfast.CodeInternal, err, "make a nonce")
	}
	// The header is authenticated too: a text cannot be passed off as sealed in another form or by another key.
	head := prefix + k.sealing + "."
	return head + encoding.EncodeToString(aead.Seal(nonce, nonce, []byte(plain), []byte(head))), nil
}

// Open decrypts what Seal made. The empty text stays empty. Everything else that cannot be opened is a CodeInternal error
// that holds nothing of the text: not sealed at all, an unknown key, damage. The nil Keyring returns unsealed texts as
// they are and refuses sealed ones, which would otherwise be used as secrets themselves.
func (k *Keyring) Open(sealed string) (string, error) {
	if sealed == "" || k == nil && !IsSealed(sealed) {
		return sealed, nil
	}
	head, id, data, ok := split(sealed)
	if !ok {
		return "", holdfast.Errorf(holdfast.CodeInternal, "open a credential: it is not sealed")
	}
	if k == nil {
		return "", holdfast.Errorf(holdfast.CodeInternal, "open a credential: no sealing key is configured, it was sealed by key %s", id)
	}
	aead := k.aeads[id]
	if aead == nil {
		return "", holdfast.Errorf(holdfast.CodeInternal, "open a credential: it was sealed by key %s, which is not configured", id)
	}
	plain, err := aead.Open(nil, data[:aead.NonceSize()], data[aead.NonceSize():], []byte(head))
	if err != nil {
		return "", holdfast.Wrap(holdfast.CodeInternal, err, "open a credential sealed by key %s", id)
	}
	return string(plain), nil
}

// IsSealed tells whether s has the form that Seal gives; not whether it can be opened.
func IsSealed(s string) bool {
	_, _, _, ok := split(s)
	return ok
}

// Stale tells whether a text was sealed with another key than the one that seals now, or not at all though there is one:
// sealing it again lets the old key be taken away. Nothing is stale to the nil Keyring, nor is the empty text.
func (k *Keyring) Stale(sealed string) bool {
	if k == nil || sealed == "" {
		return false
	}
	_, id, _, ok := split(sealed)
	return !ok || id != k.sealing
}

// split takes a sealed text apart. data holds at least a nonce and a tag.
func split(s string) (head, id string, data []byte, ok bool) {
	rest, ok := strings.CutPrefix(s, prefix)
	if !ok {
		return "", "", nil, false
	}
	id, text, ok := strings.Cut(rest, ".")
	// The decoder skips line ends, which would give one sealing several texts.
	if !ok || !validID(id) || strings.ContainsAny(text, "\r\n") {
		return "", "", nil, false
	}
	data, err := encoding.DecodeString(text)
	if err != nil || len(data) < nonceSize+tagSize {
		return "", "", nil, false
	}
	return s[:len(s)-len(text)], id, data, true
}

// The sizes of standard GCM (NIST SP 800-38D), in bytes.
const (
	nonceSize = 12
	tagSize   = 16
)
