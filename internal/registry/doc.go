// Package registry is a node's in-memory copy of the webhook registry (DESIGN 5). Readers take an immutable snapshot
// without locks. Before every match the snapshot's revision is compared with Redis', so a node that missed every
// notification still never matches on stale data; a read that fails never empties a snapshot.
package registry
