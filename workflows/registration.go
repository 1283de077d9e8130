package workflows

import (
	"errors"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
)

// RegistrationState is the whole state of a Registration: what it starts with and what it carries to its next run.
type RegistrationState struct {
	WebhookID string `json:"webhook_id"`
	// Webhook is what was last registered; its credentials are sealed.
	Webhook      activities.SealedWebhook `json:"webhook"`
	Registration holdfast.Registration    `json:"registration"`
	// Fingerprint tells a repeated register from another one under the same idempotency key.
	Fingerprint string `json:"fingerprint,omitempty"`
	// Written is true from just before the registry may hold the webhook until it is certain that it does not.
	Written bool `json:"written,omitempty"`
}

// RegisterRequest is the argument of the register update.
type RegisterRequest struct {
	Webhook     activities.SealedWebhook `json:"webhook"`
	Fingerprint string                   `json:"fingerprint"`
}

// RegisterReply is what register answers: also to a repeated request, which gets the first one's webhook.
type RegisterReply struct {
	Webhook      activities.SealedWebhook `json:"webhook"`
	Registration holdfast.Registration    `json:"registration"`
}

// registration is the state of one Registration run.
type registration struct {
	RegistrationState
	lock    workflow.Mutex
	abandon workflow.CancelFunc // cancels the operation under way, for a delete that cannot wait for it
	begun   bool                // a first update has been accepted
}

// Registration is a webhook from its registering to its deletion, and the truth about it (DESIGN 4).
func Registration(ctx workflow.Context, in RegistrationState) (holdfast.Registration, error) {
	r := &registration{RegistrationState: in, lock: workflow.NewMutex(ctx), abandon: func() {}}
	r.Registration.WebhookID = in.WebhookID
	if err := r.setup(ctx); err != nil {
		return r.Registration, err
	}
	return r.run(ctx)
}

func (r *registration) setup(ctx workflow.Context) error {
	err := workflow.SetQueryHandler(ctx, QueryStatus, func() (RegisterReply, error) { return r.reply(), nil })
	if err != nil {
		return err
	}
	if err := workflow.SetUpdateHandler(ctx, UpdateRegister, r.register); err != nil {
		return err
	}
	return workflow.SetUpdateHandler(ctx, UpdateDelete, r.delete)
}

// run has one exit: no message is being handled, and the webhook is gone or the history is long enough for a new run.
func (r *registration) run(ctx workflow.Context) (holdfast.Registration, error) {
	err := workflow.Await(ctx, func() bool {
		return r.begun && workflow.AllHandlersFinished(ctx) &&
			(r.closed() || workflow.GetInfo(ctx).GetContinueAsNewSuggested())
	})
	if err != nil || r.closed() {
		return r.Registration, err
	}
	return r.Registration, workflow.NewContinueAsNewError(ctx, Registration, r.RegistrationState)
}

// closed tells whether nothing of the webhook is left but this audit trail.
func (r *registration) closed() bool {
	return r.Registration.State == holdfast.WebhookDeleted || r.Registration.State == holdfast.WebhookFailed
}

func (r *registration) reply() RegisterReply {
	return RegisterReply{Webhook: r.Webhook, Registration: r.Registration}
}

// register carries out the six steps. A failure undoes what was done and is an answer, not an error: the trail says why.
func (r *registration) register(ctx workflow.Context, in RegisterRequest) (RegisterReply, error) {
	r.begun = true
	if err := r.lock.Lock(ctx); err != nil {
		return RegisterReply{}, err
	}
	defer r.lock.Unlock()
	if r.Fingerprint != "" {
		if r.Fingerprint != in.Fingerprint {
			return RegisterReply{}, temporal.NewNonRetryableApplicationError(
				"the idempotency key was used before with another webhook", ErrorExists, nil)
		}
		return r.reply(), nil
	}
	r.Fingerprint, r.Webhook = in.Fingerprint, in.Webhook
	r.Registration.Status, r.Registration.State = holdfast.RegistrationPending, holdfast.WebhookPending
	if err := r.saga(ctx, opRegister); err != nil {
		r.fail(ctx, err)
	}
	return r.reply(), nil
}

