// Package dispatch is the hot path of an event: deduplicate, match, make durable, answer (DESIGN 6).
//
// Both of its costs are shared by natural batching. Concurrent events share one Redis round trip, which reads the registry
// revision and claims their ids; and their deliveries share one workflow start, since starting a workflow costs
// milliseconds of CPU whatever it carries. With nothing waiting, neither adds latency.
package dispatch
