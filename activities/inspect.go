package activities

import (
	"context"

	"github.com/emprops/holdfast"
)

// InspectedCache is the registry cache of the node an activity runs on, as the consistency check sees it.
type InspectedCache interface {
	SnapshotSource
	// Rebuild is Refresh with everything loaded anew.
	Rebuild(ctx context.Context) (revision int64, digest string, count int, err error)
	// Degraded says why the snapshot may be behind; "" when it is not.
	Degraded() string
	// Poisoned counts the entries that the snapshot leaves out because they cannot be used.
	Poisoned() int
}

// NodeInspection holds the activities that look at the cache of the very node that runs them: they are registered only on
// the node's own task queue (DESIGN 5).
type NodeInspection struct {
	Node  string
	Cache InspectedCache
}

// NodeReport is what a node says of its snapshot. Degraded is set as well when it could not be brought up to date.
type NodeReport struct {
	Node     string `json:"node"`
	Revision int64  `json:"revision"`
	Digest   string `json:"digest"`
	Webhooks int    `json:"webhooks"`
	Poisoned int    `json:"poisoned,omitempty"`
	Degraded string `json:"degraded,omitempty"`
}

// InspectNode refreshes this node's snapshot and describes it. A refresh that fails is part of the description: the node
// has answered, which is what tells it from a silent one.
func (a *NodeInspection) InspectNode(ctx context.Context, in RefreshRequest) (NodeReport, error) {
	return a.report(ctx, in), nil
}

// RebuildCache loads this node's snapshot anew from Redis and describes it.
func (a *NodeInspection) RebuildCache(ctx context.Context, in RefreshRequest) (NodeReport, error) {
	if _, _, _, err := a.Cache.Rebuild(ctx); err != nil {
		return NodeReport{}, failure(err)
	}
	return a.report(ctx, in), nil
}

func (a *NodeInspection) report(ctx context.Context, in RefreshRequest) NodeReport {
	r := NodeReport{Node: a.Node}
	var err error
	r.Revision, r.Digest, r.Webhooks, err = a.Cache.Refresh(ctx, in.Revision)
	r.Poisoned, r.Degraded = a.Cache.Poisoned(), a.Cache.Degraded()
	if err != nil && r.Degraded == "" {
		r.Degraded = holdfast.ErrorMessage(err)
	}
	r.Degraded = truncated(r.Degraded, 200)
	return r
}
