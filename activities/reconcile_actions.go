package activities

// What reconciling a webhook came to.
const (
	ReconcileUnchanged = "unchanged"
	ReconcileRestored  = "restored"   // Redis had lost it
	ReconcileRewritten = "rewritten"  // Redis held something else
	ReconcileAdopted   = "adopted"    // only Redis had it
	ReconcileTakenOver = "taken_over" // the original changed it after its registration did
	ReconcileRemoved   = "removed"    // Redis held something of a webhook that is deleted or whose registration failed
	ReconcileGone      = "gone"       // nobody has it
)
