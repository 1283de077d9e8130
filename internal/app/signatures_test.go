package app_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/testkit"
)

// received is one request and the secret that its receiver knows.
type received struct {
	secret  string
	request testkit.ReceivedRequest
}

// proof is what a receiver computes from a request. The fields are also what nodeScript reads and writes.
type proof struct {
	Secret    string `json:"secret,omitempty"`
	ID        string `json:"id,omitempty"`
	Timestamp string `json:"timestamp,omitempty"`
	Body      string `json:"body,omitempty"` // base64

	Raw      string `json:"raw"`      // legacy signature over the bytes as they came
	Parsed   string `json:"parsed"`   // legacy signature over the re-serialised JSON (CONTRACT 4.3)
	Standard string `json:"standard"` // Standard Webhooks
}

// nodeScript is a receiver's verification as published for JavaScript: one JSON line in, one out.
const nodeScript = `
const crypto = require('crypto');
const lines = require('fs').readFileSync(0, 'utf8').split('\n').filter(line => line);
process.stdout.write(lines.map(line => {
  const { secret, id, timestamp, body } = JSON.parse(line);
  const raw = Buffer.from(body, 'base64');
  const mac = (key, ...parts) => {
    const hmac = crypto.createHmac('sha256', key);
    parts.forEach(part => hmac.update(part));
    return hmac;
  };
  const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : secret;
  return JSON.stringify({
    raw: 'sha256=' + mac(secret, raw).digest('hex'),
    parsed: 'sha256=' + mac(secret, JSON.stringify(JSON.parse(raw.toString('utf8')))).digest('hex'),
    standard: 'v1,' + mac(key, id + '.' + timestamp + '.', raw).digest('base64'),
  }) + '\n';
}).join(''));
`

// requireSigned requires that every request verifies the way receivers verify: the original's signature over the raw body
// and over the body after JSON.parse and JSON.stringify, and the one of Standard Webhooks.
func requireSigned(t *testing.T, all []received) {
	t.Helper()
	asked := make([]proof, len(all))
	for i, r := range all {
		h := r.request.Header
		asked[i] = proof{
			Secret: r.secret, ID: h.Get("webhook-id"), Timestamp: h.Get("webhook-timestamp"),
			Body: base64.StdEncoding.EncodeToString(r.request.Body),
		}
		seconds, err := strconv.ParseInt(asked[i].Timestamp, 10, 64)
		require.NoError(t, err)
		require.WithinDuration(t, r.request.Time, time.Unix(seconds, 0), time.Minute, "a signed time that receivers accept")
		require.Equal(t, h.Get("X-Event-Id"), asked[i].ID)
	}
	proofs := proofsOf(t, asked)
	for i, p := range proofs {
		h := all[i].request.Header
		require.Equal(t, p.Raw, h.Get("X-Webhook-Signature"), "%s", all[i].request.Body)
		require.Equal(t, p.Parsed, h.Get("X-Webhook-Signature"), "after parse and stringify: %s", all[i].request.Body)
		require.Contains(t, strings.Fields(h.Get("webhook-signature")), p.Standard, "%s", all[i].request.Body)
	}
}

func proofsOf(t *testing.T, asked []proof) []proof {
	t.Helper()
	node, err := exec.LookPath("node")
	if err != nil {
		t.Log("node is not installed: signatures are checked in Go, and not over re-serialised JSON")
		return goProofs(t, asked)
	}
	var in bytes.Buffer
	for _, p := range asked {
		require.NoError(t, json.NewEncoder(&in).Encode(p))
	}
	cmd := exec.CommandContext(t.Context(), node, "-e", nodeScript)
	cmd.Stdin = &in
	out, err := cmd.Output()
	require.NoError(t, err)
	var proofs []proof
	for line := range strings.Lines(string(out)) {
		var p proof
		require.NoError(t, json.Unmarshal([]byte(line), &p))
		proofs = append(proofs, p)
	}
	require.Len(t, proofs, len(asked))
	return proofs
}

func goProofs(t *testing.T, asked []proof) []proof {
	t.Helper()
	mac := func(key []byte, message string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(message))
		return h.Sum(nil)
	}
	proofs := make([]proof, len(asked))
	for i, p := range asked {
		body, err := base64.StdEncoding.DecodeString(p.Body)
		require.NoError(t, err)
		key := []byte(p.Secret)
		if encoded, ok := strings.CutPrefix(p.Secret, "whsec_"); ok {
			key, err = base64.StdEncoding.DecodeString(encoded)
			require.NoError(t, err)
		}
		legacy := "sha256=" + hex.EncodeToString(mac([]byte(p.Secret), string(body)))
		proofs[i] = proof{
			Raw: legacy, Parsed: legacy,
			Standard: "v1," + base64.StdEncoding.EncodeToString(mac(key, p.ID+"."+p.Timestamp+"."+string(body))),
		}
	}
	return proofs
}
