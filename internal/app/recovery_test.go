package app_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/emprops/standin"
	"github.com/emprops/holdfast/internal/testkit"
)

// The broker attests the outcome of a workflow first and tells of it afterwards, or never: when EMPROPS is down, or when it
// was restarted itself. Each is delivered once all the same, whichever of two nodes finds it.
func TestD65_D66_OutcomesThatNobodyWasToldOfAreDelivered(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	often := func(cfg *config.Config) { cfg.Ingress.RecoveryInterval = 100 * time.Millisecond }
	nodes := []*testNode{c.node(often), c.node(often)}
	receiver := testkit.NewReceiver(t)
	id := nodes[0].register(t, receiver.URL(), "workflow_completed", "workflow_failed").GetWebhook().GetId()
	redis := testkit.RedisClient(t, c.redis)
	before := time.Now().Add(-5 * time.Minute).UTC().Format(time.RFC3339Nano)

	// One that the broker told of: its attestation is nothing new.
	told := `{"id":"told","status":"completed","completed_at":"2026-11-29T10:00:00.000Z","data":{"outputs":[1]}}`
	c.setJob(t, "told", told)
	c.say(t, 2, "workflow_completed", `{"workflow_id":"told","status":"completed","completed_at":"2026-11-29T10:00:00.000Z",`+
		`"outputs_available":true,"timestamp":1795946400000}`)
	arrived(t, receiver, 1)

	c.setJob(t, "missed", `{"id":"missed","name":"n","status":"completed","completed_at":"2026-11-29T10:01:00.000Z","data":{"outputs":[{"id":"o"}]}}`)
	require.NoError(t, c.emprops.SetFaults(standin.Faults{Down: true}))
	asked := len(c.askedOfEMPROPS())
	for _, workflow := range []string{"told", "missed"} {
		require.NoError(t, redis.Set(t.Context(), "api:workflow:completion:"+workflow,
			fmt.Sprintf(`{"workflow_id":%q,"attestation_created_at":%q}`, workflow, before), 0).Err())
	}
	awaitTrue(t, "EMPROPS to be asked while it is down", func() bool { return len(c.askedOfEMPROPS()) >= asked+4 })
	require.Len(t, receiver.Requests(), 1)
	require.NoError(t, c.emprops.SetFaults(standin.Faults{}))
	data := dataOf(t, arrived(t, receiver, 2)[1])
	require.Equal(t, "missed", data["workflow_id"])
	require.Equal(t, true, data["recovered"])
	require.Equal(t, []any{map[string]any{"id": "o"}}, data["outputs"], "like one that was told of")

	require.NoError(t, redis.Set(t.Context(), "workflow:failure:lost:permanent",
		fmt.Sprintf(`{"workflow_id":"lost","job_id":"j","error":"x","failed_at":%q}`, before), 0).Err())
	data = dataOf(t, arrived(t, receiver, 3)[2])
	require.Equal(t, "lost", data["workflow_id"])
	require.Equal(t, "j", data["failed_job_id"])
	stats := c.stats(c.store(), id, 3)
	requireNoneOpen(t, c)
	require.EqualValues(t, 3, stats.Delivered)
	require.Len(t, receiver.Requests(), 3)
}
