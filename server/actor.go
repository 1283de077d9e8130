package server

import (
	"context"
	"net/http"
	"strings"
	"unicode"

	"connectrpc.com/connect"
)

// ActorHeader is the request header that says who asks for a change, for the audit trail. It proves nothing; a key's
// name does, and goes before it.
const ActorHeader = "X-Holdfast-Actor"

const (
	defaultActor   = "api"
	maxActorLength = 64 // runes
)

// actorOf returns who asks, fit to be stored and shown: printable, without surrounding white space and bounded.
func actorOf(ctx context.Context) string {
	call, ok := connect.CallInfoForHandlerContext(ctx)
	if !ok {
		return defaultActor
	}
	return Actor(call.RequestHeader(), defaultActor)
}

// Actor returns who a request's header says is asking, fit to be stored and shown; the one given when it says nothing.
func Actor(h http.Header, otherwise string) string {
	var b strings.Builder
	length := 0
	for _, r := range strings.TrimSpace(strings.ToValidUTF8(h.Get(ActorHeader), "")) {
		if unicode.IsPrint(r) && length < maxActorLength {
			b.WriteRune(r)
			length++
		}
	}
	if actor := strings.TrimSpace(b.String()); actor != "" {
		return actor
	}
	return otherwise
}
