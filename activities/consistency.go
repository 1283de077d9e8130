package activities

import (
	"context"

	"github.com/emprops/holdfast"
)

// RegistryPosition says which state of the registry was found.
type RegistryPosition struct {
	Revision    int64  `json:"revision"`
	Count       int64  `json:"count"` // of the webhooks that have a revision
	Digest      string `json:"digest"`
	Incarnation string `json:"incarnation,omitempty"` // changes when the registry is wiped or restored
	Born        int64  `json:"born,omitempty"`        // the revision at which the incarnation began
	Complete    bool   `json:"complete"`              // nothing that is registered is known to be missing
}

// Audit is what the registry says of itself when every entry is looked at.
type Audit struct {
	Position       RegistryPosition
	Active         int              // in the active set
	Revisions      map[string]int64 // of every registry entry; 0 when the original wrote it
	ActiveSetWrong []string         // the active set and the entry disagree
	Changed        []string         // another content than what was written
	Orphans        []string         // a revision without an entry
	Poisoned       []PoisonedEntry  // entries that cannot be used
	OldKey         []string         // sealed with another key than the one that seals
	DigestOK       bool
}

// PoisonedEntry is a stored webhook that cannot be used. Reason is fit to show.
type PoisonedEntry struct {
	ID     string `json:"id"`
	Reason string `json:"reason"`
}

// CheckedRegistry is the storage as the consistency check sees it. Every method returns CodeUnavailable when the storage
// cannot be reached.
type CheckedRegistry interface {
	// Audit looks at every entry. CodeAborted when they change faster than they can be read.
	Audit(ctx context.Context) (Audit, error)
	// RepairActiveSet makes the active set agree with the entries of the webhooks and returns how many it changed.
	RepairActiveSet(ctx context.Context, ids []string) (fixed int, err error)
	// RebuildDigest makes count and digest agree with the revisions. CodeAborted like Audit.
	RebuildDigest(ctx context.Context) error
	// MarkComplete says that this incarnation holds everything that is registered. CodeAborted when it is another by now.
	MarkComplete(ctx context.Context, incarnation string) error
	// RemoveWebhook removes the webhook and what is kept under its id.
	RemoveWebhook(ctx context.Context, id string) (revision int64, existed bool, err error)
	// ReadWebhook returns the webhook as it is stored; CodeNotFound when it does not exist.
	ReadWebhook(ctx context.Context, id string) (w *holdfast.Webhook, active bool, err error)
	// SaveReport keeps the report of a check.
	SaveReport(ctx context.Context, r holdfast.ConsistencyReport) error
}

// OpenRegistrations knows which webhooks have an open registration. It is told by an index that lags behind, so what it
// says is a suspicion: the registration itself decides. Both methods return CodeUnavailable.
type OpenRegistrations interface {
	CountOpen(ctx context.Context) (int, error)
	ListOpen(ctx context.Context) (webhookIDs []string, err error)
}

// Reconciled is what reconciling a webhook came to.
type Reconciled struct {
	Action   string // ReconcileUnchanged and its like
	Revision int64
	Detail   string
}

// Reconciler has the webhook's own registration compare itself with Redis and repair what differs, one webhook at a time.
// With adopt, a webhook that only Redis has becomes registered. CodeUnavailable when that was not possible now.
type Reconciler interface {
	Reconcile(ctx context.Context, webhookID string, adopt bool) (Reconciled, error)
}

// Consistency holds the activities of the consistency check (DESIGN 5). What they return is bounded: the whole of what they
// look at must never get into a history.
type Consistency struct {
	Registry   CheckedRegistry
	Open       OpenRegistrations
	Reconciler Reconciler
	Platform   CheckedPlatform
	Sample     WebhookSample
}

// ActiveSetRepair names the webhooks whose membership in the active set is to be corrected.
type ActiveSetRepair struct {
	IDs []string `json:"ids"`
}

// RepairActiveSet corrects the active set.
func (a *Consistency) RepairActiveSet(ctx context.Context, in ActiveSetRepair) error {
	_, err := a.Registry.RepairActiveSet(ctx, in.IDs)
	return failure(err)
}

// RebuildDigest corrects revisions, count and digest.
func (a *Consistency) RebuildDigest(ctx context.Context) error {
	return failure(a.Registry.RebuildDigest(ctx))
}

// Completion names the incarnation that was found to hold everything.
type Completion struct {
	Incarnation string `json:"incarnation"`
}

// MarkComplete says that the registry holds everything that is registered.
func (a *Consistency) MarkComplete(ctx context.Context, in Completion) error {
	return failure(a.Registry.MarkComplete(ctx, in.Incarnation))
}

// SaveReport keeps the report for health, API and dashboard.
func (a *Consistency) SaveReport(ctx context.Context, r holdfast.ConsistencyReport) error {
	return failure(a.Registry.SaveReport(ctx, r))
}
