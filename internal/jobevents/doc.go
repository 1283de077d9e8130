// Package jobevents takes in what the job broker publishes over Redis pub/sub (CONTRACT 2): it maps messages to events,
// thins out progress and hands the events over. Pub/sub keeps nothing, so a message counts as taken in only when the
// publisher accepted its event, and what cannot be handed over yet is tried again.
package jobevents
