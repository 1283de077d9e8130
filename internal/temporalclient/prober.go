package temporalclient

import (
	"context"
	"fmt"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

// HeldDeliveries lists held deliveries, the oldest first.
type HeldDeliveries interface {
	Held(ctx context.Context, webhookID, after string, limit int) (items []activities.HeldDelivery, next string, err error)
}

// Prober probes disconnected webhooks with what is held for them.
type Prober struct {
	Control *Control
	Held    HeldDeliveries
}

// probeCandidates is how many held deliveries a probe looks at: the oldest may be ending right now.
const probeCandidates = 5

// Probe implements activities.Prober: it has the oldest held delivery attempted once and waits for the outcome. Asked again
// under the same number, as after the death of the node that asked, it waits for the same attempt.
func (p *Prober) Probe(ctx context.Context, r activities.ProbeRequest) (activities.ProbeResult, error) {
	candidates, err := p.candidates(ctx, r.WebhookID)
	if err != nil {
		return activities.ProbeResult{}, err
	}
	detail := "nothing is held that could be attempted"
	for _, eventID := range candidates {
		answer, err := p.probe(ctx, r, eventID)
		switch {
		case holdfast.ErrorCode(err) == holdfast.CodeNotFound: // it has ended meanwhile
			continue
		case err != nil:
			return activities.ProbeResult{}, err
		case answer.Probed:
			return activities.ProbeResult{Probed: true, Delivered: answer.Delivered, Detail: answer.Detail}, nil
		}
		detail = answer.Detail
	}
	return activities.ProbeResult{Detail: detail}, nil
}

// candidates asks the index first, then Temporal, which still knows what is held when Redis has lost the index.
func (p *Prober) candidates(ctx context.Context, webhookID string) ([]string, error) {
	items, _, err := p.Held.Held(ctx, webhookID, "", probeCandidates)
	var ids []string
	for _, item := range items {
		ids = append(ids, item.EventID)
	}
	if err == nil && len(ids) > 0 {
		return ids, nil
	}
	ids, _, listErr := p.Control.Open(ctx, activities.OpenQuery{WebhookID: webhookID, Kind: activities.OpenHeld}, probeCandidates, nil)
	if listErr != nil {
		return nil, listErr
	}
	return ids, nil
}

func (p *Prober) probe(ctx context.Context, r activities.ProbeRequest, eventID string) (workflows.ProbeAnswer, error) {
	var answer workflows.ProbeAnswer
	handle, err := p.Control.Client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		UpdateID:   probeID(ctx, r),
		WorkflowID: workflows.DeliveryWorkflowID(r.WebhookID, eventID), UpdateName: workflows.UpdateProbe,
		WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = handle.Get(ctx, &answer)
	}
	return answer, coded(err, "probing a webhook")
}

// Sweep implements activities.Sweeper.
func (p *Prober) Sweep(ctx context.Context, r activities.SweepRequest) error {
	return p.Control.Sweep(ctx, r)
}

// probeID names a probe: the same one for an activity that is repeated, another one for every other activity.
func probeID(ctx context.Context, r activities.ProbeRequest) string {
	if !activity.IsActivity(ctx) {
		return fmt.Sprintf("probe-%d", r.Number)
	}
	info := activity.GetInfo(ctx)
	return "probe-" + info.WorkflowExecution.RunID + "-" + info.ActivityID
}
