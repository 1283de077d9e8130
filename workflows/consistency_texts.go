package workflows

import (
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
)

// driftTexts say in words what each kind of drift affects.
var driftTexts = map[holdfast.DriftKind]string{
	holdfast.DriftActiveSet:      "webhooks whose place in the active set was wrong",
	holdfast.DriftDigest:         "revisions and digest that did not fit the registry",
	holdfast.DriftMissing:        "registered webhooks missing in Redis",
	holdfast.DriftUnregistered:   "webhooks in Redis without a registration",
	holdfast.DriftChanged:        "webhooks whose configuration in Redis was not the registered one",
	holdfast.DriftPoisoned:       "webhooks whose stored entry cannot be used",
	holdfast.DriftNode:           "nodes whose cache differed from Redis",
	holdfast.DriftNodeSilent:     "nodes that are alive but do not answer",
	holdfast.DriftPlatform:       "webhooks that EMPROPS did not know as they are",
	holdfast.DriftPlatformHealth: "EMPROPS does not answer",
	holdfast.DriftSealing:        "webhooks sealed with a key that is being rotated out",
	holdfast.DriftUnchecked:      "parts of the check that could not be carried out",
}

// What a check does about a drift.
const (
	actionSeparator = ", "
	actionLater     = "tried again by the next check"
	actionIsolated  = "left out of matching"
	actionRebuilt   = "rebuilt"
	actionCorrected = "corrected"
	actionConfirmed = "confirmed again"
)

func splitActions(actions string) []string { return strings.Split(actions, actionSeparator) }

// repairs gives each answer of a registration that repaired something the kind of drift it proves; the kind it was
// suspected of where the answer does not say.
var repairs = map[string]struct {
	kind holdfast.DriftKind
	text string
}{
	activities.ReconcileRestored:  {holdfast.DriftMissing, "restored from the registration"},
	activities.ReconcileRewritten: {"", "rewritten from the registration"},
	activities.ReconcileAdopted:   {holdfast.DriftUnregistered, "adopted"},
	activities.ReconcileTakenOver: {"", "taken over from Redis"},
	activities.ReconcileRemoved:   {holdfast.DriftUnregistered, "removed"},
}

// someTimes is a retry policy for what the next check does again anyway.
func someTimes(attempts int32) *temporal.RetryPolicy {
	return &temporal.RetryPolicy{
		InitialInterval: 500 * time.Millisecond, BackoffCoefficient: 2, MaximumInterval: 5 * time.Second, MaximumAttempts: attempts,
	}
}
