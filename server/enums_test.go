package server

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	holdfast "github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
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
	for _, s := range []SeriesStep{Hourly, Daily} {
		require.NotZero(t, holdfastv1.SeriesStep_value[seriesStepPrefix+strings.ToUpper(string(s))], s)
	}
	for _, f := range holdfast.PayloadFormats() {
		require.NotZero(t, payloadFormat(f), f)
	}
	for _, c := range []holdfast.DisconnectCause{
		holdfast.DisconnectedByFailures, holdfast.DisconnectedByReceiver, holdfast.DisconnectedByOperator,
	} {
		require.NotZero(t, disconnectCause(c), c)
	}
}

// A field of the input that no change could name would be lost without a word.
func TestEveryFieldOfTheInputCanBeChanged(t *testing.T) {
	t.Parallel()
	fields := (&holdfastv1.WebhookInput{}).ProtoReflect().Descriptor().Fields()
	known := 0
	for i := range fields.Len() {
		name := fields.Get(i).JSONName()
		require.Contains(t, webhookFields, name)
		known++
		if name != "filters" && name != "retryPolicy" {
			continue
		}
		inside := fields.Get(i).Message().Fields()
		for j := range inside.Len() {
			if path := name + "." + inside.Get(j).JSONName(); path != retryPreset {
				require.Contains(t, webhookFields, path)
				known++
			}
		}
	}
	require.Len(t, webhookFields, known, "and nothing else can")
}

// Whatever a mask holds, it is read without harm, and what it names is a field.
func FuzzMask(f *testing.F) {
	f.Add("retry_policy.max_attempts", "*")
	f.Add("headers.X", "_a.b__c.")
	f.Fuzz(func(t *testing.T, first, second string) {
		in := &holdfastv1.WebhookInput{Url: "http://h/", EventTypes: []string{"job_failed"}}
		change, violations := changeOf(in, []string{first, second}, holdfast.DefaultRetryPolicy())
		if violations == nil {
			require.NotEmpty(t, change.Fields)
			require.NoError(t, activities.ApplyChange(&holdfast.Webhook{}, &change.Webhook, change.Fields))
		}
	})
}
