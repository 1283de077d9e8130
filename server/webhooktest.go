package server

import (
	"context"
	"fmt"
	"strings"
	"time"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// How long the test of a webhook may take.
const (
	minTestTimeout = 100 * time.Millisecond
	MaxTestTimeout = 60 * time.Second // and by default
)

func (h *webhooks) TestWebhook(ctx context.Context, req *holdfastv1.TestWebhookRequest) (*holdfastv1.TestWebhookResponse, error) {
	violations := required("webhookId", req.GetWebhookId())
	timeout := MaxTestTimeout
	if d := req.GetTimeout(); d != nil {
		timeout = d.AsDuration()
		if d.CheckValid() != nil || timeout < minTestTimeout || timeout > MaxTestTimeout {
			violations = append(violations, holdfast.Violation{
				Field: "timeout", Description: fmt.Sprintf("must be between %s and %s", minTestTimeout, MaxTestTimeout),
			})
		}
	}
	if err := holdfast.Invalid(violations); err != nil {
		return nil, err
	}
	tested, err := h.tests.Test(ctx, req.GetWebhookId(), req.GetEventTypes(), withinDeadline(ctx, timeout))
	if err != nil {
		return nil, err
	}
	res := &holdfastv1.TestWebhookResponse{}
	for i := range tested {
		res.Results = append(res.Results, testResult(&tested[i]))
	}
	return res, nil
}

func testResult(t *TestedEvent) *holdfastv1.TestResult {
	a := &t.Attempt
	return &holdfastv1.TestResult{
		EventId: t.Event.ID, EventType: t.Event.Type, Delivered: a.Success, ResponseStatus: int32(a.ResponseStatus),
		Time: timeOfMS(a.Timestamp), Duration: durationOfFractionalMS(a.DurationMS), Error: a.ErrorMessage,
		ErrorClass: string(a.ErrorClass), ResponseBody: strings.ToValidUTF8(a.ResponseBody, "\uFFFD"), Payload: string(t.Payload),
	}
}
