package server

import (
	holdfast "github.com/emprops/holdfast"
)

// webhookFields are the fields of a webhook that a change can name, each with how it is copied.
var webhookFields = map[string]func(dst, src *holdfast.Webhook){
	"url":        func(dst, src *holdfast.Webhook) { dst.URL = src.URL },
	"eventTypes": func(dst, src *holdfast.Webhook) { dst.Events = src.Events },

	"filters":            func(dst, src *holdfast.Webhook) { dst.Filters = src.Filters },
	"filters.jobTypes":   func(dst, src *holdfast.Webhook) { dst.Filters.JobTypes = src.Filters.JobTypes },
	"filters.priorities": func(dst, src *holdfast.Webhook) { dst.Filters.Priorities = src.Filters.Priorities },
	"filters.machineIds": func(dst, src *holdfast.Webhook) { dst.Filters.MachineIDs = src.Filters.MachineIDs },
	"filters.workerIds":  func(dst, src *holdfast.Webhook) { dst.Filters.WorkerIDs = src.Filters.WorkerIDs },

	// What was rotated out belonged to the secret that is replaced here at once.
	"secret":  func(dst, src *holdfast.Webhook) { dst.Secret, dst.RetiringSecrets = src.Secret, nil },
	"headers": func(dst, src *holdfast.Webhook) { dst.Headers = src.Headers },

	"retryPolicy":              func(dst, src *holdfast.Webhook) { dst.RetryConfig = src.RetryConfig },
	"retryPolicy.maxAttempts":  func(dst, src *holdfast.Webhook) { dst.RetryConfig.MaxAttempts = src.RetryConfig.MaxAttempts },
	"retryPolicy.initialDelay": func(dst, src *holdfast.Webhook) { dst.RetryConfig.InitialDelayMS = src.RetryConfig.InitialDelayMS },
	"retryPolicy.backoffMultiplier": func(dst, src *holdfast.Webhook) {
		dst.RetryConfig.BackoffMultiplier = src.RetryConfig.BackoffMultiplier
	},
	"retryPolicy.maxDelay":        func(dst, src *holdfast.Webhook) { dst.RetryConfig.MaxDelayMS = src.RetryConfig.MaxDelayMS },
	"retryPolicy.jitter":          func(dst, src *holdfast.Webhook) { dst.RetryConfig.Jitter = src.RetryConfig.Jitter },
	"retryPolicy.noRetryStatuses": func(dst, src *holdfast.Webhook) { dst.RetryConfig.NoRetryStatuses = src.RetryConfig.NoRetryStatuses },

	"active":           func(dst, src *holdfast.Webhook) { dst.Active = src.Active },
	"static":           func(dst, src *holdfast.Webhook) { dst.Static = src.Static },
	"description":      func(dst, src *holdfast.Webhook) { dst.Description = src.Description },
	"format":           func(dst, src *holdfast.Webhook) { dst.Format = src.Format },
	"handshake":        func(dst, src *holdfast.Webhook) { dst.Handshake = src.Handshake },
	"filterExpression": func(dst, src *holdfast.Webhook) { dst.Filter = src.Filter },
	"rateLimit":        func(dst, src *holdfast.Webhook) { dst.RateLimit = src.RateLimit },
	"orderingKey":      func(dst, src *holdfast.Webhook) { dst.OrderingKey = src.OrderingKey },
	"authorization":    func(dst, src *holdfast.Webhook) { dst.Authorization = src.Authorization },
	"signingKey":       func(dst, src *holdfast.Webhook) { dst.SigningKey = src.SigningKey },
}

// Apply changes the fields named in w and nothing else (D48). What w consists of then has to be checked as a whole. A path
// that names no field is CodeInvalid, and w stays as it is.
func (r *ChangeRequest) Apply(w *holdfast.Webhook) error {
	var violations []holdfast.Violation
	for _, field := range r.Fields {
		if webhookFields[field] == nil {
			violations = append(violations, holdfast.Violation{Field: field, Description: "is not a field of a webhook"})
		}
	}
	if err := holdfast.Invalid(violations); err != nil {
		return err
	}
	for _, field := range r.Fields {
		webhookFields[field](w, &r.Webhook)
	}
	return nil
}
