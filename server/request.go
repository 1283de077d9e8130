package server

import (
	"context"
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	holdfast "github.com/emprops/holdfast"
)

// How long a registration call waits for the outcome.
const (
	DefaultWait = 10 * time.Second // when the caller does not say
	MaxWait     = 60 * time.Second // a longer one is refused
	// answerMargin is kept of the caller's deadline for the answer to travel.
	answerMargin = 250 * time.Millisecond
)

// Sizes of a page.
const (
	defaultPageSize = 50
	maxPageSize     = 500
)

// waitOf returns how long to wait: what was asked for, bounded by the caller's deadline.
func waitOf(ctx context.Context, d *durationpb.Duration) (time.Duration, []holdfast.Violation) {
	wait := DefaultWait
	if d != nil {
		wait = d.AsDuration()
		if d.CheckValid() != nil || wait < 0 || wait > MaxWait {
			return 0, []holdfast.Violation{{Field: "wait", Description: fmt.Sprintf("must be between 0s and %s", MaxWait)}}
		}
	}
	return withinDeadline(ctx, wait), nil
}

// withinDeadline bounds a wait by the caller's deadline.
func withinDeadline(ctx context.Context, wait time.Duration) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		wait = min(wait, max(0, left-min(answerMargin, left/4)))
	}
	return wait
}

// pageSizeOf returns the size of a page: the default for 0, the maximum for more.
func pageSizeOf(asked int32, most int) (int, []holdfast.Violation) {
	switch {
	case asked < 0:
		return 0, []holdfast.Violation{{Field: "pageSize", Description: "must not be negative"}}
	case asked == 0:
		return defaultPageSize, nil
	}
	return min(int(asked), most), nil
}

// cursor is the last item of a page in a list of webhooks; it stays a good place to go on from when that one is deleted.
type cursor struct {
	createdAt int64
	id        string
}

func (c cursor) token() string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(c.createdAt, 10) + "/" + c.id))
}

func parseCursor(token string) (cursor, []holdfast.Violation) {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	at, id, ok := strings.Cut(string(raw), "/")
	createdAt, numberErr := strconv.ParseInt(at, 10, 64)
	if err != nil || !ok || id == "" || numberErr != nil {
		return cursor{}, []holdfast.Violation{{Field: "pageToken", Description: "is not a token of this list"}}
	}
	return cursor{createdAt, id}, nil
}

func required(field, value string) []holdfast.Violation {
	if value != "" {
		return nil
	}
	return []holdfast.Violation{{Field: field, Description: "is required"}}
}

// knownEventType checks a filter: a misspelt type would look like an empty list.
func knownEventType(name string) []holdfast.Violation {
	if name == "" || holdfast.IsEventType(name) {
		return nil
	}
	return []holdfast.Violation{{
		Field: "eventType", Description: "is not an event type; known are " + strings.Join(holdfast.EventTypes, ", "),
	}}
}
