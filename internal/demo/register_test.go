package demo

import (
	"bytes"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/timestamppb"

	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// confirmed is a registration that is as it should be.
func confirmed() *holdfastv1.RegisterWebhookResponse {
	secret := "whsec_x"
	reg := &holdfastv1.Registration{
		Status: holdfastv1.RegistrationStatus_REGISTRATION_STATUS_CONFIRMED, Revision: 1795535779194, CachesConfirmed: 1, CachesTotal: 1,
	}
	for i, name := range steps {
		at := published.Add(time.Duration(i) * 12 * time.Millisecond)
		reg.Steps = append(reg.Steps, &holdfastv1.RegistrationStep{
			Operation: "register", Name: name, Status: holdfastv1.StepStatus_STEP_STATUS_DONE, Attempts: 1,
			Time: timestamppb.New(at), EndTime: timestamppb.New(at.Add(4 * time.Millisecond)),
		})
	}
	reg.Steps[2].Status, reg.Steps[2].Detail = holdfastv1.StepStatus_STEP_STATUS_SKIPPED, "EMPROPS is off"
	return &holdfastv1.RegisterWebhookResponse{
		Webhook: &holdfastv1.Webhook{
			Id: "wh_k_kjtjzh1lkiujxji4estw", State: holdfastv1.WebhookState_WEBHOOK_STATE_ACTIVE, HasSecret: true,
		},
		Secret: &secret, Registration: reg,
	}
}

func TestG1_OnlyAProvedRegistrationPasses(t *testing.T) {
	t.Parallel()
	require.NoError(t, proved(confirmed()))
	for want, spoil := range map[string]func(*holdfastv1.RegisterWebhookResponse){
		"it is pending": func(a *holdfastv1.RegisterWebhookResponse) {
			a.Registration.Status = holdfastv1.RegistrationStatus_REGISTRATION_STATUS_PENDING
		},
		"step verify has to be done, it is running": func(a *holdfastv1.RegisterWebhookResponse) {
			a.Registration.Steps[3].Status = holdfastv1.StepStatus_STEP_STATUS_RUNNING
		},
		"the steps have to be": func(a *holdfastv1.RegisterWebhookResponse) { a.Registration.Steps = a.Registration.Steps[:5] },
		"every cache has to be confirmed, 1 of 2 are": func(a *holdfastv1.RegisterWebhookResponse) {
			a.Registration.CachesTotal = 2
		},
		"every cache has to be confirmed, 0 of 0 are": func(a *holdfastv1.RegisterWebhookResponse) {
			a.Registration.CachesConfirmed, a.Registration.CachesTotal = 0, 0
		},
		"has to be active, it is paused": func(a *holdfastv1.RegisterWebhookResponse) {
			a.Webhook.State = holdfastv1.WebhookState_WEBHOOK_STATE_PAUSED
		},
		"secret has to be generated": func(a *holdfastv1.RegisterWebhookResponse) { a.Secret = nil },
	} {
		answer := confirmed()
		spoil(answer)
		require.ErrorContains(t, proved(answer), want)
	}
}

func TestARegistrationIsPrintedStepByStep(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	answer := confirmed()
	(&run{out: printer{&out}}).registered(&target{webhook: answer.GetWebhook()}, answer.GetRegistration())
	require.Equal(t, strings.Join([]string{
		"registered wh_k_kjtjzh1lkiujxji4estw  CONFIRMED  in 64 ms  revision 1795535779194  caches confirmed 1 of 1",
		"step       check     done     at    0 ms  1 attempt",
		"step       write     done     at   12 ms  1 attempt",
		"step       confirm   skipped  at   24 ms  1 attempt   EMPROPS is off",
		"step       verify    done     at   36 ms  1 attempt",
		"step       refresh   done     at   48 ms  1 attempt",
		"step       activate  done     at   60 ms  1 attempt",
		"",
	}, "\n"), out.String())
	require.NotContains(t, out.String(), answer.GetSecret())

	answer.Registration.Steps[2].Detail = strings.Repeat("ä long detail ", 20)
	(&run{out: printer{&out}}).registered(&target{webhook: answer.GetWebhook()}, answer.GetRegistration())
	require.Contains(t, out.String(), "…\n")
	for l := range strings.Lines(out.String()) {
		require.LessOrEqual(t, utf8.RuneCountInString(l), 131) // 130 and the line's end
	}
}

func TestARegistrationWithoutStepsIsPrinted(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	(&run{out: printer{&out}}).registered(&target{webhook: &holdfastv1.Webhook{Id: "wh_1"}}, nil)
	require.Equal(t, "registered wh_1  UNSPECIFIED  revision 0  caches confirmed 0 of 0\n", out.String())
}
