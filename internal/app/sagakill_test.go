package app_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"

	holdfast "github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// A node is killed, as kill -9 does, between each pair of steps of a registration. What tells the moment is what the node
// says to Redis or EMPROPS, seen on the way there: no code for tests is in the binary. The registration then completes on
// a node that starts afterwards, and EMPROPS has seen one effective write.
func TestG1_RegistrationSurvivesTheDeathOfItsNodeBetweenAnySteps(t *testing.T) {
	t.Parallel()
	soaking(t)
	bin := testkit.Build(t, "./cmd/holdfast", "lean")
	for _, at := range []moment{
		{name: "check|write", redis: func(id string) string { return `{"id":"` + id }, before: true},
		{name: "write|confirm", redis: func(id string) string { return `{"id":"` + id }},
		{name: "POST|GET of confirm", platform: http.MethodPost},
		{name: "confirm|verify", platform: http.MethodGet},
		{name: "verify|refresh", redis: func(id string) string { return "webhooks:stats:" + id + "\r\n$" }, skip: `{"id":"`},
		{name: "refresh|activate", redis: func(string) string { return "webhooks:nodes\r\n" }, skip: `"heartbeat`, after: "webhooks:stats:"},
	} {
		t.Run(at.name, func(t *testing.T) {
			t.Parallel()
			at.run(t, bin)
		})
	}
}

func (m moment) run(t *testing.T, bin string) {
	c := newCluster(t)
	key := "killed at " + m.name
	id := holdfast.IdempotentWebhookID(key)
	victim := newVictim(t, c, bin, m, id)
	victim.arm()
	input := &holdfastv1.RegisterWebhookRequest{
		Webhook:        &holdfastv1.WebhookInput{Url: testkit.NewReceiver(t).URL(), EventTypes: []string{"complete_job"}},
		IdempotencyKey: key, Wait: durationpb.New(patience),
	}
	_, err := victim.webhooks.RegisterWebhook(t.Context(), input)
	require.Error(t, err, "the node died before it could answer")
	<-victim.dead

	survivor := c.node()
	got := survivor.awaitRegistration(t, id, confirmed)
	require.Equal(t, int64(1), int64(c.emprops.Writes(id)), "effective writes at EMPROPS")
	require.Equal(t, int32(1), got.GetCachesConfirmed())
	w, active, err := c.store().ReadWebhook(t.Context(), id)
	require.NoError(t, err)
	require.True(t, active)
	require.Equal(t, got.GetRevision(), w.Revision)
	require.Equal(t, []string{id}, webhookIDs(survivor.publish(t, "complete_job", `{"job_id":"j"}`)))

	again, err := survivor.webhooks.RegisterWebhook(t.Context(), input)
	require.NoError(t, err, "the caller repeats what got no answer")
	require.Equal(t, id, again.GetWebhook().GetId())
	require.Equal(t, 1, c.emprops.Writes(id))
}

func webhookIDs(p *holdfastv1.PublishEventResponse) []string {
	var ids []string
	for _, d := range p.GetDeliveries() {
		ids = append(ids, d.GetWebhookId())
	}
	return ids
}
