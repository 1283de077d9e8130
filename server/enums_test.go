package server

import (
	"testing"

	"github.com/stretchr/testify/require"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

func TestEveryWordOfTheDomainHasItsEnumValue(t *testing.T) {
	t.Parallel()
	for _, s := range holdfast.DeliveryStates() {
		word, v := wordOf(holdfastv1.DeliveryState_name, int32(deliveryState(s)), deliveryStatePrefix)
		require.Empty(t, v)
		require.Equal(t, string(s), word)
	}
	for _, s := range []holdfast.WebhookState{
		holdfast.WebhookPending, holdfast.WebhookActive, holdfast.WebhookDisconnected, holdfast.WebhookPaused,
		holdfast.WebhookFailed, holdfast.WebhookDeleted,
	} {
		word, v := wordOf(holdfastv1.WebhookState_name, int32(webhookState(s)), webhookStatePrefix)
		require.Empty(t, v)
		require.Equal(t, string(s), word)
	}
	for _, s := range []holdfast.RegistrationStatus{
		holdfast.RegistrationPending, holdfast.RegistrationConfirmed, holdfast.RegistrationFailed,
	} {
		require.NotZero(t, registrationStatus(s), s)
	}
	for _, s := range []holdfast.StepStatus{
		holdfast.StepPending, holdfast.StepRunning, holdfast.StepDone, holdfast.StepFailed, holdfast.StepSkipped,
		holdfast.StepUndone,
	} {
		require.NotZero(t, stepStatus(s), s)
	}
}
