// Package redisadapter lets the packages of a node that declare what they need of a storage be served by redisstore: the
// registry cache, the dispatcher and the list of nodes.
package redisadapter
