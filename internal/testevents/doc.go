// Package testevents makes the events by which people try a webhook out, and sends them. A test event looks like a live
// one of its type (CONTRACT 4.4, D35) with everything besides that test events of the original have (CONTRACT 4.5), and
// sending it leaves nothing behind: no record, no counter, no retry.
package testevents
