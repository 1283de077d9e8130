package seal

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/emprops/holdfast"
)

// KeySize is the size of a key in bytes: AES-256.
const KeySize = 32

// Key is a sealing key. Printing it shows its id only.
type Key struct {
	ID     string // 1 to 32 letters, digits, - and _; stands in every text the key sealed
	Secret []byte // KeySize bytes
}

// NewKey makes a random key whose id is derived from it.
func NewKey() (Key, error) {
	secret := make([]byte, KeySize)
	if _, err := rand.Read(secret); err != nil {
		return Key{}, holdfast.Wrap(holdfast.CodeInternal, err, "make a sealing key")
	}
	return Key{ID: derivedID(secret), Secret: secret}, nil
}

// String implements fmt.Stringer with the id.
func (k Key) String() string { return "sealing key " + k.ID }

// GoString implements fmt.GoStringer with the id.
func (k Key) GoString() string { return k.String() }

// Text is the key in the form that ParseKeys reads. It holds the secret.
func (k Key) Text() string { return k.ID + ":" + base64.StdEncoding.EncodeToString(k.Secret) }

func (k Key) check() error {
	if !validID(k.ID) {
		return holdfast.Errorf(holdfast.CodeInvalid, "the id of a sealing key must be 1 to 32 letters, digits, - or _")
	}
	if len(k.Secret) != KeySize {
		return holdfast.Errorf(holdfast.CodeInvalid, "sealing key %s has %d bytes; it must have %d", k.ID, len(k.Secret), KeySize)
	}
	return nil
}

// derivedID is the first 8 hexadecimal digits of the key's SHA-256.
func derivedID(secret []byte) string {
	sum := sha256.Sum256(secret)
	return hex.EncodeToString(sum[:4])
}

func validID(id string) bool {
	return id != "" && len(id) <= 32 && !strings.ContainsFunc(id, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	})
}

// ParseKeys reads keys separated by commas or white space, each "id:base64" or base64 alone, which then gets an id derived
// from it. Standard and URL-safe base64 are both read, with or without padding. An empty text holds no keys. Errors have
// CodeInvalid and count keys instead of quoting them.
func ParseKeys(text string) ([]Key, error) {
	fields := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == '\n' || r == '\r' || r == '\t' })
	var keys []Key
	for i, field := range fields {
		id, encoded, named := strings.Cut(field, ":")
		if !named {
			id, encoded = "", field
		}
		encoded = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(encoded, "="))
		secret, err := base64.RawStdEncoding.DecodeString(encoded)
		if err != nil {
			// Not wrapped: the cause may quote a part of the key.
			return nil, holdfast.Errorf(holdfast.CodeInvalid, "sealing key number %d is not base64", i+1)
		}
		key := Key{ID: id, Secret: secret}
		if !named {
			key.ID = derivedID(secret)
		}
		if err := key.check(); err != nil {
			return nil, err
		}
		keys = append(keys, key)
	}
	return keys, nil
}

// LoadOrCreate reads the keys of a file and, where there is no file, makes one with a random key that only its owner may
// read. Processes that do so at the same time end up with the same key. Errors have CodeInvalid for a file that holds no
// usable key and CodeUnavailable for a failing file system.
func LoadOrCreate(path string) (*Keyring, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(path); err != nil {
			return nil, err
		}
		text, err = os.ReadFile(path)
	}
	if err != nil {
		return nil, holdfast.Wrap(holdfast.CodeUnavailable, err, "read the sealing key file")
	}
	keys, err := ParseKeys(string(text))
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "the sealing key file holds no key")
	}
	return New(keys...)
}

// create writes a new key beside path and links it there: the link appears whole or, if another process was first, not.
func create(path string) error {
	fail := func(err error) error {
		return holdfast.Wrap(holdfast.CodeUnavailable, err, "create the sealing key file")
	}
	key, err := NewKey()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fail(err)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*") // mode 0600
	if err != nil {
		return fail(err)
	}
	defer func() { _ = os.Remove(f.Name()) }()
	_, err = f.WriteString(key.Text() + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fail(err)
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return fail(err)
	}
	return nil
}
