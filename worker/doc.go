// Package worker registers workflows and activities under their wire names and runs the SDK workers of a node: one for
// workflows and light activities, one for the slow lane, and one for what only this node can do.
package worker
