package server

import (
	"context"
	"strings"
	"unicode/utf8"

	"connectrpc.com/connect"
)

// ActorHeader names who asks, for audit trails. It is a name, not a proof.
const ActorHeader = "X-Holdfast-Actor"

const maxActorBytes = 64

// actorOf returns who asks: what the header says, bounded and of printable characters, else "api".
func actorOf(ctx context.Context) string {
	info, ok := connect.CallInfoForHandlerContext(ctx)
	if !ok {
		return "api"
	}
	name := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == utf8.RuneError {
			return -1
		}
		return r
	}, info.RequestHeader().Get(ActorHeader))
	if len(name) > maxActorBytes {
		name = strings.ToValidUTF8(name[:maxActorBytes], "")
	}
	if name = strings.TrimSpace(name); name == "" {
		return "api"
	}
	return name
}
