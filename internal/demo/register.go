package demo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

const (
	description      = "Holdfast demo"
	registrationWait = 10 * time.Second
	maxDetail        = 74 // columns that a step's line has left
)

// endpoint is one of the demo's receivers with what is registered for it.
type endpoint struct {
	name     string // also the beginning of the idempotency key
	says     string
	query    string // after the receiver's URL
	events   []string
	statuses []int32 // what the attempts of each delivery are answered, in order
}

var endpoints = []endpoint{
	{
		name: "demo-jobs", says: "answers 200",
		events: []string{
			"job_submitted", "update_job_progress", "complete_job", "job_failed", "workflow_submitted", "workflow_completed",
		},
		statuses: []int32{200},
	},
	{
		name: "demo-flaky", says: "answers 503 to the first attempt of each event, then 200",
		query: "?fail_first=1&status=503", events: []string{"workflow_completed"}, statuses: []int32{503, 200},
	},
}

// steps are the six that every registration takes.
var steps = []string{
	holdfast.StepCheck, holdfast.StepWrite, holdfast.StepConfirm, holdfast.StepVerify, holdfast.StepRefresh,
	holdfast.StepActivate,
}

// target is a registered endpoint.
type target struct {
	endpoint
	receiverID string
	webhook    *holdfastv1.Webhook
}

// earlier says what the data directory holds from before.
func (r *run) earlier(ctx context.Context) error {
	before, err := r.webhooks.ListWebhooks(ctx, &holdfastv1.ListWebhooksRequest{PageSize: 1})
	if err != nil {
		return fmt.Errorf("listing the webhooks: %w", err)
	}
	more := ""
	if newest := before.GetWebhooks(); len(newest) > 0 {
		more = fmt.Sprintf(", the newest %s of %s", newest[0].GetId(), newest[0].GetCreateTime().AsTime().Local().Format(time.DateTime))
	}
	r.out.line("found", "%s%s", count(int(before.GetTotalSize()), "earlier registration"), more)
	return nil
}

// register makes the receivers and registers the webhooks.
func (r *run) register(ctx context.Context) ([]*target, error) {
	var targets []*target
	for _, e := range endpoints {
		created, err := r.receivers.CreateReceiver(ctx, &holdfastv1.CreateReceiverRequest{})
		if err != nil {
			return nil, fmt.Errorf("creating a receiver: %w", err)
		}
		t := &target{endpoint: e, receiverID: created.GetReceiver().GetId()}
		url := created.GetReceiver().GetUrl() + e.query
		r.out.text("")
		r.out.line("receiver", "%s  %s", e.name, e.says)
		r.out.line("", "%s", url)
		// The key holds the receiver's id: a repeated request is the same registration, another run is not.
		answer, err := r.webhooks.RegisterWebhook(ctx, &holdfastv1.RegisterWebhookRequest{
			Webhook:        &holdfastv1.WebhookInput{Url: url, EventTypes: e.events, Description: new(description)},
			IdempotencyKey: e.name + "/" + t.receiverID, Wait: durationpb.New(registrationWait),
		})
		if err != nil {
			return nil, fmt.Errorf("registering %s: %w", e.name, err)
		}
		t.webhook = answer.GetWebhook()
		r.registered(t, answer.GetRegistration())
		if err := proved(answer); err != nil {
			return nil, fmt.Errorf("registering %s (webhook %s): %w", e.name, t.webhook.GetId(), err)
		}
		targets = append(targets, t)
	}
	return targets, nil
}

// registered prints a registration with its steps.
func (r *run) registered(t *target, reg *holdfastv1.Registration) {
	status := strings.ToUpper(word(reg.GetStatus(), "REGISTRATION_STATUS_"))
	took := ""
	if s := reg.GetSteps(); len(s) > 0 && s[len(s)-1].GetEndTime() != nil {
		took = "  in " + ms(s[len(s)-1].GetEndTime().AsTime().Sub(s[0].GetTime().AsTime()))
	}
	r.out.line("registered", "%s  %s%s  revision %d  caches confirmed %d of %d", t.webhook.GetId(), status, took,
		reg.GetRevision(), reg.GetCachesConfirmed(), reg.GetCachesTotal())
	for _, s := range reg.GetSteps() {
		at := s.GetTime().AsTime().Sub(reg.GetSteps()[0].GetTime().AsTime())
		r.out.line("step", "%-9s %-8s at %7s  %-10s  %s", s.GetName(), word(s.GetStatus(), "STEP_STATUS_"), ms(at),
			count(int(s.GetAttempts()), "attempt"), short(s.GetDetail(), maxDetail))
	}
}

// proved tells what a registration lacks.
func proved(answer *holdfastv1.RegisterWebhookResponse) error {
	reg := answer.GetRegistration()
	var taken []string
	for _, s := range reg.GetSteps() {
		taken = append(taken, s.GetName())
		if s.GetStatus() != holdfastv1.StepStatus_STEP_STATUS_DONE && s.GetStatus() != holdfastv1.StepStatus_STEP_STATUS_SKIPPED {
			return fmt.Errorf("step %s has to be done, it is %s: %s", s.GetName(), word(s.GetStatus(), "STEP_STATUS_"), s.GetDetail())
		}
	}
	switch {
	case reg.GetStatus() != holdfastv1.RegistrationStatus_REGISTRATION_STATUS_CONFIRMED:
		return fmt.Errorf("the status has to be CONFIRMED within %s, it is %s %s", registrationWait,
			word(reg.GetStatus(), "REGISTRATION_STATUS_"), reg.GetReason())
	case !slices.Equal(taken, steps):
		return fmt.Errorf("the steps have to be %v, they are %v", steps, taken)
	case reg.GetCachesTotal() < 1 || reg.GetCachesConfirmed() != reg.GetCachesTotal():
		return fmt.Errorf("every cache has to be confirmed, %d of %d are", reg.GetCachesConfirmed(), reg.GetCachesTotal())
	case answer.GetWebhook().GetState() != holdfastv1.WebhookState_WEBHOOK_STATE_ACTIVE:
		return fmt.Errorf("the webhook has to be active, it is %s", word(answer.GetWebhook().GetState(), "WEBHOOK_STATE_"))
	case answer.GetSecret() == "" || !answer.GetWebhook().GetHasSecret():
		return errors.New("a signing secret has to be generated and returned")
	}
	return nil
}