// delete takes the webhook out of everything. It does not wait for a registration that cannot finish: it ends it.
func (r *registration) delete(ctx workflow.Context) (RegisterReply, error) {
	r.begun = true
	r.abandon()
	if err := r.lock.Lock(ctx); err != nil {
		return RegisterReply{}, err
	}
	defer r.lock.Unlock()
	if r.closed() {
		if r.Registration.Reason == ErrorAborted { // its registration was under way and has been undone for this delete
			r.Registration.State, r.Registration.Status = holdfast.WebhookDeleted, holdfast.RegistrationConfirmed
			return r.reply(), nil
		}
		return RegisterReply{}, temporal.NewNonRetryableApplicationError("there is no such webhook", ErrorNotFound, nil)
	}
	err := r.saga(ctx, opDelete)
	if err == nil {
		return r.reply(), nil
	}
	if code := applicationType(err); code == string(holdfast.CodeNotFound) {
		r.Registration.State, r.Registration.Status = holdfast.WebhookDeleted, holdfast.RegistrationFailed
		r.Registration.Reason = code
		return RegisterReply{}, temporal.NewNonRetryableApplicationError("there is no such webhook", ErrorNotFound, nil)
	}
	return RegisterReply{}, err
}

// saga runs the steps of an operation in order, stopping at the first that fails for good unless the operation is thorough.
func (r *registration) saga(ctx workflow.Context, op operation) error {
	if op.name == opRegister.name { // nothing else may be cut short half way
		ctx, r.abandon = workflow.WithCancel(ctx)
		defer func() { r.abandon = func() {} }()
	}
	var failed error
	for _, s := range op.steps {
		if err := r.step(ctx, op.name, s); err != nil && !op.thorough {
			return err
		} else if err != nil {
			failed = errors.Join(failed, err)
		}
	}
	if failed != nil {
		return failed
	}
	r.Registration.Status, r.Registration.State = holdfast.RegistrationConfirmed, op.end(r)
	return nil
}

// step runs one step and writes its line of the audit trail.
func (r *registration) step(ctx workflow.Context, operation string, s sagaStep) error {
	line := r.begin(ctx, operation, s.name)
	detail, skipped, err := s.run(r, ctx)
	if err != nil && ctx.Err() != nil {
		err = ctx.Err() // an activity that was let finish may have failed for a reason of its own
	}
	at := &r.Registration.Steps[line]
	at.EndedAt, at.Detail, at.Status = workflow.Now(ctx).UnixMilli(), detail, holdfast.StepDone
	switch {
	case err != nil:
		at.Status, at.Detail = holdfast.StepFailed, reason(err)
	case skipped:
		at.Status = holdfast.StepSkipped
	}
	return err
}

// maxTrail caps the audit trail: the oldest lines go first.
const maxTrail = 200

func (r *registration) begin(ctx workflow.Context, operation, name string) int {
	if over := len(r.Registration.Steps) - maxTrail + 1; over > 0 {
		r.Registration.Steps = append([]holdfast.Step(nil), r.Registration.Steps[over:]...)
	}
	r.Registration.Steps = append(r.Registration.Steps, holdfast.Step{
		Operation: operation, Name: name, Status: holdfast.StepRunning, Attempts: 1, StartedAt: workflow.Now(ctx).UnixMilli(),
	})
	return len(r.Registration.Steps) - 1
}

// fail undoes a registration. Its own context is no longer cancelled by what made the operation fail.
func (r *registration) fail(ctx workflow.Context, cause error) {
	r.Registration.Reason = reasonCode(cause)
	ctx, cancel := workflow.NewDisconnectedContext(ctx)
	defer cancel()
	if r.Written {
		if err := r.saga(ctx, opCompensate); err != nil {
			// A step is repeated until it succeeds; what ends here was refused for good, and the trail says so.
			workflow.GetLogger(ctx).Error("compensation did not finish", "webhook_id", r.WebhookID, "error", err)
		}
		for i := range r.Registration.Steps {
			s := &r.Registration.Steps[i]
			undone := s.Name == holdfast.StepWrite || s.Name == holdfast.StepConfirm || s.Name == holdfast.StepRefresh
			if s.Operation == opRegister.name && s.Status == holdfast.StepDone && undone {
				s.Status = holdfast.StepUndone
			}
		}
	}
	r.Registration.Status, r.Registration.State = holdfast.RegistrationFailed, holdfast.WebhookFailed
}

// reasonCode is the machine-readable reason of a failure.
func reasonCode(err error) string {
	if temporal.IsCanceledError(err) {
		return ErrorAborted
	}
	if code := applicationType(err); code != "" {
		return code
	}
	return string(holdfast.CodeInternal)
}

// reason is the reason of a failure for people.
func reason(err error) string {
	if temporal.IsCanceledError(err) {
		return "ended by a later request"
	}
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app.Message()
	}
	return err.Error()
}

func applicationType(err error) string {
	var app *temporal.ApplicationError
	if errors.As(err, &app) {
		return app.Type()
	}
	return ""
}

// refreshPatience is how long a node may take to confirm a revision before it is asked whether it is still alive.
const refreshPatience = 2 * time.Second
