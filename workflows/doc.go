// Package workflows holds the deterministic half of Holdfast: the life of a registration and the life of a delivery. It
// has no clock, no randomness and no input or output of its own; all of that is in package activities. names.go lists
// every name on the wire. testdata/histories holds recorded histories that every change of logic must still replay.
package workflows
