package testevents

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/emprops/holdfast"
)

// concurrency bounds the requests that one test makes at the same time.
const concurrency = 4

// Webhooks reads what is registered.
type Webhooks interface {
	// Webhook returns one webhook with its credentials. It returns CodeNotFound and CodeUnavailable.
	Webhook(ctx context.Context, id string) (*holdfast.Webhook, error)
}

// Sender makes one HTTP request, as the deliveries of live events do. An error means that there was no attempt.
type Sender interface {
	Send(ctx context.Context, w *holdfast.Webhook, e *holdfast.Event, number int) (holdfast.Attempt, error)
	// Payload is the body of the requests that carry the event to the webhook.
	Payload(w *holdfast.Webhook, e *holdfast.Event) []byte
}

// Sent is a test event and what came of it. The attempt has no timestamp when no request was made.
type Sent struct {
	Event   *holdfast.Event
	Payload []byte
	Attempt holdfast.Attempt
}

// Tester sends test events. It is safe for concurrent use; the fields must be set before.
type Tester struct {
	Webhooks Webhooks
	Sender   Sender

	running sync.Map // of webhook ids: a test must not be a way to overrun an endpoint
}

// Test sends the webhook, whatever its state, one test event of each type, or of each that it is subscribed to when none
// is given, and returns what came of them in that order. What has no answer when the timeout ends counts as failed.
//
// It returns CodeNotFound; CodeInvalid, with paths that begin at eventTypes, for types that the webhook is not subscribed
// to; CodeExhausted while another test of the webhook runs here; and CodeUnavailable when the webhook cannot be read, ctx
// ends or this node can open no more connections.
func (t *Tester) Test(ctx context.Context, id string, eventTypes []string, timeout time.Duration) ([]Sent, error) {
	w, err := t.Webhooks.Webhook(ctx, id)
	if err != nil {
		return nil, err
	}
	if err := holdfast.Invalid(unsubscribed(w, eventTypes)); err != nil {
		return nil, err
	}
	if len(eventTypes) == 0 {
		eventTypes = w.Events
	}
	if _, busy := t.running.LoadOrStore(w.ID, nil); busy {
		return nil, &holdfast.Error{
			Code: holdfast.CodeExhausted, RetryAfter: time.Second, Message: "another test of this webhook is under way; wait for its end",
		}
	}
	defer t.running.Delete(w.ID)
	tests := make([]Sent, len(eventTypes))
	for i, eventType := range eventTypes {
		e, err := New(eventType, time.Now())
		if err != nil {
			return nil, err
		}
		tests[i] = Sent{Event: e, Payload: t.Sender.Payload(w, e)}
	}
	if err := t.sendAll(ctx, w, tests, timeout); err != nil {
		return nil, err
	}
	return tests, nil
}

func unsubscribed(w *holdfast.Webhook, eventTypes []string) []holdfast.Violation {
	var violations []holdfast.Violation
	for i, eventType := range eventTypes {
		var text string
		switch {
		case !w.Subscribed(eventType):
			text = "is not an event type that the webhook is subscribed to"
		case slices.Contains(eventTypes[:i], eventType):
			text = "is named twice"
		default:
			continue
		}
		violations = append(violations, holdfast.Violation{Field: fmt.Sprintf("eventTypes[%d]", i), Description: text})
	}
	return violations
}

// sendAll sends every test, a few at a time. The error is that of ours which kept a test from being sent.
func (t *Tester) sendAll(ctx context.Context, w *holdfast.Webhook, tests []Sent, timeout time.Duration) error {
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var workers sync.WaitGroup
	next, errs := make(chan *Sent, len(tests)), make([]error, concurrency)
	for i := range tests {
		next <- &tests[i]
	}
	close(next)
	for i := range errs {
		workers.Go(func() {
			for test := range next {
				errs[i] = errors.Join(errs[i], t.send(bounded, w, test, timeout))
			}
		})
	}
	workers.Wait()
	if ctx.Err() != nil {
		return holdfast.Wrap(holdfast.CodeUnavailable, ctx.Err(), "the test was cancelled")
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// send makes one request. That the test's time is over is a result like any other.
func (t *Tester) send(ctx context.Context, w *holdfast.Webhook, test *Sent, timeout time.Duration) error {
	late := holdfast.Attempt{
		WebhookID: w.ID, EventID: test.Event.ID, EventType: test.Event.Type, Number: 1, ErrorClass: holdfast.ClassTimeout,
		ErrorMessage: fmt.Sprintf("no request was made: the test's %s were over", timeout),
	}
	if ctx.Err() != nil {
		test.Attempt = late
		return nil //nolint:nilerr // the time is over, which the attempt tells
	}
	began := time.Now()
	attempt, err := t.Sender.Send(ctx, w, test.Event, 1)
	if err != nil && ctx.Err() != nil {
		late.ErrorMessage = fmt.Sprintf("no answer within the test's %s", timeout)
		late.Timestamp, late.DurationMS = began.UnixMilli(), float64(time.Since(began).Microseconds())/1000
		attempt, err = late, nil
	}
	test.Attempt = attempt
	return err
}
