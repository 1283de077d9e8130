package server

import (
	"net/http"
	"slices"
	"time"

	"github.com/emprops/holdfast/internal/httpsend"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// signatureTolerance is how far the signed time may be from the arrival, as Standard Webhooks recommends.
const signatureTolerance = 5 * time.Minute

// checkSignatures verifies both signatures of a recorded request, the way its receiver would have at its arrival.
func checkSignatures(r *ReceivedRequest, secrets []string) *holdfastv1.SignatureCheck {
	header := http.Header(r.Headers)
	legacy := header.Get(httpsend.HeaderSignature)
	return &holdfastv1.SignatureCheck{
		Legacy: verdict(legacy != "", secrets, func(secret string) bool {
			return httpsend.VerifyLegacy(secret, legacy, r.Body)
		}),
		Standard: verdict(header.Get(httpsend.HeaderStandardSignature) != "", secrets, func(secret string) bool {
			return httpsend.VerifyStandard(secret, header, r.Body, time.UnixMilli(r.Time), signatureTolerance)
		}),
	}
}

// SignatureVerdicts says what checkSignatures does, for who does not speak the schema: valid, invalid, absent or unknown.
func SignatureVerdicts(r *ReceivedRequest, secret string) (legacy, standard string) {
	var secrets []string
	if secret != "" {
		secrets = []string{secret}
	}
	check := checkSignatures(r, secrets)
	return check.GetLegacy(), check.GetStandard()
}

func verdict(signed bool, secrets []string, valid func(secret string) bool) string {
	switch {
	case !signed:
		return "absent"
	case len(secrets) == 0:
		return "unknown"
	case slices.ContainsFunc(secrets, valid):
		return "valid"
	}
	return "invalid"
}
