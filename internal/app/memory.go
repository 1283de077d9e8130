package app

import (
	"os"
	"runtime/debug"
)

// gcPercent trades memory for CPU: a node's live heap is small and its garbage plenty, so that the usual 100 collects all
// the time.
const gcPercent = 400

// TuneGC sets the collector for a node. GOGC in the environment overrides it. A process calls it once, at its start.
func TuneGC() {
	if _, set := os.LookupEnv("GOGC"); !set {
		debug.SetGCPercent(gcPercent)
	}
}
