// Package eventstream takes in events from a Redis stream, for producers that want to hand them over durably without an
// answer: what is added stays in the stream until it is durable here (DESIGN 7). All nodes share one consumer group; what a
// node that died has taken and not finished goes to another.
package eventstream
