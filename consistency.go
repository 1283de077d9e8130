package holdfast

// DriftKind says in which way two parts of the system disagreed about webhooks.
type DriftKind string

// The kinds of drift (DESIGN 5).
const (
	DriftActiveSet      DriftKind = "active_set"       // registry and active set disagree (D3)
	DriftDigest         DriftKind = "digest"           // revisions and digest disagree with the registry
	DriftMissing        DriftKind = "missing_in_redis" // registered, yet not in Redis
	DriftUnregistered   DriftKind = "unregistered"     // in Redis, yet without a registration: written by the original
	DriftChanged        DriftKind = "changed_in_redis" // Redis holds another configuration than the registration
	DriftPoisoned       DriftKind = "unreadable"       // the stored entry cannot be used; it is isolated (D31)
	DriftNode           DriftKind = "node_snapshot"    // a node's snapshot differs from Redis
	DriftNodeSilent     DriftKind = "node_silent"      // a live node did not answer
	DriftPlatform       DriftKind = "emprops"          // EMPROPS does not know the webhook, or knows another configuration
	DriftPlatformHealth DriftKind = "emprops_health"   // EMPROPS does not answer
	DriftSealing        DriftKind = "old_key"          // credentials are sealed with a key that is being rotated out
	DriftUnchecked      DriftKind = "unchecked"        // a part of the check that could not be carried out; ids name the part
)

// Drift is one kind of disagreement that a check found, and what became of it.
type Drift struct {
	Kind   DriftKind `json:"kind"`
	Count  int       `json:"count"`         // of what is affected
	IDs    []string  `json:"ids,omitempty"` // the affected webhooks or nodes; at most MaxDriftIDs
	Action string    `json:"action"`        // what was done
	Failed int       `json:"failed"`        // how many could not be repaired; the next check tries again
	Detail string    `json:"detail,omitempty"`
}

// MaxDriftIDs bounds the ids that a report names per kind of drift.
const MaxDriftIDs = 100

// ConsistencyReport is the outcome of one check of the whole system.
type ConsistencyReport struct {
	StartedAt     int64   `json:"started_at"`     // ms
	DurationMS    int64   `json:"duration_ms"`    // repairs included
	Consistent    bool    `json:"consistent"`     // nothing was found
	Repaired      bool    `json:"repaired"`       // something was found and all of it could be repaired
	Revision      int64   `json:"revision"`       // of the registry afterwards
	Webhooks      int     `json:"webhooks"`       // in Redis
	Active        int     `json:"active"`         // in the active set
	Registrations int     `json:"registrations"`  // open in Temporal
	Nodes         int     `json:"nodes"`          // alive
	PlatformKnown int     `json:"platform_known"` // webhooks asked about at EMPROPS that it knows as they are
	PlatformAsked int     `json:"platform_asked"`
	Drifts        []Drift `json:"drifts,omitempty"`
	WorkflowID    string  `json:"workflow_id,omitempty"`
	RunID         string  `json:"run_id,omitempty"`
}

// NodeStatus is one process that holds a copy of the registry, as its last heartbeat described it.
type NodeStatus struct {
	ID          string `json:"id"`
	Address     string `json:"address"`
	Alive       bool   `json:"alive"`
	StartedAt   int64  `json:"started_at"`   // ms
	HeartbeatAt int64  `json:"heartbeat_at"` // ms, by Redis' clock
	Revision    int64  `json:"revision"`     // of its snapshot
	Digest      string `json:"digest"`
	Webhooks    int    `json:"webhooks"`
	Degraded    string `json:"degraded,omitempty"` // why its snapshot may be behind
}
