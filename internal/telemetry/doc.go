// Package telemetry makes the loggers of Holdfast and holds the names of their fields, so that one thing has one name in
// every line.
package telemetry
