package workflows

import (
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
	// ContinueAfter is the length of history, in events, at which it goes on in a new run; 0 leaves that to Temporal.
	ContinueAfter int `json:"continue_after,omitempty"`
	// Answers are what the last requests that had an id came to, the oldest first.
	Answers []Answer `json:"answers,omitempty"`
	// Switches and Failures are signals that were heard and not yet acted on.
	Switches []SwitchSignal   `json:"switches,omitempty"`
	Failures []AutoDisconnect `json:"failures,omitempty"`
	// RetireAt is when (ms) the first secret that was rotated out has to go; 0 without one.
	RetireAt int64 `json:"retire_at,omitempty"`
	// Probe is set while probes try to reconnect the webhook.
	Probe *Probe `json:"probe,omitempty"`
	// Sweep is what the open deliveries have still to be told.
	Sweep *activities.SweepRequest `json:"sweep,omitempty"`
	// Alerts are to be raised or resolved; Raised are the ids of those that this registration has raised.
	Alerts []AlertNote `json:"alerts,omitempty"`
	Raised []string    `json:"raised,omitempty"`
	// Unconfirmed is set when EMPROPS has still to be told of a configuration that came from Redis.
	Unconfirmed bool `json:"unconfirmed,omitempty"`
}

// registration is the state of one Registration run.
type registration struct {
	RegistrationState
	lock    workflow.Mutex      // held by the one operation under way
	abandon workflow.CancelFunc // cancels the operation under way, for a delete that cannot wait for it
	begun   bool                // this run has something to do or has done it

	lifecycle  bool                      // the run began with logic that knows more than register and delete
	since      int64                     // ms; when the last operation began
	removed    bool                      // the registry has been made to forget the webhook
	deleting   int                       // deletes that wait for the lock or have it
	probing    bool                      // a probe is under way
	reconnects int                       // how often the counter of failures has been reset
	signals    []workflow.ReceiveChannel // in the order of signalNames
	repairing  bool                      // what Redis lost is being written again beside an operation
	confirming bool                      // the confirmation that nobody waits for is under way
	hush       workflow.CancelFunc       // cancels it
	resweep    workflow.CancelFunc       // cancels the sweep under way, for another that replaces it
	shown      shown
}

// Registration is a webhook from its registering to its deletion, and the truth about it (DESIGN 4). Whatever changes the
// webhook holds the lock, so that operations come one after the other. Its audit trail keeps the last 200 lines, over all
// runs, of which at most five are of probes.
func Registration(ctx workflow.Context, in RegistrationState) (holdfast.Registration, error) {
	nothing := func() {}
	r := &registration{RegistrationState: in, lock: workflow.NewMutex(ctx), abandon: nothing, hush: nothing, resweep: nothing}
	r.Registration.WebhookID = in.WebhookID
	r.lifecycle = workflow.GetVersion(ctx, "lifecycle", workflow.DefaultVersion, 1) >= 1
	if err := r.setup(ctx); err != nil {
		return r.Registration, err
	}
	return r.run(ctx)
}

func (r *registration) setup(ctx workflow.Context) error {
	r.listen(ctx)
	for _, background := range []func(workflow.Context){
		r.switchAsSignalled, r.judge, r.probeOnTime, r.retireOnTime, r.sweepLater, r.alertLater, r.confirmLater,
	} {
		workflow.Go(ctx, background)
	}
	r.show(ctx)
	err := workflow.SetQueryHandler(ctx, QueryStatus, func() (RegisterReply, error) { return r.reply(), nil })
	if err != nil {
		return err
	}
	for _, handler := range []struct {
		update string
		handle any
	}{
		{UpdateRegister, r.register},
		{UpdateChange, r.change},
		{UpdateRotateSecret, r.rotate},
		{UpdateDisconnect, r.disconnect},
		{UpdateReconnect, r.reconnect},
		{UpdateReconcile, r.reconcile},
		{UpdateDelete, r.delete},
	} {
		if err := workflow.SetUpdateHandler(ctx, handler.update, handler.handle); err != nil {
			return err
		}
	}
	return nil
}

// run has one exit: no message is being handled, and the webhook is gone or the history is long enough for a new run.
func (r *registration) run(ctx workflow.Context) (holdfast.Registration, error) {
	err := workflow.Await(ctx, func() bool {
		return r.begun && workflow.AllHandlersFinished(ctx) && (r.ended() || r.long(ctx) && r.idle())
	})
	if err != nil || r.closed() {
		return r.Registration, err
	}
	r.hearAll() // what arrived with this very task
	return r.Registration, workflow.NewContinueAsNewError(ctx, Registration, r.RegistrationState)
}

// closed tells whether nothing of the webhook is left but this audit trail.
func (r *registration) closed() bool {
	return r.Registration.State == holdfast.WebhookDeleted || r.Registration.State == holdfast.WebhookFailed
}

// ended tells whether there is nothing left to do either.
func (r *registration) ended() bool {
	return r.closed() && (!r.lifecycle || !r.lock.IsLocked() && r.Sweep == nil && len(r.Alerts) == 0)
}

// idle tells whether nothing is under way that a new run could not take up. Sweeps, alerts and confirmations can be:
// repeating them is harmless.
func (r *registration) idle() bool {
	return !r.lifecycle && !r.closed() ||
		!r.lock.IsLocked() && !r.probing && len(r.Switches) == 0 && len(r.Failures) == 0 && !r.closed()
}

func (r *registration) long(ctx workflow.Context) bool {
	info := workflow.GetInfo(ctx)
	return info.GetContinueAsNewSuggested() || r.ContinueAfter > 0 && info.GetCurrentHistoryLength() >= r.ContinueAfter
}

func (r *registration) reply() RegisterReply {
	return RegisterReply{Webhook: r.Webhook, Registration: r.Registration}
}
