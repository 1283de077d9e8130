package server

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// webhookMessage is the webhook as it is shown: without any credential.
func webhookMessage(w *holdfast.Webhook) *holdfastv1.Webhook {
	return &holdfastv1.Webhook{
		Id: w.ID, Url: w.URL, EventTypes: w.Events,
		Filters: &holdfastv1.Filters{
			JobTypes: w.Filters.JobTypes, Priorities: w.Filters.Priorities,
			MachineIds: w.Filters.MachineIDs, WorkerIds: w.Filters.WorkerIDs,
		},
		HeaderNames: slices.Sorted(maps.Keys(w.Headers)),
		RetryPolicy: retryPolicyMessage(&w.RetryConfig),
		Active:      w.Active, Static: w.Static, Description: w.Description,
		State: webhookState(w.State()), Revision: w.Revision, HasSecret: w.Secret != "",
		ConsecutiveFailures: int32(w.ConsecutiveFailures),
		CreateTime:          timeOfMS(w.CreatedAt), UpdateTime: timeOfMS(w.UpdatedAt),
		LastSuccessTime: timeOfMS(w.LastSuccessAt), LastFailureTime: timeOfMS(w.LastFailureAt),
		Format: payloadFormat(cmp.Or(w.Format, holdfast.FormatEnvelope)), Handshake: w.Handshake,
		FilterExpression: w.Filter, RateLimit: w.RateLimit, OrderingKey: w.OrderingKey,
		HasAuthorization: w.Authorization != "", PublicKey: publicKeyOf(w.SigningKey),
		SecretsRetiring: secretsRetiring(w), Disconnection: disconnectionMessage(w.Disconnection),
	}
}

// webhookIn is the webhook as it is shown beside its registration, which knows best where it stands.
func webhookIn(w *holdfast.Webhook, r *holdfast.Registration) *holdfastv1.Webhook {
	out := webhookMessage(w)
	if r.State != "" {
		out.State = webhookState(r.State)
	}
	out.NextProbeTime = timeOfMS(r.NextProbeAt)
	return out
}

func retryPolicyMessage(p *holdfast.RetryPolicy) *holdfastv1.RetryPolicy {
	out := &holdfastv1.RetryPolicy{
		MaxAttempts:       proto.Int32(int32(p.MaxAttempts)),
		InitialDelay:      durationOfMS(p.InitialDelayMS),
		BackoffMultiplier: proto.Float64(p.BackoffMultiplier),
		MaxDelay:          durationOfMS(p.MaxDelayMS),
		Jitter:            proto.Float64(p.Jitter),
	}
	for _, status := range p.NoRetryStatuses {
		out.NoRetryStatuses = append(out.NoRetryStatuses, int32(status))
	}
	return out
}

// secretsRetiring counts the secrets that still sign. Those whose time is over may be stored a little longer.
func secretsRetiring(w *holdfast.Webhook) int32 {
	return int32(max(0, len(w.SigningSecrets(time.Now().UnixMilli()))-1))
}

func disconnectionMessage(d *holdfast.Disconnection) *holdfastv1.Disconnection {
	if d == nil {
		return nil
	}
	return &holdfastv1.Disconnection{
		Cause: disconnectCause(d.Cause), Reason: d.Reason, Since: timeOfMS(d.Since), Actor: d.Actor,
	}
}

func registrationMessage(r *holdfast.Registration) *holdfastv1.Registration {
	out := &holdfastv1.Registration{
		WebhookId: r.WebhookID, Operation: r.Operation, Status: registrationStatus(r.Status), State: webhookState(r.State),
		Revision: r.Revision, CachesConfirmed: int32(r.CachesConfirmed), CachesTotal: int32(r.CachesTotal),
		SilentNodes: r.SilentNodes, Reason: r.Reason, NextProbeTime: timeOfMS(r.NextProbeAt),
	}
	for _, s := range r.Steps {
		out.Steps = append(out.Steps, &holdfastv1.RegistrationStep{
			Operation: s.Operation, Name: s.Name, Status: stepStatus(s.Status), Time: timeOfMS(s.StartedAt),
			EndTime: timeOfMS(s.EndedAt), Attempts: int32(s.Attempts), Detail: s.Detail, Actor: s.Actor,
		})
	}
	return out
}

func statsMessage(s *WebhookStats) *holdfastv1.WebhookStats {
	return &holdfastv1.WebhookStats{
		Attempts: s.Attempts, SuccessfulAttempts: s.SuccessfulAttempts, FailedAttempts: s.FailedAttempts,
		Delivered: s.Delivered, Exhausted: s.Exhausted, Cancelled: s.Cancelled, Held: s.Held,
		ConsecutiveFailures: s.ConsecutiveFailures, LastAttemptTime: timeOfMS(s.LastAttemptAt),
		LastSuccessTime: timeOfMS(s.LastSuccessAt), LastFailureTime: timeOfMS(s.LastFailureAt),
		AverageResponse: durationOfFractionalMS(s.AverageResponseMS), P50Response: durationOfFractionalMS(s.P50MS),
		P95Response: durationOfFractionalMS(s.P95MS), P99Response: durationOfFractionalMS(s.P99MS),
	}
}

// timeOfMS converts ms since the epoch; 0 means never and becomes absent.
func timeOfMS(ms int64) *timestamppb.Timestamp {
	if ms == 0 {
		return nil
	}
	return timestamppb.New(time.UnixMilli(ms))
}

func durationOfMS(ms int64) *durationpb.Duration {
	return &durationpb.Duration{Seconds: ms / 1000, Nanos: int32(ms%1000) * int32(time.Millisecond)}
}

func durationOfFractionalMS(ms float64) *durationpb.Duration {
	return durationpb.New(time.Duration(ms * float64(time.Millisecond)))
}
