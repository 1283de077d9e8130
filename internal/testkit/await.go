package testkit

import (
	"testing"
	"time"
)

// How Await polls.
const (
	awaitTimeout = 10 * time.Second
	awaitPeriod  = 5 * time.Millisecond
)

// Await returns as soon as cond is true and fails the test when it is not within ten seconds. what names the awaited
// state in the failure. Like all that can fail a test, it must be called from the test's goroutine.
func Await(tb testing.TB, what string, cond func() bool) {
	tb.Helper()
	AwaitValue(tb, what, func() (struct{}, bool) { return struct{}{}, cond() })
}

// AwaitValue is Await for a condition that yields a value when it holds.
func AwaitValue[T any](tb testing.TB, what string, get func() (T, bool)) T {
	tb.Helper()
	return awaitFor(tb, awaitTimeout, what, get)
}

func awaitFor[T any](tb testing.TB, timeout time.Duration, what string, get func() (T, bool)) T {
	tb.Helper()
	value, ok := poll(timeout, get)
	if !ok {
		tb.Fatalf("waited %v in vain for %s", timeout, what)
	}
	return value
}

// poll calls get until it yields a value or the timeout has passed.
func poll[T any](timeout time.Duration, get func() (T, bool)) (T, bool) {
	deadline := time.Now().Add(timeout)
	for {
		value, ok := get()
		if ok || time.Now().After(deadline) {
			return value, ok
		}
		<-time.After(awaitPeriod)
	}
}
