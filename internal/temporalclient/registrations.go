package temporalclient

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

// Sealer takes credentials out of reach of histories.
type Sealer interface {
	SealCredentials(c holdfast.Credentials) (string, error)
	Open(sealed string) (holdfast.Credentials, error)
}

// Registrations asks webhooks' Registration workflows.
type Registrations struct {
	Client client.Client
	Sealer Sealer
	// Adopt registers a webhook that only Redis has, and says whether there was one. It is asked before a change of a
	// webhook without a registration is refused with CodeNotFound; nil refuses at once.
	Adopt func(ctx context.Context, webhookID string) (bool, error)
	// ContinueAfter is the length of history at which a registration goes on in a new run; 0 leaves that to Temporal.
	ContinueAfter int
}

// Registered is what is known of a registration: the webhook with its credentials, and how far it has come.
type Registered struct {
	Webhook      holdfast.Webhook
	Registration holdfast.Registration
	// Unread is set when the registration was taken on and its state could not be read in time: Webhook is what was asked
	// for now, which an earlier request under the same id may differ from.
	Unread bool
}

// Register starts or joins the webhook's registration and waits for its outcome as long as wait says; past it the answer
// says PENDING and the registration goes on by itself. The actor is for the audit trail. CodeExists: the id belongs to a
// webhook with another configuration. CodeUnavailable: Temporal did not take it on.
func (r *Registrations) Register(ctx context.Context, w holdfast.Webhook, actor string, wait time.Duration) (Registered, error) {
	same := fingerprint(w)
	sealed, err := r.seal(w)
	if err != nil {
		return Registered{}, err
	}
	request := workflows.RegisterRequest{Webhook: sealed, Fingerprint: same, Actor: actor}
	got, err := r.updateWithStart(ctx, ask{w.ID, workflows.UpdateRegister, "", request}, wait)
	if got.Unread {
		got.Webhook = w
	}
	return got, err
}

// acceptTimeout bounds the wait for Temporal and a worker to take an update on.
const acceptTimeout = 10 * time.Second

// ask is an update of a webhook's registration.
type ask struct {
	webhookID string
	update    string
	requestID string // "" is none
	request   any
}

func (a ask) options() client.UpdateWorkflowOptions {
	o := client.UpdateWorkflowOptions{
		WorkflowID: workflows.RegistrationID(a.webhookID), UpdateName: a.update, Args: []any{a.request},
		WaitForStage: client.WorkflowUpdateStageAccepted,
	}
	if a.requestID != "" { // Temporal itself knows a repetition then
		o.UpdateID = a.update + "/" + a.requestID
	}
	return o
}

// updateWithStart sends an update, starting the registration when it is not open, and waits for its result.
func (r *Registrations) updateWithStart(ctx context.Context, a ask, wait time.Duration) (Registered, error) {
	handle, err := r.startAnd(ctx, a)
	if err != nil {
		return Registered{}, refused(err, a.update)
	}
	return r.outcome(ctx, a, handle, wait)
}

func (r *Registrations) startAnd(ctx context.Context, a ask) (client.WorkflowUpdateHandle, error) {
	ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
	defer cancel()
	opts := startOrJoin(workflows.RegistrationID(a.webhookID))
	opts.TypedSearchAttributes = temporal.NewSearchAttributes(workflows.AttrWebhookID.ValueSet(a.webhookID))
	opts.StaticSummary = "Registration of webhook " + a.webhookID
	start := r.Client.NewWithStartWorkflowOperation(opts, workflows.TypeRegistration,
		workflows.RegistrationState{WebhookID: a.webhookID, ContinueAfter: r.ContinueAfter})
	return r.Client.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: start, UpdateOptions: a.options(),
	})
}

// outcome waits for an update's result.
func (r *Registrations) outcome(ctx context.Context, a ask, handle client.WorkflowUpdateHandle, wait time.Duration) (Registered, error) {
	waiting, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	var reply workflows.RegisterReply
	err := handle.Get(waiting, &reply)
	// The server knows the deadline as well and may be the first to notice.
	if _, expired := errors.AsType[*client.WorkflowUpdateServiceTimeoutOrCanceledError](err); expired || err != nil && waiting.Err() != nil {
		return r.pending(ctx, a.webhookID), nil
	}
	if err != nil {
		return Registered{}, refused(err, a.update)
	}
	return r.open(reply)
}

// statusTimeout bounds the look at a registration that was not done in time.
const statusTimeout = 3 * time.Second

