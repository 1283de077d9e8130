package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
)

// ProbeAnswer is the answer of a Delivery's probe update.
type ProbeAnswer struct {
	// Probed is false when no attempt was made: the delivery is not held, or no slot was free.
	Probed    bool                   `json:"probed"`
	Delivered bool                   `json:"delivered"`
	State     holdfast.DeliveryState `json:"state"`            // of the delivery afterwards
	Status    int                    `json:"status,omitempty"` // of the receiver's answer
	Detail    string                 `json:"detail,omitempty"` // why it was not delivered
}

// probeTime bounds a probe beyond the attempt's own time: while it lasts the delivery can be neither released nor cancelled.
const probeTime = time.Minute

// probe makes one attempt of a held delivery, whatever its webhook's state. A failed one is recorded, and the delivery
// stays held; its retry policy does not count it. Who asks while a probe is under way gets its answer.
func (d *delivery) probe(ctx workflow.Context) (ProbeAnswer, error) {
	if d.probing {
		err := workflow.Await(ctx, func() bool { return !d.probing })
		return d.probed, err
	}
	if d.out.State != holdfast.DeliveryHeld || d.deciding {
		return ProbeAnswer{State: d.out.State, Detail: "the delivery is not held"}, nil
	}
	d.probing = true
	defer func() {
		d.probing = false
		d.wake()
	}()
	answer, err := d.attemptProbe(ctx)
	d.probed = answer
	return answer, err
}

func (d *delivery) attemptProbe(ctx workflow.Context) (ProbeAnswer, error) {
	in := d.request(d.out.Attempts + 1)
	in.Probe, in.HeldFor = true, d.out.Reason
	slow := workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: QueueSlow, ScheduleToCloseTimeout: d.attemptTimeout() + probeTime, StartToCloseTimeout: d.attemptTimeout(),
		HeartbeatTimeout: heartbeatTimeout, RetryPolicy: weFailed,
	})
	var out activities.Outcome
	err := workflow.ExecuteActivity(slow, deliveries.Attempt, in).Get(ctx, &out)
	switch {
	case ctx.Err() != nil:
		return ProbeAnswer{State: d.out.State}, ctx.Err()
	case err != nil:
		workflow.GetLogger(ctx).Warn("a probe could not be made", "error", err)
		return ProbeAnswer{State: d.out.State, Detail: "the attempt could not be made"}, nil
	case out.State == holdfast.DeliveryPending:
		return ProbeAnswer{State: d.out.State, Detail: "no slot was free"}, nil
	}
	answer := ProbeAnswer{
		Probed: true, Delivered: out.State == holdfast.DeliveryDelivered, State: out.State, Status: out.Status, Detail: out.Detail,
	}
	if out.State == holdfast.DeliveryHeld {
		d.in.BaseAttempts++
		out.Detail = ""
	} else if !answer.Delivered {
		answer.Probed, answer.Detail = false, out.Reason
	}
	d.out = out
	return answer, d.publish(ctx)
}
