// Package proof holds the test of G2 (DESIGN 4 and 5) and nothing else: random schedules on three nodes with a real
// Redis, compared with a model. Whatever registers, changes, deletes, crashes, joins or is cut off, and whatever of it
// happens at the same time: an event that is accepted after a registration operation was confirmed is matched with what
// was confirmed.
//
//	go test ./internal/registry/proof -schedules 50000   more of them
//	go test ./internal/registry/proof -seed 123          the schedule that a failure named
package proof
