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

// webhookFromInput converts and checks what a caller gives. What is wrong beyond that, such as a forbidden target
// address, is found by the registration.
func webhookFromInput(in *holdfastv1.WebhookInput, retry holdfast.RetryPolicy) (holdfast.Webhook, []holdfast.Violation) {
	if in == nil {
		return holdfast.Webhook{}, []holdfast.Violation{{Field: "webhook", Description: "is required"}}
	}
	policy, violations := retryPolicyFrom(in.GetRetryPolicy(), retry)
	w := holdfast.Webhook{
		URL: in.GetUrl(), Events: in.GetEventTypes(), Secret: in.GetSecret(), Headers: in.GetHeaders(),
		Active: in.Active == nil || in.GetActive(), Static: in.GetStatic(), Description: in.GetDescription(),
		RetryConfig: policy,
		Filters: holdfast.Filters{
			JobTypes: in.GetFilters().GetJobTypes(), Priorities: in.GetFilters().GetPriorities(),
			MachineIDs: in.GetFilters().GetMachineIds(), WorkerIDs: in.GetFilters().GetWorkerIds(),
		},
	}
	if violations == nil { // a policy that cannot be read would be reported twice
		violations = w.Violations()
	}
	for i := range violations {
		violations[i].Field = "webhook." + violations[i].Field
	}
	slices.SortFunc(violations, func(a, b holdfast.Violation) int { return cmp.Compare(a.Field, b.Field) })
	return w, violations
}

// retryPolicyFrom takes from p what is left out. What is given stays as it is, so that an explicit 0 is refused rather than
// taken for the default.
func retryPolicyFrom(in *holdfastv1.RetryPolicy, p holdfast.RetryPolicy) (holdfast.RetryPolicy, []holdfast.Violation) {
	var violations []holdfast.Violation
	ms := func(field string, d *durationpb.Duration) int64 {
		if d.CheckValid() != nil || d.GetNanos()%int32(time.Millisecond) != 0 {
			violations = append(violations, holdfast.Violation{
				Field: "retryPolicy." + field, Description: "must be a duration of whole milliseconds",
			})
		}
		return d.GetSeconds()*1000 + int64(d.GetNanos())/int64(time.Millisecond)
	}
	if in != nil && in.MaxAttempts != nil {
		p.MaxAttempts = int(in.GetMaxAttempts())
	}
	if in != nil && in.BackoffMultiplier != nil {
		p.BackoffMultiplier = in.GetBackoffMultiplier()
	}
	if in.GetInitialDelay() != nil {
		p.InitialDelayMS = ms("initialDelay", in.GetInitialDelay())
		p.MaxDelayMS = max(p.MaxDelayMS, min(p.InitialDelayMS, holdfast.MaxRetryDelayMS))
	}
	if in.GetMaxDelay() != nil {
		p.MaxDelayMS = ms("maxDelay", in.GetMaxDelay())
	}
	return p, violations
}

// webhookMessage is the webhook as it is shown: without the secret and the values of headers.
func webhookMessage(w *holdfast.Webhook) *holdfastv1.Webhook {
	return &holdfastv1.Webhook{
		Id: w.ID, Url: w.URL, EventTypes: w.Events,
		Filters: &holdfastv1.Filters{
			JobTypes: w.Filters.JobTypes, Priorities: w.Filters.Priorities,
			MachineIds: w.Filters.MachineIDs, WorkerIds: w.Filters.WorkerIDs,
		},
		HeaderNames: slices.Sorted(maps.Keys(w.Headers)),
		RetryPolicy: &holdfastv1.RetryPolicy{
			MaxAttempts:       proto.Int32(int32(w.RetryConfig.MaxAttempts)),
			InitialDelay:      durationOfMS(w.RetryConfig.InitialDelayMS),
			BackoffMultiplier: proto.Float64(w.RetryConfig.BackoffMultiplier),
			MaxDelay:          durationOfMS(w.RetryConfig.MaxDelayMS),
		},
		Active: w.Active, Static: w.Static, Description: w.Description,
		State: webhookState(w.State()), Revision: w.Revision, HasSecret: w.Secret != "",
		ConsecutiveFailures: int32(w.ConsecutiveFailures),
		CreateTime:          timeOfMS(w.CreatedAt), UpdateTime: timeOfMS(w.UpdatedAt),
		LastSuccessTime: timeOfMS(w.LastSuccessAt), LastFailureTime: timeOfMS(w.LastFailureAt),
	}
}

func registrationMessage(r *holdfast.Registration) *holdfastv1.Registration {
	out := &holdfastv1.Registration{
		WebhookId: r.WebhookID, Status: registrationStatus(r.Status), Revision: r.Revision,
		CachesConfirmed: int32(r.CachesConfirmed), CachesTotal: int32(r.CachesTotal),
		SilentNodes: r.SilentNodes, Reason: r.Reason,
	}
	for _, s := range r.Steps {
		out.Steps = append(out.Steps, &holdfastv1.RegistrationStep{
			Operation: s.Operation, Name: s.Name, Status: stepStatus(s.Status),
			Time: timeOfMS(s.StartedAt), EndTime: timeOfMS(s.EndedAt), Attempts: int32(s.Attempts), Detail: s.Detail,
		})
	}
	return out
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
