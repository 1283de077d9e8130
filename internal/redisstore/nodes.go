package redisstore

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	holdfast "github.com/emprops/holdfast"
)

// forgottenAfter is the age at which a node's entry is dropped.
const forgottenAfter = 24 * time.Hour

// Node is one process that holds a copy of the registry.
type Node struct {
	ID          string `json:"id"`
	Address     string `json:"address"`
	StartedAt   int64  `json:"started_at"` // ms, by the node's clock
	HeartbeatAt int64  `json:"-"`          // ms, by Redis' clock; set when read
	Revision    int64  `json:"revision"`   // of its copy
	Digest      string `json:"digest"`     // of its copy
	Webhooks    int    `json:"webhooks"`   // in its copy
	Degraded    string `json:"degraded,omitempty"`
}

// Status describes the node for people.
func (n Node) Status(alive bool) holdfast.NodeStatus {
	return holdfast.NodeStatus{
		ID: n.ID, Address: n.Address, Alive: alive, StartedAt: n.StartedAt, HeartbeatAt: n.HeartbeatAt,
		Revision: n.Revision, Digest: n.Digest, Webhooks: n.Webhooks, Degraded: n.Degraded,
	}
}

// Heartbeat stores a node as alive now, by Redis' clock, and drops entries that are older than a day. CodeUnavailable.
func (s *Store) Heartbeat(ctx context.Context, n Node) error {
	encoded, err := marshal(n)
	if err != nil {
		return holdfast.Wrap(holdfast.CodeInternal, err, "the node cannot be encoded")
	}
	return unavailable("heartbeat", heartbeatScript.Run(ctx, s.client, []string{s.keys.nodes()},
		n.ID, encoded, forgottenAfter.Milliseconds()).Err())
}

// Nodes lists the nodes by id: those alive and those whose heartbeat is older than Options.NodeTTL. An entry that cannot
// be read counts as lapsed. CodeUnavailable.
func (s *Store) Nodes(ctx context.Context) (live, lapsed []Node, err error) {
	values, err := reply(nodesScript.Run(ctx, s.client, []string{s.keys.nodes()}), 1)
	if err != nil {
		return nil, nil, unavailable("reading nodes", err)
	}
	now := parseInt(text(values[0]))
	for i := 1; i+1 < len(values); i += 2 {
		stamp, encoded, _ := strings.Cut(text(values[i+1]), "|")
		var n Node
		readable := json.Unmarshal([]byte(encoded), &n) == nil
		n.ID, n.HeartbeatAt = text(values[i]), parseInt(stamp)
		if readable && now-n.HeartbeatAt <= s.opts.NodeTTL.Milliseconds() {
			live = append(live, n)
		} else {
			lapsed = append(lapsed, n)
		}
	}
	byID := func(a, b Node) int { return strings.Compare(a.ID, b.ID) }
	slices.SortFunc(live, byID)
	slices.SortFunc(lapsed, byID)
	return live, lapsed, nil
}

// RemoveNode takes a node off the list, as at its orderly end. CodeUnavailable.
func (s *Store) RemoveNode(ctx context.Context, id string) error {
	return unavailable("removing a node", s.client.HDel(ctx, s.keys.nodes(), id).Err())
}
