package activities

import (
	"context"
	"time"

	"github.com/emprops/holdfast"
)

// NodeLister knows which nodes are alive by their heartbeats.
type NodeLister interface {
	LiveNodes(ctx context.Context) ([]string, error)
}

// Nodes holds the activity that lists nodes. Any node can run it.
type Nodes struct {
	Lister NodeLister
	// Patience is how long a node may take to confirm a revision before it is asked whether it is still alive; 0 is 2 s.
	Patience time.Duration
}

// NodeList is the result of ListLiveNodes.
type NodeList struct {
	IDs        []string `json:"ids"`
	PatienceMS int64    `json:"patience_ms,omitempty"` // see Nodes; 0 from a node that does not say
}

// ListLiveNodes returns the ids of the nodes whose heartbeat has not lapsed.
func (a *Nodes) ListLiveNodes(ctx context.Context) (NodeList, error) {
	ids, err := a.Lister.LiveNodes(ctx)
	return NodeList{IDs: ids, PatienceMS: a.Patience.Milliseconds()}, failure(err)
}

// SnapshotSource is the registry cache of the node an activity runs on.
type SnapshotSource interface {
	// Refresh brings the snapshot to at least the revision and verifies it; it returns revision, digest and count.
	Refresh(ctx context.Context, atLeast int64) (revision int64, digest string, count int, err error)
}

// NodeCache holds the activity that refreshes the cache of the very node that runs it: it is registered only on the
// node's own task queue (DESIGN 5).
type NodeCache struct {
	Node     string
	Registry SnapshotSource
}

// RefreshRequest asks a node to show at least this revision.
type RefreshRequest struct {
	Revision int64 `json:"revision"`
}

// RefreshReport is a node's word that its snapshot has reached the revision and matches Redis' digest.
type RefreshReport struct {
	Node     string `json:"node"`
	Revision int64  `json:"revision"`
	Digest   string `json:"digest"`
	Webhooks int    `json:"webhooks"`
}

// RefreshCache refreshes and verifies this node's snapshot.
func (a *NodeCache) RefreshCache(ctx context.Context, in RefreshRequest) (RefreshReport, error) {
	revision, digest, count, err := a.Registry.Refresh(ctx, in.Revision)
	if err == nil && revision < in.Revision {
		err = holdfast.Errorf(holdfast.CodeUnavailable, "the registry is at revision %d, not yet at %d", revision, in.Revision)
	}
	return RefreshReport{Node: a.Node, Revision: revision, Digest: digest, Webhooks: count}, failure(err)
}
