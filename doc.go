// Package holdfast holds the domain of Holdfast, durable webhook delivery: webhooks, events, deliveries, attempts and
// registrations with their states, the error vocabulary and all validation. It imports nothing else of this module, so
// every other package can speak in its terms.
package holdfast
