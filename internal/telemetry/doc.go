// Package telemetry makes what people see of a running node by: loggers, with the names of their fields, so that one thing
// has one name in every line; metrics; and traces.
package telemetry
