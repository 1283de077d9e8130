// Package demo drives the main job once against a running node and prints it as it happens: webhooks are registered, a
// recorded stream of job broker messages is published on the broker's Redis channels, and every delivery is followed from
// there to its receiver. It uses what every user has, the API over HTTP and the broker's channels, and fails when anything
// does not come out as it should.
//
// Scripts may look for lines by their first words; the rest of a line is for people:
//
//	found       how many registrations were there before
//	receiver    a test receiver and what it answers
//	registered  a webhook: id, status, revision, time, caches confirmed
//	step        one step of the registration above it
//	published   a message, when it goes onto its channel
//	attempt N   an attempt of a delivery that needed more than one, with the status the receiver answered
//	delivered   a delivery that is done; the line after it links to the Temporal workflow that made it
//	summary     what came of it all
//
// Lines keep within 130 columns, except links, which would no longer be links.
package demo
