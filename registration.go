package holdfast

// RegistrationStatus is the answer to "is it registered?".
type RegistrationStatus string

// The statuses of a registration.
const (
	RegistrationPending   RegistrationStatus = "pending"   // steps are still under way; they go on by themselves
	RegistrationConfirmed RegistrationStatus = "confirmed" // every step is proved (G1)
	RegistrationFailed    RegistrationStatus = "failed"    // compensated; Reason says why
)

// StepStatus is the outcome of one step.
type StepStatus string

// The statuses of a step.
const (
	StepPending StepStatus = "pending" // not begun
	StepRunning StepStatus = "running"
	StepDone    StepStatus = "done"
	StepFailed  StepStatus = "failed"
	StepSkipped StepStatus = "skipped" // does not apply, e.g. EMPROPS is off
	StepUndone  StepStatus = "undone"  // done and compensated
)

// The six steps of every registration operation, in order (DESIGN 4), and the compensation that follows a failure.
const (
	StepCheck      = "check"
	StepWrite      = "write"
	StepConfirm    = "confirm"
	StepVerify     = "verify"
	StepRefresh    = "refresh"
	StepActivate   = "activate"
	StepCompensate = "compensate"
)

// Step is one line of the audit trail.
type Step struct {
	Operation string     `json:"operation"` // register, change, delete, …
	Name      string     `json:"name"`
	Status    StepStatus `json:"status"`
	StartedAt int64      `json:"started_at"` // ms
	EndedAt   int64      `json:"ended_at,omitempty"`
	Attempts  int        `json:"attempts"`
	Detail    string     `json:"detail,omitempty"`
	Actor     string     `json:"actor,omitempty"` // who asked for the operation
}

// The operations of a registration, as its audit trail names them.
const (
	OperationRegister   = "register"
	OperationChange     = "change"
	OperationRotate     = "rotate-secret"
	OperationRetire     = "retire-secret"
	OperationDisconnect = "disconnect"
	OperationReconnect  = "reconnect"
	OperationProbe      = "probe"
	OperationReconcile  = "reconcile"
	OperationDelete     = "delete"
)

// Registration is how far a webhook's registration has come, with its audit trail.
type Registration struct {
	WebhookID       string             `json:"webhook_id"`
	Operation       string             `json:"operation,omitempty"` // the last one; Status and Reason are about it
	Status          RegistrationStatus `json:"status"`
	State           WebhookState       `json:"state"`
	Steps           []Step             `json:"steps"`
	Revision        int64              `json:"revision"`
	CachesConfirmed int                `json:"caches_confirmed"`
	CachesTotal     int                `json:"caches_total"`
	SilentNodes     []string           `json:"silent_nodes,omitempty"` // alive by heartbeat, yet not answering a refresh
	Reason          string             `json:"reason,omitempty"`       // machine-readable, when failed
	NextProbeAt     int64              `json:"next_probe_at,omitempty"`
}
