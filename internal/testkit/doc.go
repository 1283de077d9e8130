// Package testkit holds what the tests of several packages share: real servers (Temporal, Redis), a webhook receiver,
// built binaries as processes, and waiting for events instead of time. Only tests may import it.
package testkit
