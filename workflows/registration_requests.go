package workflows

import (
	"errors"
	"fmt"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
)

// Request is what every request for a change of a registered webhook says besides what it wants.
type Request struct {
	RequestID string `json:"request_id,omitempty"` // the same id is carried out once; "" always
	Actor     string `json:"actor,omitempty"`      // who asks, for the audit trail
	// ExpectedRevision refuses the request with ErrorAborted when the webhook has another revision; 0 does not ask.
	ExpectedRevision int64 `json:"expected_revision,omitempty"`
}

// RegisterRequest is the argument of the register update.
type RegisterRequest struct {
	Webhook     activities.SealedWebhook `json:"webhook"`
	Fingerprint string                   `json:"fingerprint"`
	Actor       string                   `json:"actor,omitempty"`
}

// RegisterReply is what the updates answer: also to a repeated request, which gets the first one's outcome.
type RegisterReply struct {
	Webhook      activities.SealedWebhook `json:"webhook"`
	Registration holdfast.Registration    `json:"registration"`
}

// ChangeRequest is the argument of the change update. What Fields does not name stays (D48).
type ChangeRequest struct {
	Request
	Fields  []string                 `json:"fields"` // paths in the API's spelling
	Webhook activities.SealedWebhook `json:"webhook"`
}

// RotateRequest is the argument of the rotate-secret update.
type RotateRequest struct {
	Request
	Credentials string `json:"credentials"`          // sealed; their Secret is the new one
	OverlapMS   int64  `json:"overlap_ms,omitempty"` // how long the old secret signs beside the new one
}

// SwitchRequest is the argument of the disconnect and reconnect updates, and of the signals of these names.
type SwitchRequest struct {
	Request
	Reason string `json:"reason,omitempty"` // for people
}

// DeleteRequest is the argument of the delete update.
type DeleteRequest struct {
	Request
}

// Answer is what a request with an id came to: the status of its operation, or the error it was refused with.
type Answer struct {
	Operation  string                      `json:"operation"`
	RequestID  string                      `json:"request_id"`
	Status     holdfast.RegistrationStatus `json:"status,omitempty"`
	State      holdfast.WebhookState       `json:"state,omitempty"`
	Revision   int64                       `json:"revision,omitempty"`
	Reason     string                      `json:"reason,omitempty"`
	ErrorType  string                      `json:"error_type,omitempty"`
	Error      string                      `json:"error,omitempty"`
	Violations []holdfast.Violation        `json:"violations,omitempty"`
}

// maxAnswers bounds how many requests a registration remembers, maxViolations what it remembers of a refused one.
const (
	maxAnswers    = 100
	maxViolations = 10
)

// requested carries a request out under the lock: once for each id, and only on the revision it expects.
func (r *registration) requested(
	ctx workflow.Context, operation string, in Request, carryOut func(workflow.Context) error,
) (RegisterReply, error) {
	r.begun = true
	if err := r.lock.Lock(ctx); err != nil {
		return RegisterReply{}, err
	}
	defer r.lock.Unlock()
	if a := r.answered(operation, in.RequestID); a != nil {
		return r.repeat(*a)
	}
	err := r.refuses(in)
	if err == nil {
		err = carryOut(ctx)
	}
	r.remember(operation, in.RequestID, err)
	if err != nil {
		return RegisterReply{}, err
	}
	return r.reply(), nil
}

// refuses returns why a request cannot be carried out as things are.
func (r *registration) refuses(in Request) error {
	if r.closed() || !r.Written {
		return refusal(ErrorNotFound, "there is no such webhook")
	}
	if in.ExpectedRevision != 0 && in.ExpectedRevision != r.Registration.Revision {
		return refusal(ErrorAborted, fmt.Sprintf(
			"the webhook is at revision %d, no longer at %d", r.Registration.Revision, in.ExpectedRevision))
	}
	return nil
}

