// Package rest is the REST API of the service that Holdfast replaces: the same paths, envelopes and field names (CONTRACT 1
// and 6.1), over the same operations as the Connect API. Where the original stored what it could not use, claimed what it did
// not know, or took a failure of its storage for an empty list, this one says so (CONTRACT 11).
package rest
