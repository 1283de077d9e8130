package server

import (
	"strings"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// The names of enum values in the API are the domain's words in upper case behind the enum's prefix, so that the
// generated tables serve as the translation. A test holds that every word has its value.
const (
	webhookStatePrefix       = "WEBHOOK_STATE_"
	deliveryStatePrefix      = "DELIVERY_STATE_"
	registrationStatusPrefix = "REGISTRATION_STATUS_"
	stepStatusPrefix         = "STEP_STATUS_"
	payloadFormatPrefix      = "PAYLOAD_FORMAT_"
	seriesStepPrefix         = "SERIES_STEP_"
	disconnectCausePrefix    = "DISCONNECT_CAUSE_"
)

func webhookState(s holdfast.WebhookState) holdfastv1.WebhookState {
	return holdfastv1.WebhookState(holdfastv1.WebhookState_value[webhookStatePrefix+strings.ToUpper(string(s))])
}

func deliveryState(s holdfast.DeliveryState) holdfastv1.DeliveryState {
	return holdfastv1.DeliveryState(holdfastv1.DeliveryState_value[deliveryStatePrefix+strings.ToUpper(string(s))])
}

func registrationStatus(s holdfast.RegistrationStatus) holdfastv1.RegistrationStatus {
	return holdfastv1.RegistrationStatus(
		holdfastv1.RegistrationStatus_value[registrationStatusPrefix+strings.ToUpper(string(s))])
}

func stepStatus(s holdfast.StepStatus) holdfastv1.StepStatus {
	return holdfastv1.StepStatus(holdfastv1.StepStatus_value[stepStatusPrefix+strings.ToUpper(string(s))])
}

func payloadFormat(f holdfast.PayloadFormat) holdfastv1.PayloadFormat {
	return holdfastv1.PayloadFormat(holdfastv1.PayloadFormat_value[payloadFormatPrefix+strings.ToUpper(string(f))])
}

func disconnectCause(c holdfast.DisconnectCause) holdfastv1.DisconnectCause {
	return holdfastv1.DisconnectCause(holdfastv1.DisconnectCause_value[disconnectCausePrefix+strings.ToUpper(string(c))])
}

// wordOf returns the domain's word for the number of an enum value, "" for the unspecified one.
func wordOf(names map[int32]string, number int32, prefix string) (string, []holdfast.Violation) {
	name, known := names[number]
	switch {
	case number == 0:
		return "", nil
	case !known:
		return "", []holdfast.Violation{{Field: "state", Description: "is not a state"}}
	}
	return strings.ToLower(strings.TrimPrefix(name, prefix)), nil
}