func refusal(kind, message string) error {
	return temporal.NewNonRetryableApplicationError(message, kind, nil)
}

func (r *registration) answered(operation, requestID string) *Answer {
	for i := range r.Answers {
		if a := &r.Answers[i]; requestID != "" && a.RequestID == requestID && a.Operation == operation {
			return a
		}
	}
	return nil
}

func (r *registration) repeat(a Answer) (RegisterReply, error) {
	if a.ErrorType != "" {
		return RegisterReply{}, temporal.NewNonRetryableApplicationError(a.Error, a.ErrorType, nil,
			activities.FailureDetails{Violations: a.Violations})
	}
	reply := r.reply()
	reply.Registration.Operation, reply.Registration.Status = a.Operation, a.Status
	reply.Registration.State, reply.Registration.Revision, reply.Registration.Reason = a.State, a.Revision, a.Reason
	return reply, nil
}

// remember keeps the outcome for a repetition of the request.
func (r *registration) remember(operation, requestID string, err error) {
	if requestID == "" || temporal.IsCanceledError(err) {
		return
	}
	a := Answer{
		Operation: operation, RequestID: requestID, Status: r.Registration.Status, State: r.Registration.State,
		Revision: r.Registration.Revision, Reason: r.Registration.Reason,
	}
	if err != nil {
		details := detailsOf(err)
		a = Answer{
			Operation: operation, RequestID: requestID, ErrorType: reasonCode(err), Error: reason(err),
			Violations: details.Violations[:min(len(details.Violations), maxViolations)],
		}
	}
	if over := len(r.Answers) - maxAnswers + 1; over > 0 {
		r.Answers = append([]Answer(nil), r.Answers[over:]...)
	}
	r.Answers = append(r.Answers, a)
}

// detailsOf returns what an activity's error says about a step besides its text.
func detailsOf(err error) activities.FailureDetails {
	var details activities.FailureDetails
	var app *temporal.ApplicationError
	if errors.As(err, &app) && app.HasDetails() && app.Details(&details) != nil {
		return activities.FailureDetails{} // from before there were such details
	}
	return details
}

// register carries out the six steps. A failure undoes what was done and is an answer, not an error: the trail says why.
func (r *registration) register(ctx workflow.Context, in RegisterRequest) (RegisterReply, error) {
	over := r.closed()
	r.begun = true
	if err := r.lock.Lock(ctx); err != nil {
		return RegisterReply{}, err
	}
	defer r.lock.Unlock()
	switch {
	case over && r.closed(): // only what nobody waits for keeps the former life open
		r.startOver()
	case r.Fingerprint == "" && r.Written: // taken on from Redis, which does not know of the request it came from
		if !activities.SameConfiguration(r.Webhook.Webhook, in.Webhook.Webhook) {
			return RegisterReply{}, alreadyExists()
		}
		r.Fingerprint = in.Fingerprint
		return r.reply(), nil
	case r.Fingerprint != "" && r.Fingerprint != in.Fingerprint:
		return RegisterReply{}, alreadyExists()
	case r.Fingerprint != "":
		return r.reply(), nil
	}
	r.Fingerprint, r.Webhook = in.Fingerprint, in.Webhook
	r.Registration.State = holdfast.WebhookPending
	if err := r.operate(ctx, opRegister, in.Actor); err != nil {
		r.undoRegister(ctx, in.Actor, err)
	}
	r.show(ctx)
	return r.reply(), nil
}

func alreadyExists() error {
	return refusal(ErrorExists, "the idempotency key was used before with another webhook")
}

// startOver forgets a life that has ended, except for its trail and what is still to be dealt with.
func (r *registration) startOver() {
	r.RegistrationState = RegistrationState{
		WebhookID: r.WebhookID, ContinueAfter: r.ContinueAfter,
		Switches: r.Switches, Failures: r.Failures, Alerts: r.Alerts, Raised: r.Raised,
		Registration: holdfast.Registration{WebhookID: r.WebhookID, Steps: r.Registration.Steps},
	}
	r.removed = false
	r.resweep()
}

