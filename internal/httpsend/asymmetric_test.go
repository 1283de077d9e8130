package httpsend

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
)

func newSigningKey(tb testing.TB) string {
	tb.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	require.NoError(tb, err)
	return "whsk_" + base64.StdEncoding.EncodeToString(key)
}

func v1(key, signed string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(signed))
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

func TestD51_EverySecretThatStillSignsIsInTheHeader(t *testing.T) {
	t.Parallel()
	const at = int64(1718000001)
	url, requests := capture(t)
	s := newSender(t, Config{Now: func() time.Time { return time.Unix(at, 0) }})
	w := newWebhook(url)
	w.Secret = "whsec_" + base64.StdEncoding.EncodeToString([]byte("current key"))
	w.RetiringSecrets = []holdfast.RetiringSecret{
		{Secret: "older", Until: at*1000 + 1}, {Secret: "over", Until: at * 1000}, {Secret: "oldest", Until: at*1000 + 60_000},
	}
	require.True(t, send(t, s, w).Success)
	got := <-requests
	signed := "evt_1." + strconv.FormatInt(at, 10) + "." + string(got.body)
	header := headerOf(got.head, "webhook-signature")
	require.Equal(t, strings.Join([]string{v1("current key", signed), v1("older", signed), v1("oldest", signed)}, " "), header)
	require.Equal(t, Legacy(w.Secret, got.body), headerOf(got.head, "X-Webhook-Signature"), "of the current secret alone")

	// A receiver verifies with any of them during the rotation, and not with one whose time is over.
	h := http.Header{}
	for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
		h.Set(name, headerOf(got.head, name))
	}
	for _, secret := range []string{w.Secret, "older", "oldest"} {
		require.True(t, VerifyStandard(secret, h, got.body, time.Unix(at, 0), time.Minute), secret)
	}
	require.False(t, VerifyStandard("over", h, got.body, time.Unix(at, 0), time.Minute))

	// Without a current secret nothing signs for it.
	w.Secret = ""
	require.True(t, send(t, s, w).Success)
	require.Empty(t, headerOf((<-requests).head, "webhook-signature"))
}

func TestD51_AsymmetricSignatureVerifiesWithThePublicKey(t *testing.T) {
	t.Parallel()
	const at = int64(1614265330)
	url, requests := capture(t)
	s := newSender(t, Config{Now: func() time.Time { return time.Unix(at, 0) }})
	w := newWebhook(url)
	w.Secret = ""
	for range 3 {
		w.SigningKey = newSigningKey(t)
		require.Empty(t, validWith(w.SigningKey))
		private, err := base64.StdEncoding.DecodeString(w.SigningKey[len("whsk_"):])
		require.NoError(t, err)
		key := ed25519.PrivateKey(private).Public().(ed25519.PublicKey)
		require.True(t, send(t, s, w).Success)
		got := <-requests
		require.Empty(t, headerOf(got.head, "X-Webhook-Signature"))
		encoded, ok := strings.CutPrefix(headerOf(got.head, "webhook-signature"), "v1a,")
		require.True(t, ok)
		signature, err := base64.StdEncoding.DecodeString(encoded)
		require.NoError(t, err)
		signed := []byte("evt_1." + strconv.FormatInt(at, 10) + "." + string(got.body))
		require.True(t, ed25519.Verify(key, signed, signature))
		require.False(t, ed25519.Verify(key, append(signed, ' '), signature))
	}
}

// The first test vector of RFC 8032 section 7.1, as keys are written here.
func TestSigningKeyVector(t *testing.T) {
	t.Parallel()
	seed := []byte("\x9d\x61\xb1\x9d\xef\xfd\x5a\x60\xba\x84\x4a\xf4\x92\xec\x2c\xc4\x44\x49\xc5\x69\x7b\x32\x69\x19\x70\x3b\xac\x03\x1c\xae\x7f\x60")
	public := []byte("\xd7\x5a\x98\x01\x82\xb1\x0a\xb7\xd5\x4b\xfe\xd3\xc9\x64\x07\x3a\x0e\xe1\x72\xf3\xda\xa6\x23\x25\xaf\x02\x1a\x68\xf7\x07\x51\x1a")
	for _, key := range [][]byte{seed, bytes.Join([][]byte{seed, public}, nil)} {
		got, err := parseSigningKey("whsk_" + base64.StdEncoding.EncodeToString(key))
		require.NoError(t, err)
		require.Equal(t, ed25519.PublicKey(public), got.Public())
	}
}

func validWith(signingKey string) []holdfast.Violation {
	w := holdfast.Webhook{URL: "https://a.example/", Events: []string{"job_failed"}, RetryConfig: holdfast.DefaultRetryPolicy(), SigningKey: signingKey}
	return w.Violations()
}

func TestSigningKeysThatAreNone(t *testing.T) {
	t.Parallel()
	seed := bytes.Repeat([]byte{7}, ed25519.SeedSize)
	encode := base64.StdEncoding.EncodeToString
	for name, key := range map[string]string{
		"no prefix": encode(seed),
		"secret":    "whsec_" + encode(seed),
		"public":    "whpk_" + encode(seed),
		"short":     "whsk_" + encode(seed[:31]),
		"long":      "whsk_" + encode(append(seed, 0)),
		"not 64":    "whsk_topsecret!",
		"nothing":   "whsk_",
	} {
		_, err := parseSigningKey(key)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "topsecret")
		require.Len(t, validWith(key), 1, name)
		w := newWebhook("http://127.0.0.1:1/")
		w.SigningKey = key
		requireFailure(t, send(t, newSender(t, Config{}), w), holdfast.ClassBadRequest, 0, "the webhook's signing key is not an Ed25519 private key")
	}
	// Two halves that do not belong together would sign what nobody can verify.
	require.Len(t, validWith("whsk_"+encode(append(seed, seed...))), 1)
}
