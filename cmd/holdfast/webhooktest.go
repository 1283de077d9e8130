package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/server"
)

func testWebhook(fs *pflag.FlagSet) operation {
	eventTypes := fs.StringArray("event-type", nil, "only an event of this `TYPE`; repeat for more")
	timeout := fs.Duration("timeout", server.MaxTestTimeout, "`DURATION` after which what has no answer counts as failed, at most 60s")
	return func(ctx context.Context, c *client, id string) error {
		got, err := c.webhooks.TestWebhook(ctx, &holdfastv1.TestWebhookRequest{
			WebhookId: id, EventTypes: *eventTypes, Timeout: durationpb.New(*timeout),
		})
		if err != nil {
			return err
		}
		failed := 0
		for _, r := range got.GetResults() {
			if !r.GetDelivered() {
				failed++
			}
		}
		err = c.show(got, func(t *table) {
			t.row("EVENT", "DELIVERED", "STATUS", "TIME", "CLASS", "ERROR", "ANSWER")
			for _, r := range got.GetResults() {
				t.row(r.GetEventType(), yes(r.GetDelivered()), r.GetResponseStatus(), r.GetDuration().AsDuration().Round(time.Microsecond),
					r.GetErrorClass(), r.GetError(), beginning(r.GetResponseBody()))
			}
		})
		if err == nil && failed > 0 {
			err = fmt.Errorf("%d of %d test events were not delivered", failed, len(got.GetResults()))
		}
		return err
	}
}

// beginning is as much of a text as fits into a table.
func beginning(text string) string {
	const most = 60
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return text
}
