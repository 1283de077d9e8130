// Package eventfilter decides by an expression of the Common Expression Language (CEL) whether a webhook wants an event.
//
// An expression sees four variables and yields a bool:
//
//	type  string                the event's type
//	id    string                the event's id
//	time  timestamp             when it happened
//	data  map of string to any  its data
//
//	type == "job_failed" && data.priority > 50
//	data.job_type in ["render", "upscale"] || data.worker_id.startsWith("gpu-")
//	has(data.result) && data.result.images.exists(i, i.width >= 1024)
//	data.error.matches("(?i)out of memory")
//	time.getHours("Europe/Berlin") < 8
//
// Numbers in data are JSON's and so doubles: comparisons take any literal (data.priority > 50), arithmetic takes double
// ones (data.priority + 1.0 > 50). An expression that fails, because data lacks a field or holds something else in it,
// does not match; has(data.field) asks first, and "a || b" holds as soon as one side does, whatever the other fails of.
// The pattern of matches must be written out in the expression.
//
// Expressions come from whoever registers webhooks. Their size, the work of one evaluation and its time are bounded; one
// that goes beyond does not match.
package eventfilter
