// Package server is the front door: Connect, gRPC and gRPC-Web handlers for holdfast.v1, health and readiness, and the
// route of the test receivers. Handlers convert, call one of the interfaces in ports.go and map the result; what the
// calls mean is decided behind those interfaces. Nothing internal leaves through an error: see errors.go.
package server
