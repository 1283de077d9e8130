package telemetry

// Keys of log fields. A message is a constant text; everything that varies is a field under one of these names.
const (
	KeyWebhookID   = "webhook_id"
	KeyEventID     = "event_id"
	KeyEventType   = "event_type"
	KeyDeliveryID  = "delivery_id"
	KeyReceiverID  = "receiver_id"
	KeyJobID       = "job_id"
	KeyAttempt     = "attempt" // 1-based
	KeyStatus      = "status"  // of an HTTP answer
	KeyState       = "state"
	KeyReason      = "reason"
	KeyErrorClass  = "error_class"
	KeyErrorCode   = "error_code"
	KeyRevision    = "revision" // of the registry
	KeyDigest      = "digest"
	KeyNode        = "node"
	KeyChannel     = "channel" // of Redis pub/sub
	KeyStream      = "stream"
	KeyCount       = "count"
	KeyBytes       = "bytes"
	KeyDuration    = "duration"
	KeyOperation   = "operation"
	KeyProcedure   = "procedure" // of an RPC
	KeyMethod      = "method"    // of an HTTP request
	KeyPath        = "path"      // without its query
	KeyAddress     = "address"
	KeyURL         = "url" // of a service, without credentials
	KeyVersion     = "version"
	KeyNamespace   = "namespace"
	KeyTaskQueue   = "task_queue"
	KeyWorkflowID  = "workflow_id"
	KeyRunID       = "run_id"
	KeyWorkflow    = "workflow" // its type
	KeyActivity    = "activity" // its type
	KeyActivityID  = "activity_id"
	KeyWorkerID    = "worker_id"
	KeyWorkerType  = "worker_type"
	KeyAlert       = "alert"
	KeyComponent   = "component"
	KeyConsistency = "consistency"
)
