package httpsend

import (
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"strings"
	"time"

	"github.com/emprops/holdfast"
)

// Prefixes and version of the asymmetric scheme (Standard Webhooks, "Signature scheme").
const (
	signingKeyPrefix  = "whsk_"
	asymmetricVersion = "v1a,"
)

// Asymmetric is one v1a signature of the Standard Webhooks specification: "v1a," and the base64 Ed25519 signature of
// "<id>.<timestamp>.<body>", timestamp in seconds since the epoch.
func Asymmetric(signingKey, id string, timestamp int64, body []byte) (string, error) {
	key, err := parseSigningKey(signingKey)
	if err != nil {
		return "", err
	}
	signed := append(signedHead(make([]byte, 0, 64+len(id)+len(body)), id, timestamp), body...)
	return asymmetricVersion + base64.StdEncoding.EncodeToString(ed25519.Sign(key, signed)), nil
}

var errSigningKey = errors.New("not an Ed25519 private key in base64 after whsk_")

// parseSigningKey reads a private key of 64 bytes, or of 32 bytes, its seed alone.
func parseSigningKey(signingKey string) (ed25519.PrivateKey, error) {
	encoded, ok := strings.CutPrefix(signingKey, signingKeyPrefix)
	key, err := base64.StdEncoding.DecodeString(encoded)
	switch {
	case !ok || err != nil:
		return nil, errSigningKey // the decoder's error quotes a part of the key
	case len(key) == ed25519.SeedSize:
		return ed25519.NewKeyFromSeed(key), nil
	case len(key) == ed25519.PrivateKeySize:
		return key, nil
	}
	return nil, errSigningKey
}

// signatures is the value of webhook-signature: one v1 for each secret that signs at the time, the current one first, so
// that receivers verify through a rotation; then v1a. It is empty when the webhook has nothing to sign with.
func signatures(w *holdfast.Webhook, id string, now time.Time, body []byte) (string, error) {
	if w.Secret != "" && len(w.RetiringSecrets) == 0 && w.SigningKey == "" {
		return Standard(w.Secret, id, now.Unix(), body), nil
	}
	var all []string
	for _, secret := range w.SigningSecrets(now.UnixMilli()) {
		all = append(all, Standard(secret, id, now.Unix(), body))
	}
	if w.SigningKey != "" {
		signature, err := Asymmetric(w.SigningKey, id, now.Unix(), body)
		if err != nil {
			return "", err
		}
		all = append(all, signature)
	}
	return strings.Join(all, " "), nil
}
