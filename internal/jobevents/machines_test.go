package jobevents_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/jobevents"
)

// machineSays is a machine's message of a kind, with the phase and health of its service, at a time.
func machineSays(kind, phase, health string, at int) string {
	return fmt.Sprintf(`{"machine_id":"m1","timestamp":%d,"update_type":%q,"status":{"machine":{"phase":%q,"uptime_ms":%d},"workers":{"w1":{}},"services":{"w1.comfyui":{"service_type":"comfyui","health":%q}}}}`,
		1757066400000+at*1000, kind, phase, at*1000, health)
}

// Of what a machine sends, each 10 s and at each event of a worker, an event is only what says something new, for every
// replica the same; neither a replica that starts later nor one that was away repeats or misses anything.
func TestD20_AMachineIsHeardWhenSomethingChanges(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	first, second, third := &sink{}, &sink{}, &sink{}
	one := subscribe(t, b, first, jobevents.Options{Workers: 1}) // so that events are listed in order
	received := int64(0)
	say := func(messages ...string) {
		for _, m := range messages {
			b.publish(t, "machine:status:m1", m)
			received++
		}
		eventually(t, func() bool { return one.Stats().Received == received && settled(one.Stats()) })
	}
	say(
		machineSays("periodic", "starting", "unknown", 0), // the first word
		machineSays("periodic", "starting", "unknown", 10),
		machineSays("machine_ready", "ready", "healthy", 15),
		machineSays("periodic", "ready", "healthy", 20),
	)
	require.Len(t, first.events(), 2)
	two := subscribe(t, b, second, jobevents.Options{Workers: 1})
	say(
		machineSays("periodic", "ready", "healthy", 30), // known, also to who did not hear it
		machineSays("event_driven", "ready", "unhealthy", 31),
		machineSays("periodic", "ready", "unhealthy", 40),
	)
	eventually(t, func() bool { return two.Stats().Received == 3 && settled(two.Stats()) })
	require.Len(t, first.events(), 3)
	require.NoError(t, stop(t, two, patience))
	say(
		machineSays("periodic", "ready", "healthy", 50),
		machineSays("machine_ready", "ready", "healthy", 55), // a start is news in itself
	)
	three := subscribe(t, b, third, jobevents.Options{Workers: 1})
	say(
		machineSays("periodic", "ready", "healthy", 60),
		machineSays("shutdown", "ready", "healthy", 61),
		machineSays("periodic", "ready", "healthy", 62),
	)
	eventually(t, func() bool { return three.Stats().Received == 3 && settled(three.Stats()) })

	var told [][2]string
	ids := map[string]bool{}
	for _, e := range first.events() {
		require.Equal(t, "machine_status", e.Type)
		data := members(t, e)
		told = append(told, [2]string{data["update_type"].(string), data["health"].(string)})
		ids[e.ID] = true
	}
	require.Equal(t, [][2]string{
		{"periodic", "unknown"}, {"machine_ready", "healthy"}, {"event_driven", "unhealthy"}, {"periodic", "healthy"},
		{"machine_ready", "healthy"}, {"shutdown", "healthy"},
	}, told)
	require.Len(t, ids, 6)
	require.Equal(t, idsOf(first)[2:3], idsOf(second))
	require.Equal(t, idsOf(first)[5:], idsOf(third))
	require.Equal(t, jobevents.Stats{Received: 12, Processed: 6, Skipped: 6}, one.Stats())
}

func idsOf(p *sink) []string { return ids(p.events()) }

func TestD20_AMachinesEventIsNamedByWhatItSaysAndWhen(t *testing.T) {
	t.Parallel()
	id := func(message string) string {
		e, ok, err := jobevents.Map("machine:status:m1", []byte(message), time.UnixMilli(1))
		require.NoError(t, err)
		require.True(t, ok)
		return e.ID
	}
	a := machineSays("periodic", "ready", "healthy", 1)
	require.Equal(t, id(a), id(a[:len(a)-1]+`,"structure":{"gpu_count":2}}`), "what is not sent makes no difference")
	require.NotEqual(t, id(a), id(machineSays("periodic", "ready", "healthy", 2)))
	require.NotEqual(t, id(a), id(machineSays("periodic", "ready", "unhealthy", 1)))
}

// Workers hand over side by side: a heartbeat may come before the message of the change that it follows.
func TestD20_AHeartbeatIsNeverTakenForTheChangeBeforeIt(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	p := &sink{}
	s := subscribe(t, b, p, jobevents.Options{})
	const n = 50
	for i := range n {
		b.publish(t, "machine:status:m", fmt.Sprintf(`{"machine_id":"m%d","timestamp":%d,"update_type":"machine_ready"}`, i, 1757066400000))
		b.publish(t, "machine:status:m", fmt.Sprintf(`{"machine_id":"m%d","timestamp":%d,"update_type":"periodic","status":{"machine":{"phase":"ready"}}}`, i, 1757066400001))
	}
	eventually(t, func() bool { return s.Stats() == jobevents.Stats{Received: 2 * n, Processed: n, Skipped: n} })
}