// change puts the named fields into the configuration.
func (r *registration) change(ctx workflow.Context, in ChangeRequest) (RegisterReply, error) {
	return r.requested(ctx, holdfast.OperationChange, in.Request, func(ctx workflow.Context) error {
		return r.reconfigure(ctx, opChange(in), in.Actor)
	})
}

// rotate replaces the signing secret.
func (r *registration) rotate(ctx workflow.Context, in RotateRequest) (RegisterReply, error) {
	return r.requested(ctx, holdfast.OperationRotate, in.Request, func(ctx workflow.Context) error {
		return r.reconfigure(ctx, opRotate(in), in.Actor)
	})
}

// reconfigure carries out an operation that replaces the configuration. One that its check refuses is an error and has
// changed nothing; one that fails later is undone and an answer.
func (r *registration) reconfigure(ctx workflow.Context, op operation, actor string) error {
	before := r.RegistrationState
	err := r.operate(ctx, op, actor)
	switch {
	case err == nil:
		return nil
	case r.Webhook.Webhook.UpdatedAt == before.Webhook.Webhook.UpdatedAt && !temporal.IsCanceledError(err): // by its check
		is, was := &r.Registration, before.Registration
		is.Operation, is.Status, is.Reason = was.Operation, was.Status, was.Reason
		details := detailsOf(err)
		return temporal.NewNonRetryableApplicationError(reason(err), reasonCode(err), nil,
			activities.FailureDetails{Violations: details.Violations})
	}
	r.undoChange(ctx, op, actor, before, err)
	return nil
}

// delete takes the webhook out of everything. It does not wait for an operation that cannot finish: it ends it.
func (r *registration) delete(ctx workflow.Context, in DeleteRequest) (RegisterReply, error) {
	r.begun = true
	if in.ExpectedRevision != 0 && r.Written {
		if err := r.refuses(in.Request); err != nil && r.answered(holdfast.OperationDelete, in.RequestID) == nil {
			return RegisterReply{}, err
		}
	}
	r.deleting++
	defer func() { r.deleting-- }()
	r.abandon()
	if err := r.lock.Lock(ctx); err != nil {
		return RegisterReply{}, err
	}
	defer r.lock.Unlock()
	defer r.show(ctx)
	if a := r.answered(holdfast.OperationDelete, in.RequestID); a != nil {
		return r.repeat(*a)
	}
	err := r.deleteLocked(ctx, in)
	r.remember(holdfast.OperationDelete, in.RequestID, err)
	if err != nil {
		return RegisterReply{}, err
	}
	return r.reply(), nil
}

func (r *registration) deleteLocked(ctx workflow.Context, in DeleteRequest) error {
	notFound := refusal(ErrorNotFound, "there is no such webhook")
	if r.closed() {
		if r.Registration.Reason == ErrorAborted { // its registration was under way and has been undone for this delete
			r.Registration.State, r.Registration.Status = holdfast.WebhookDeleted, holdfast.RegistrationConfirmed
			return nil
		}
		return notFound
	}
	err := r.operate(ctx, opDelete, in.Actor)
	code := reasonCode(err)
	switch {
	case err == nil:
		r.resolve(holdfast.AlertWebhookDisconnected, r.WebhookID)
		r.resolve(holdfast.AlertRegistrationFailed, r.WebhookID)
		return nil
	case code == ErrorNotFound:
		r.end(code)
		return notFound
	case r.lifecycle && r.removed: // though somebody refused to forget it
		r.end(code)
		r.sweep(activities.SweepCancel)
		return nil
	}
	return err
}

// end closes a registration whose webhook is gone without a deletion that went all the way.
func (r *registration) end(why string) {
	r.Registration.State, r.Registration.Status, r.Registration.Reason = holdfast.WebhookDeleted, holdfast.RegistrationFailed, why
}
