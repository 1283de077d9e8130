package server

import (
	"context"
	"strings"
	"unicode"

	"connectrpc.com/connect"
)

// ActorHeader is the request header that says who asks for a change, for the audit trail. It proves nothing.
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
	var b strings.Builder
	length := 0
	for _, r := range strings.TrimSpace(strings.ToValidUTF8(call.RequestHeader().Get(ActorHeader), "")) {
		if unicode.IsPrint(r) && length < maxActorLength {
			b.WriteRune(r)
			length++
		}
	}
	if actor := strings.TrimSpace(b.String()); actor != "" {
		return actor
	}
	return defaultActor
}
