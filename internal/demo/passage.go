package demo

import (
	"fmt"
	"strings"
	"time"

	"github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// passage is the way of one message to one target, as far as it has been seen.
type passage struct {
	target   *target
	message  *message
	facts    facts
	eventID  string                        // "" until the first request
	requests []*holdfastv1.ReceivedRequest // oldest first
	printed  int                           // attempts
	delivery *holdfastv1.Delivery          // once it is done
}

// line is what is to be printed.
type line struct{ label, text string }

func (p *passage) id() string { return holdfast.DeliveryID(p.target.webhook.GetId(), p.eventID) }

// take checks one request and adds it.
func (p *passage) take(req *holdfastv1.ReceivedRequest, e *envelope) error {
	headers, signature := req.GetHeaders(), req.GetSignature()
	switch {
	case p.eventID != "" && p.eventID != e.EventID:
		return fmt.Errorf("one message has to be one event, it arrived as %s and as %s", p.eventID, e.EventID)
	case headers["x-event-id"] != e.EventID || headers["webhook-id"] != e.EventID:
		return fmt.Errorf("the headers X-Event-ID and webhook-id have to hold the event id %s, they hold %q and %q", e.EventID,
			headers["x-event-id"], headers["webhook-id"])
	case e.Data.JobID != p.facts.JobID:
		return fmt.Errorf("the data's job_id has to be %q, it is %q", p.facts.JobID, e.Data.JobID)
	case e.Data.WorkflowID != p.facts.WorkflowID:
		return fmt.Errorf("the data's workflow_id has to be %q, it is %q", p.facts.WorkflowID, e.Data.WorkflowID)
	case signature.GetLegacy() != "valid" || signature.GetStandard() != "valid":
		return fmt.Errorf("both signatures have to be valid, they are: %s", signatures(req))
	}
	p.eventID = e.EventID
	p.requests = append(p.requests, req)
	return nil
}

// advance compares the delivery's record with what was received and returns what is new to print.
func (p *passage) advance(d *holdfastv1.Delivery, temporalUI string) (lines []line, err error) {
	attempts := d.GetAttempts()
	if len(attempts) > len(p.requests) { // recorded after the last look at the receiver
		return nil, nil
	}
	if len(attempts) > len(p.target.statuses) {
		return nil, fmt.Errorf("%s had to suffice, there are %d", count(len(p.target.statuses), "attempt"), len(attempts))
	}
	for ; p.printed < len(attempts); p.printed++ {
		l, err := p.attempt(attempts, p.printed)
		if len(p.target.statuses) > 1 || err != nil {
			lines = append(lines, l)
		}
		if err != nil {
			return lines, err
		}
	}
	switch d.GetState() {
	case holdfastv1.DeliveryState_DELIVERY_STATE_DELIVERED:
	case holdfastv1.DeliveryState_DELIVERY_STATE_PENDING, holdfastv1.DeliveryState_DELIVERY_STATE_RETRYING:
		return lines, nil
	default:
		return lines, fmt.Errorf("it has to be delivered, it is %s: %s", word(d.GetState(), "DELIVERY_STATE_"), d.GetReason())
	}
	switch {
	case len(attempts) != len(p.target.statuses):
		return lines, fmt.Errorf("it has to take %s, it took %d", count(len(p.target.statuses), "attempt"), len(attempts))
	case len(p.requests) != len(attempts):
		return lines, fmt.Errorf("each attempt has to arrive once, %s arrived as %s", count(len(attempts), "attempt"),
			count(len(p.requests), "request"))
	case d.GetTemporalUrl() == "" || !strings.HasPrefix(d.GetTemporalUrl(), temporalUI):
		return lines, fmt.Errorf("it has to link to its workflow below %s, the link is %q", temporalUI, d.GetTemporalUrl())
	}
	p.delivery = d
	last := len(attempts) - 1
	return append(lines,
		line{"delivered", fmt.Sprintf("%-20s attempt %d  %d  %s  to %s", p.message.Channel, last+1,
			attempts[last].GetResponseStatus(), p.request(last), p.target.name)},
		line{"", d.GetTemporalUrl()}), nil
}

// attempt describes the attempt at an index and checks it.
func (p *passage) attempt(attempts []*holdfastv1.Attempt, i int) (line, error) {
	a, want := attempts[i], p.target.statuses[i]
	l := line{
		fmt.Sprintf("attempt %d", a.GetNumber()),
		fmt.Sprintf("%d  %-20s %s", a.GetResponseStatus(), p.message.Channel, p.request(i)),
	}
	if int(a.GetNumber()) != i+1 || a.GetResponseStatus() != want {
		return l, fmt.Errorf("attempt %d has to be answered %d, attempt %d was answered %d %s", i+1, want, a.GetNumber(),
			a.GetResponseStatus(), a.GetError())
	}
	delay := p.target.webhook.GetRetryPolicy().GetInitialDelay().AsDuration()
	if i+1 < len(p.target.statuses) {
		l.text += fmt.Sprintf("  retry in %s by a durable timer", delay)
	}
	if i > 0 {
		waited := a.GetTime().AsTime().Sub(endOf(attempts[i-1]))
		l.text += fmt.Sprintf("  %s after attempt %d", ms(waited), i)
		if waited < delay-2*time.Millisecond { // times are in whole milliseconds
			return l, fmt.Errorf("attempt %d has to wait %s, it waited %s", i+1, delay, waited)
		}
	}
	return l, nil
}

func endOf(a *holdfastv1.Attempt) time.Time {
	return a.GetTime().AsTime().Add(a.GetDuration().AsDuration())
}

// request describes the request at an index.
func (p *passage) request(i int) string {
	return fmt.Sprintf("%8s  %s", ms(p.latency(i)), signatures(p.requests[i]))
}

// latency is the time from the message's publication to the arrival of the request at an index. The receiver records
// whole milliseconds, so the publication is cut to whole ones too.
func (p *passage) latency(i int) time.Duration {
	arrived := p.requests[i].GetTime().AsTime()
	return arrived.Sub(p.message.published.Truncate(time.Millisecond)).Truncate(time.Millisecond)
}

func signatures(req *holdfastv1.ReceivedRequest) string {
	return fmt.Sprintf("signatures: legacy %s, standard %s", req.GetSignature().GetLegacy(), req.GetSignature().GetStandard())
}

// missing says what a delivery that is not done lacks.
func (p *passage) missing() string {
	switch {
	case len(p.requests) == 0:
		return fmt.Sprintf("%s never arrived at %s (Redis handed the message to %s)", p.message.Channel, p.target.name,
			count(int(p.message.listeners), "subscriber"))
	default:
		return fmt.Sprintf("%s arrived at %s by %s and is not recorded as delivered (delivery %s)", p.message.Channel,
			p.target.name, count(len(p.requests), "request"), p.id())
	}
}
