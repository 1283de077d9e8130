package server

import (
	"cmp"
	"crypto/ed25519"
	"encoding/base64"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// webhookFromInput converts and checks what a caller registers. What is wrong beyond that, such as a forbidden target
// address, is found by the registration.
func webhookFromInput(in *holdfastv1.WebhookInput, retry holdfast.RetryPolicy) (holdfast.Webhook, []holdfast.Violation) {
	if in == nil {
		return holdfast.Webhook{}, []holdfast.Violation{{Field: "webhook", Description: "is required"}}
	}
	w, violations := webhookOf(in, retry, retry)
	return w, inRequest(violations)
}

// inRequest makes field paths that begin at the webhook begin at the request, in a stable order.
func inRequest(violations []holdfast.Violation) []holdfast.Violation {
	for i := range violations {
		violations[i].Field = "webhook." + violations[i].Field
	}
	slices.SortStableFunc(violations, func(a, b holdfast.Violation) int { return cmp.Compare(a.Field, b.Field) })
	return violations
}

// webhookOf converts and checks. A retry policy's fields that are left out are taken from base, or from the preset it
// names; standard is the preset "default".
func webhookOf(in *holdfastv1.WebhookInput, base, standard holdfast.RetryPolicy) (holdfast.Webhook, []holdfast.Violation) {
	policy, violations := retryPolicyFrom(in.GetRetryPolicy(), base, standard)
	format, v := formatFrom(in.GetFormat())
	violations = append(violations, v...)
	authorization, v := authorizationFrom(in.GetAuthorization())
	violations = append(violations, v...)
	signingKey, v := signingKeyFrom(in.GetSigningKey())
	violations = append(violations, v...)
	w := holdfast.Webhook{
		URL: in.GetUrl(), Events: in.GetEventTypes(), Secret: in.GetSecret(), Headers: in.GetHeaders(),
		Active: in.Active == nil || in.GetActive(), Static: in.GetStatic(), Description: in.GetDescription(),
		RetryConfig: policy,
		Filters: holdfast.Filters{
			JobTypes: in.GetFilters().GetJobTypes(), Priorities: in.GetFilters().GetPriorities(),
			MachineIDs: in.GetFilters().GetMachineIds(), WorkerIDs: in.GetFilters().GetWorkerIds(),
		},
		Format: format, Handshake: in.GetHandshake(), Filter: in.GetFilterExpression(), RateLimit: in.GetRateLimit(),
		OrderingKey: in.GetOrderingKey(), Authorization: authorization, SigningKey: signingKey,
	}
	if violations == nil { // what cannot be read would be reported twice
		violations = w.Violations()
	}
	return w, violations
}

// retryPolicyFrom takes from base what is left out. What is given stays as it is, so that an explicit 0 is refused rather
// than taken for the default.
func retryPolicyFrom(in *holdfastv1.RetryPolicy, base, standard holdfast.RetryPolicy) (holdfast.RetryPolicy, []holdfast.Violation) {
	p, violations := presetOf(in, base, standard)
	ms := func(field string, d *durationpb.Duration) int64 {
		if d.CheckValid() != nil || d.GetNanos()%int32(time.Millisecond) != 0 {
			violations = append(violations, holdfast.Violation{
				Field: "retryPolicy." + field, Description: "must be a duration of whole milliseconds",
			})
		}
		return d.GetSeconds()*1000 + int64(d.GetNanos())/int64(time.Millisecond)
	}
	if in == nil {
		return p, violations
	}
	if in.MaxAttempts != nil {
		p.MaxAttempts = int(in.GetMaxAttempts())
	}
	if in.BackoffMultiplier != nil {
		p.BackoffMultiplier = in.GetBackoffMultiplier()
	}
	if in.GetInitialDelay() != nil {
		p.InitialDelayMS = ms("initialDelay", in.GetInitialDelay())
		p.MaxDelayMS = max(p.MaxDelayMS, min(p.InitialDelayMS, holdfast.MaxRetryDelayMS))
	}
	if in.GetMaxDelay() != nil {
		p.MaxDelayMS = ms("maxDelay", in.GetMaxDelay())
	}
	if in.Jitter != nil {
		p.Jitter = in.GetJitter()
	}
	if len(in.GetNoRetryStatuses()) > 0 {
		p.NoRetryStatuses = nil
		for _, status := range in.GetNoRetryStatuses() {
			p.NoRetryStatuses = append(p.NoRetryStatuses, int(status))
		}
	}
	return p, violations
}

// presetOf returns the policy that a preset names, base without one. "default" is what a webhook without a policy gets.
func presetOf(in *holdfastv1.RetryPolicy, base, standard holdfast.RetryPolicy) (holdfast.RetryPolicy, []holdfast.Violation) {
	name := in.GetPreset()
	presets := holdfast.RetryPresets()
	presets["default"] = standard
	preset, known := presets[name]
	switch {
	case name == "":
		return base, nil
	case !known:
		return base, []holdfast.Violation{{
			Field:       "retryPolicy.preset",
			Description: "is not a preset; known are " + strings.Join(slices.Sorted(maps.Keys(presets)), ", "),
		}}
	}
	return preset, nil
}

// formatFrom leaves the original's format out of what is stored, as the original does.
func formatFrom(in holdfastv1.PayloadFormat) (holdfast.PayloadFormat, []holdfast.Violation) {
	name, known := holdfastv1.PayloadFormat_name[int32(in)]
	format := holdfast.PayloadFormat(strings.ToLower(strings.TrimPrefix(name, payloadFormatPrefix)))
	switch {
	case !known:
		return "", []holdfast.Violation{{Field: "format", Description: "is not a format"}}
	case in == 0 || format == holdfast.FormatEnvelope:
		return "", nil
	}
	return format, nil
}

// authorizationFrom makes the header's value. The domain checks what it consists of; here is what that would hide.
func authorizationFrom(in *holdfastv1.Authorization) (string, []holdfast.Violation) {
	one := func(field, text string) (string, []holdfast.Violation) {
		return "", []holdfast.Violation{{Field: "authorization." + field, Description: text}}
	}
	control := func(s string) bool { return strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) }
	switch c := in.GetCredential().(type) {
	case *holdfastv1.Authorization_Basic:
		user, password := c.Basic.GetUser(), c.Basic.GetPassword()
		switch {
		case user == "" && password == "":
			return one("basic", "must have a user or a password")
		case strings.Contains(user, ":"):
			return one("basic.user", "must not contain a colon")
		case control(user):
			return one("basic.user", "must not contain control characters")
		case control(password):
			return one("basic.password", "must not contain control characters")
		}
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)), nil
	case *holdfastv1.Authorization_BearerToken:
		if c.BearerToken == "" {
			return one("bearerToken", "must not be empty")
		}
		return "Bearer " + c.BearerToken, nil
	}
	return "", nil
}

