package workflows

import (
	"encoding/json"

	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
)

// AutoDisconnect is the payload of the signal auto-disconnect: a delivery says why its webhook should be disconnected.
type AutoDisconnect struct {
	// Cause is holdfast.DisconnectedByFailures, which the registration checks against the counter, or
	// holdfast.DisconnectedByReceiver; "" is the former.
	Cause    holdfast.DisconnectCause `json:"cause,omitempty"`
	Failures int                      `json:"failures,omitempty"` // in a row, as the delivery saw it
	Reason   string                   `json:"reason,omitempty"`   // for people
}

// SwitchSignal is a disconnect or reconnect signal that was heard.
type SwitchSignal struct {
	Signal string `json:"signal"`
	SwitchRequest
}

var signalNames = []string{SignalDisconnect, SignalReconnect, SignalAutoDisconnect}

// listen hears signals as they come. People send them by hand: without payload, with a reason as a string, or with the
// struct; whatever a payload holds, it must not keep the signal from being heard.
func (r *registration) listen(ctx workflow.Context) {
	for _, name := range signalNames {
		channel := workflow.GetSignalChannel(ctx, name)
		r.signals = append(r.signals, channel)
		workflow.Go(ctx, func(ctx workflow.Context) {
			for {
				var payload any
				if !channel.Receive(ctx, &payload) {
					return
				}
				r.hear(name, payload)
			}
		})
	}
}

// hearAll hears what has arrived and was not heard yet.
func (r *registration) hearAll() {
	for i, channel := range r.signals {
		var payload any
		for channel.ReceiveAsync(&payload) {
			r.hear(signalNames[i], payload)
			payload = nil
		}
	}
}

func (r *registration) hear(signal string, payload any) {
	r.begun = true
	if signal == SignalAutoDisconnect {
		in := decoded[AutoDisconnect](payload, func(a *AutoDisconnect, text string) { a.Reason = text })
		if in.Cause != holdfast.DisconnectedByReceiver {
			in.Cause = holdfast.DisconnectedByFailures
		}
		// Many deliveries fail at once and say the same; the first is being judged already.
		for _, waiting := range r.Failures[min(1, len(r.Failures)):] {
			if waiting.Cause == in.Cause {
				return
			}
		}
		r.Failures = append(r.Failures, in)
		return
	}
	in := decoded[SwitchRequest](payload, func(s *SwitchRequest, text string) { s.Reason = text })
	if in.Actor == "" {
		in.Actor = "signal"
	}
	r.Switches = append(r.Switches, SwitchSignal{Signal: signal, SwitchRequest: in})
}

// decoded makes of a payload what can be made of it.
func decoded[T any](payload any, asText func(*T, string)) T {
	var in T
	switch v := payload.(type) {
	case string:
		asText(&in, v)
	case map[string]any:
		if text, err := json.Marshal(v); err != nil || json.Unmarshal(text, &in) != nil {
			var nothing T
			in = nothing
			if text, ok := v["reason"].(string); ok {
				asText(&in, text)
			}
		}
	}
	return in
}

// switchAsSignalled carries out the disconnect and reconnect signals, one after the other.
func (r *registration) switchAsSignalled(ctx workflow.Context) {
	for workflow.Await(ctx, func() bool { return len(r.Switches) > 0 }) == nil {
		s := r.Switches[0]
		act := r.disconnect
		if s.Signal == SignalReconnect {
			act = r.reconnect
		}
		if _, err := act(ctx, s.SwitchRequest); err != nil {
			workflow.GetLogger(ctx).Warn("a signal came to nothing", "webhook_id", r.WebhookID, "signal", s.Signal, "error", err)
			if ctx.Err() != nil {
				return
			}
		}
		r.Switches = r.Switches[1:]
	}
}
