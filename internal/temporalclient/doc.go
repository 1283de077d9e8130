// Package temporalclient is everything Holdfast asks of Temporal from outside a workflow: dialing, starting deliveries,
// registering webhooks, and finding what only histories hold.
package temporalclient
