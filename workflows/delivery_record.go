package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
)

// change records a state that no attempt brought about, then adopts it.
func (d *delivery) change(ctx workflow.Context, state holdfast.DeliveryState, reason string) error {
	if err := d.allRecorded(ctx); err != nil { // the state goes into the record of the attempts
		return err
	}
	light := workflow.WithActivityOptions(ctx, lightOptions)
	err := workflow.ExecuteActivity(light, deliveries.RecordState, activities.StateChange{
		WebhookID: d.in.WebhookID, EventID: d.in.Event.ID, EventType: d.in.Event.Type, CreatedAt: d.in.CreatedAt,
		State: state, Reason: reason,
	}).Get(ctx, nil)
	if err != nil {
		return err
	}
	d.out.State, d.out.Reason = state, reason
	if state.Final() {
		return nil
	}
	return d.publish(ctx)
}

// leftover is the records that attempts could not write, in their order, until they are written.
type leftover struct {
	records []activities.Record
	writing bool
	err     error
}

// recordLeftOver sees to a record that its attempt could not write, for as long as it takes. The delivery goes on
// meanwhile: it needs no Redis (G5).
func (d *delivery) recordLeftOver(ctx workflow.Context) {
	if d.out.Unrecorded == nil {
		return
	}
	d.left.records = append(d.left.records, *d.out.Unrecorded)
	d.out.Unrecorded = nil
	d.lookAgain = d.lookAgain || d.out.State == holdfast.DeliveryHeld
	if d.left.writing {
		return
	}
	d.left.writing = true
	ctx, _ = workflow.NewDisconnectedContext(ctx) // what was sent is recorded, also of a delivery that is cancelled
	workflow.Go(ctx, func(ctx workflow.Context) {
		for len(d.left.records) > 0 && d.left.err == nil {
			n := len(d.left.records)
			var recorded activities.Recorded
			recorded, d.left.err = recordOutcomes(ctx, d.left.records[:n:n])
			d.left.records = d.left.records[n:]
			for _, w := range recorded.Disconnects {
				d.disconnects.tell(ctx, w.WebhookID, w.Disconnect)
			}
		}
		d.left.writing = false
		d.wake()
	})
}

// allRecorded waits until no record is left over.
func (d *delivery) allRecorded(ctx workflow.Context) error {
	if d.left.writing {
		if err := workflow.Await(ctx, func() bool { return !d.left.writing }); err != nil {
			return err
		}
	}
	return d.left.err
}

func recordOutcomes(ctx workflow.Context, records []activities.Record) (activities.Recorded, error) {
	light := workflow.WithActivityOptions(ctx, lightOptions)
	var out activities.Recorded
	err := workflow.ExecuteActivity(light, deliveries.RecordOutcomes, activities.Records{Records: records}).Get(ctx, &out)
	return out, err
}
