// Package devserver runs what Holdfast depends on inside or beside this process, for `holdfast dev` and for tests: an
// embedded Temporal server with its web UI, and a Redis server as a child process that dies with us. Everything binds to
// loopback unless told otherwise. Build tag lean leaves the Temporal server out.
package devserver
