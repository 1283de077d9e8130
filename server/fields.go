package server

// webhookFields are the fields of a webhook that a change can name, sorted.
var webhookFields = []string{
	"active", "authorization", "description", "eventTypes", "filterExpression", "filters", "filters.jobTypes",
	"filters.machineIds", "filters.priorities", "filters.workerIds", "format", "handshake", "headers", "orderingKey",
	"rateLimit", "retryPolicy", "retryPolicy.backoffMultiplier", "retryPolicy.initialDelay", "retryPolicy.jitter",
	"retryPolicy.maxAttempts", "retryPolicy.maxDelay", "retryPolicy.noRetryStatuses", "secret", "signingKey", "static",
	"url",
}
