package app_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// Whatever name a publisher gives a job's type, the filter for it works, as do those for machines and workers: on every
// channel, for what the broker really says. A message that does not tell passes.
func TestD27_FiltersApplyToWhateverTheBrokerTells(t *testing.T) {
	t.Parallel()
	c := newCluster(t)
	n := c.node()
	typeField := map[string]string{ // how the publishers of each channel spell it (CONTRACT 2.3 to 2.12); "" where none tells
		"job_submitted": "service_required", "update_job_progress": "job_type", "complete_job": "service_required",
		"job_failed": "service_type", "workflow_submitted": "service_required", "workflow_completed": "", "workflow_failed": "",
	}
	channels := slices.Sorted(maps.Keys(typeField))
	all := testkit.NewReceiver(t)
	n.register(t, all.URL(), channels...)
	type filtered struct {
		receiver *testkit.Receiver
		passes   func(channel, variant string) bool
	}
	filters := map[string]filtered{}
	add := func(name string, f *holdfastv1.Filters, passes func(channel, variant string) bool) {
		r := testkit.NewReceiver(t)
		n.registerInput(t, &holdfastv1.WebhookInput{Url: r.URL(), EventTypes: channels, Filters: f})
		filters[name] = filtered{r, passes}
	}
	job := func(channel string) bool { return channel[:4] != "work" } // events of workflows carry no machine
	add("job types", &holdfastv1.Filters{JobTypes: []string{"comfyui"}}, func(channel, variant string) bool {
		return variant != "other" || typeField[channel] == ""
	})
	add("machines", &holdfastv1.Filters{MachineIds: []string{"m1"}}, func(channel, variant string) bool {
		return variant != "other" || !job(channel)
	})
	add("workers", &holdfastv1.Filters{WorkerIds: []string{"w1"}}, func(channel, variant string) bool {
		return variant != "other" || !job(channel) && channel != "workflow_failed"
	})

	redis := testkit.RedisClient(t, c.redis)
	want := map[string]map[string]bool{}
	for i, channel := range channels {
		for k, variant := range []string{"ours", "other", "silent"} {
			name := channel + "/" + variant
			message := map[string]any{
				"job_id": name, "workflow_id": name, "error": "e", "progress": 5, "timestamp": 1757066400000 + i*10 + k,
			}
			tell := func(field string, ours, other any) {
				if field != "" && variant != "silent" {
					message[field] = map[string]any{"ours": ours, "other": other}[variant]
				}
			}
			tell(typeField[channel], "comfyui", "simulation")
			tell("machine_id", "m1", "m2")
			tell("worker_id", "w1", "w2")
			encoded, err := json.Marshal(message)
			require.NoError(t, err)
			heard, err := redis.Publish(t.Context(), channel, encoded).Result()
			require.NoError(t, err)
			require.EqualValues(t, 1, heard)
			for by, f := range filters {
				if f.passes(channel, variant) {
					if want[by] == nil {
						want[by] = map[string]bool{}
					}
					want[by][fmt.Sprintf("%s %s", channel, variant)] = true
				}
			}
		}
	}
	arrived(t, all, 3*len(channels)) // all have been matched then, and are open until they have ended
	requireNoneOpen(t, c)
	for by, f := range filters {
		arrived(t, f.receiver, len(want[by]))
		got := map[string]bool{}
		for _, r := range f.receiver.Requests() {
			var body struct {
				Timestamp int64 `json:"timestamp"`
			}
			require.NoError(t, json.Unmarshal(r.Body, &body))
			at := body.Timestamp - 1757066400000
			got[channels[at/10]+" "+[]string{"ours", "other", "silent"}[at%10]] = true
		}
		require.Equal(t, want[by], got, by)
		require.Len(t, f.receiver.Requests(), len(got), "%s: each once", by)
	}
}
