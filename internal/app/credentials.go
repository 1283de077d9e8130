package app

import (
	"encoding/json"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/seal"
)

// credentials seals a webhook's credentials for the way through workflow histories. Without a key they travel in clear,
// which a warning at the start says.
type credentials struct{ keys *seal.Keyring }

func (c credentials) SealCredentials(v holdfast.Credentials) (string, error) {
	if v.None() {
		return "", nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return "", holdfast.Wrap(holdfast.CodeInternal, err, "the credentials cannot be encoded")
	}
	return c.keys.Seal(string(text))
}

func (c credentials) Open(sealed string) (holdfast.Credentials, error) {
	var v holdfast.Credentials
	if sealed == "" {
		return v, nil
	}
	text, err := c.keys.Open(sealed)
	if err != nil {
		return v, err
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return v, holdfast.Errorf(holdfast.CodeInternal, "sealed credentials cannot be decoded")
	}
	return v, nil
}

// Stale tells whether credentials were sealed with a key that is being rotated out.
func (c credentials) Stale(sealed string) bool { return c.keys.Stale(sealed) }
