package httpsend

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestLegacyVector(t *testing.T) {
	t.Parallel()
	body := []byte(`{"a":3,"b":2}`)
	require.Equal(t, "sha256=7777c362bb22c506d0fb187404c39eacddd56a2753a4e371c57db59301f77511", Legacy("s3cr3t", body))
	require.True(t, VerifyLegacy("s3cr3t", Legacy("s3cr3t", body), body))
	require.False(t, VerifyLegacy("other", Legacy("s3cr3t", body), body))
	require.False(t, VerifyLegacy("s3cr3t", Legacy("s3cr3t", body), []byte(`{"a":3,"b":3}`)))
	require.False(t, VerifyLegacy("", Legacy("", body), body))
	require.False(t, VerifyLegacy("s3cr3t", "", body))
}

// The vector that the Standard Webhooks reference libraries are tested with.
func TestD51_StandardVector(t *testing.T) {
	t.Parallel()
	const secret, id, timestamp = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
	body := []byte(`{"test": 2432232314}`)
	const signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	require.Equal(t, signature, Standard(secret, id, timestamp, body))

	now := time.Unix(timestamp, 0)
	header := func(id, timestamp, signature string) http.Header {
		h := http.Header{}
		h.Set(HeaderStandardID, id)
		h.Set(HeaderStandardTimestamp, timestamp)
		h.Set(HeaderStandardSignature, signature)
		return h
	}
	good := header(id, fmt.Sprint(timestamp), "v1a,x v1,other "+signature)
	for name, c := range map[string]struct {
		header http.Header
		secret string
		body   string
		now    time.Time
		ok     bool
	}{
		"one of a list":    {good, secret, string(body), now, true},
		"lower-case names": {http.Header{"webhook-id": {id}, "webhook-timestamp": {"1614265330"}, "webhook-signature": {signature}}, secret, string(body), now, true},
		"a little old":     {good, secret, string(body), now.Add(5 * time.Minute), true},
		"replayed":         {good, secret, string(body), now.Add(5*time.Minute + time.Second), false},
		"from the future":  {good, secret, string(body), now.Add(-6 * time.Minute), false},
		"other secret":     {good, "whsec_AAAA", string(body), now, false},
		"no secret":        {good, "", string(body), now, false},
		"other body":       {good, secret, string(body) + " ", now, false},
		"other id":         {header("msg_2", fmt.Sprint(timestamp), signature), secret, string(body), now, false},
		"other time":       {header(id, fmt.Sprint(timestamp+1), signature), secret, string(body), now, false},
		"bad time":         {header(id, "now", signature), secret, string(body), now, false},
		"no signature":     {header(id, fmt.Sprint(timestamp), ""), secret, string(body), now, false},
		"no version":       {header(id, fmt.Sprint(timestamp), signature[3:]), secret, string(body), now, false},
		"nothing":          {http.Header{}, secret, string(body), now, false},
	} {
		require.Equal(t, c.ok, VerifyStandard(c.secret, c.header, []byte(c.body), c.now, 5*time.Minute), name)
	}
}

func TestStandardKey(t *testing.T) {
	t.Parallel()
	for secret, key := range map[string]string{
		"s3cr3t":       "s3cr3t",
		"whsec_YWJj":   "abc",
		"whsec_YWI=":   "ab",
		"whsec_":       "whsec_",
		"whsec_not 64": "whsec_not 64",
		"é":            "é",
	} {
		require.Equal(t, key, string(standardKey(secret)), secret)
	}
}

func TestSignaturesVerify(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		secret := rapid.StringN(1, -1, -1).Draw(t, "secret")
		if rapid.Bool().Draw(t, "encoded") {
			secret = "whsec_" + base64.StdEncoding.EncodeToString([]byte(secret))
		}
		body := rapid.SliceOf(rapid.Byte()).Draw(t, "body")
		require.True(t, VerifyLegacy(secret, Legacy(secret, body), body))
		h := http.Header{HeaderStandardID: {"e"}, HeaderStandardTimestamp: {"100"}, HeaderStandardSignature: {Standard(secret, "e", 100, body)}}
		require.True(t, VerifyStandard(secret, h, body, time.Unix(100, 0), 0))
		require.False(t, VerifyStandard(secret, h, append(body, 'x'), time.Unix(100, 0), 0))
	})
}