// pending describes a registration whose outcome was not there in time. It was taken on, so the answer is no error even
// when nothing more can be said: the caller needs the id to ask again.
func (r *Registrations) pending(ctx context.Context, webhookID string) Registered {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), statusTimeout)
	defer cancel()
	got, err := r.Registration(ctx, webhookID)
	if err != nil {
		return Registered{Unread: true, Registration: holdfast.Registration{
			WebhookID: webhookID, Status: holdfast.RegistrationPending, State: holdfast.WebhookPending,
		}}
	}
	return got
}

// Registration returns the state and audit trail of the webhook's registration. CodeNotFound when there is none.
func (r *Registrations) Registration(ctx context.Context, webhookID string) (Registered, error) {
	id := workflows.RegistrationID(webhookID)
	value, err := r.Client.QueryWorkflow(ctx, id, "", workflows.QueryStatus)
	if err != nil {
		return Registered{}, coded(err, "reading the registration")
	}
	var reply workflows.RegisterReply
	if err := value.Get(&reply); err != nil {
		return Registered{}, holdfast.Wrap(holdfast.CodeInternal, err, "the registration's state cannot be read")
	}
	if reply.Registration.Status == holdfast.RegistrationPending {
		r.addAttempts(ctx, id, &reply.Registration)
	}
	return r.open(reply)
}

// addAttempts completes the step under way with what Temporal knows of it: the workflow itself hears of an activity only
// when it ends.
func (r *Registrations) addAttempts(ctx context.Context, id string, reg *holdfast.Registration) {
	described, err := r.Client.DescribeWorkflowExecution(ctx, id, "")
	if err != nil || len(reg.Steps) == 0 {
		return
	}
	step := &reg.Steps[len(reg.Steps)-1]
	for _, p := range described.GetPendingActivities() {
		if step.Status == holdfast.StepRunning && p.GetAttempt() > 1 && !workflows.InBackground(p.GetActivityType().GetName()) {
			step.Attempts = int(p.GetAttempt())
			if text := p.GetLastFailure().GetMessage(); text != "" {
				step.Detail = text
			}
		}
	}
}

// Registered tells whether the webhook's registration is still open, however little Redis knows of it.
func (r *Registrations) Registered(ctx context.Context, webhookID string) (bool, error) {
	described, err := r.Client.DescribeWorkflowExecution(ctx, workflows.RegistrationID(webhookID), "")
	var notFound *serviceerror.NotFound
	switch {
	case errors.As(err, &notFound):
		return false, nil
	case err != nil:
		return false, coded(err, "looking for the registration")
	}
	return described.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, nil
}

func (r *Registrations) seal(w holdfast.Webhook) (activities.SealedWebhook, error) {
	sealed, err := r.Sealer.SealCredentials(w.TakeCredentials())
	return activities.SealedWebhook{Webhook: w, Credentials: sealed}, err
}

func (r *Registrations) open(reply workflows.RegisterReply) (Registered, error) {
	credentials, err := r.Sealer.Open(reply.Webhook.Credentials)
	if err != nil {
		return Registered{}, err
	}
	w := reply.Webhook.Webhook
	w.PutCredentials(credentials)
	return Registered{Webhook: w, Registration: reply.Registration}, nil
}

// refused translates the error of an update. Its application error was made by the workflow for the caller.
func refused(err error, operation string) error {
	var app *temporal.ApplicationError
	if !errors.As(err, &app) {
		return coded(err, operation)
	}
	var details activities.FailureDetails
	if app.Type() == string(holdfast.CodeInvalid) && app.HasDetails() && app.Details(&details) == nil && len(details.Violations) > 0 {
		return holdfast.Invalid(details.Violations)
	}
	for _, code := range holdfast.Codes() {
		if string(code) == app.Type() && code != holdfast.CodeInternal {
			return holdfast.Errorf(code, "%s", app.Message())
		}
	}
	return holdfast.Wrap(holdfast.CodeInternal, err, "the registration failed")
}

// fingerprint tells whether two registrations ask for the same webhook. The credentials' values are left out: a hash of a
// weak secret would give it away; so are times, which differ between repeats.
func fingerprint(w holdfast.Webhook) string {
	names := slices.Sorted(maps.Keys(w.TakeCredentials().Headers))
	w.CreatedAt, w.UpdatedAt = 0, 0
	text, _ := json.Marshal(struct { // a struct of plain values always marshals
		Webhook holdfast.Webhook
		Headers []string
	}{w, names})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}