// Prefixes of keys, as Standard Webhooks has them.
const (
	privateKeyPrefix = "whsk_"
	publicKeyPrefix  = "whpk_"
)

func signingKeyFrom(in *holdfastv1.SigningKey) (string, []holdfast.Violation) {
	switch k := in.GetKey().(type) {
	case *holdfastv1.SigningKey_Generate:
		if !k.Generate {
			return "", nil
		}
		_, key, err := ed25519.GenerateKey(nil)
		if err != nil {
			return "", []holdfast.Violation{{Field: "signingKey.generate", Description: "no key could be made; give one"}}
		}
		return privateKeyPrefix + base64.StdEncoding.EncodeToString(key), nil
	case *holdfastv1.SigningKey_PrivateKey:
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(k.PrivateKey, privateKeyPrefix))
		switch {
		case !strings.HasPrefix(k.PrivateKey, privateKeyPrefix) || err != nil || seedOf(key) == nil:
			return "", []holdfast.Violation{{
				Field: "signingKey.privateKey", Description: "must be whsk_ and an Ed25519 private key, 32 or 64 bytes, in base64",
			}}
		case len(key) == ed25519.PrivateKeySize && !ed25519.NewKeyFromSeed(seedOf(key)).Equal(ed25519.PrivateKey(key)):
			return "", []holdfast.Violation{{
				Field: "signingKey.privateKey", Description: "holds a public key that is not its own",
			}}
		}
		return k.PrivateKey, nil
	}
	return "", nil
}

// publicKeyOf returns the public half of a stored signing key, "" when there is none or it cannot be read.
func publicKeyOf(signingKey string) string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(signingKey, privateKeyPrefix))
	seed := seedOf(key)
	if err != nil || seed == nil {
		return ""
	}
	private := ed25519.NewKeyFromSeed(seed)
	return publicKeyPrefix + base64.StdEncoding.EncodeToString(private[ed25519.SeedSize:])
}

// seedOf returns the part of a private key that the rest follows from; nil when it is not one.
func seedOf(key []byte) []byte {
	if len(key) != ed25519.SeedSize && len(key) != ed25519.PrivateKeySize {
		return nil
	}
	return key[:ed25519.SeedSize]
}
