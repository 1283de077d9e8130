package jobevents_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/jobevents"
	"github.com/emprops/holdfast/internal/redisstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 20 * time.Second

// broker is a redis-server of the test's own.
type broker struct {
	port   int
	cmd    *exec.Cmd
	client *redis.Client
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

func startBroker(t *testing.T) *broker {
	t.Helper()
	b := &broker{port: freePort(t)}
	b.client = b.dial(t)
	b.run(t)
	t.Cleanup(b.kill)
	return b
}

func (b *broker) run(t *testing.T) {
	t.Helper()
	b.cmd = exec.Command("redis-server", "--port", strconv.Itoa(b.port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
	b.cmd.Dir = os.TempDir()
	require.NoError(t, b.cmd.Start())
	require.Eventually(t, func() bool { return b.client.Ping(t.Context()).Err() == nil }, patience, 5*time.Millisecond)
}

func (b *broker) kill() {
	_ = b.cmd.Process.Kill()
	_ = b.cmd.Wait()
}

func (b *broker) dial(t *testing.T) *redis.Client {
	t.Helper()
	c := redis.NewClient(&redis.Options{Addr: "127.0.0.1:" + strconv.Itoa(b.port), DialTimeout: time.Second, MaxRetries: -1})
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return c
}

func (b *broker) publish(t *testing.T, channel, message string) {
	t.Helper()
	require.NoError(t, b.client.Publish(t.Context(), channel, message).Err())
}

// sink is a publisher that remembers what it took and fails as told.
type sink struct {
	mu   sync.Mutex
	took []*holdfast.Event
	fail func(call int, e *holdfast.Event) error
	call int
}

func (s *sink) PublishMessage(_ context.Context, e *holdfast.Event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.call++
	if s.fail != nil {
		if err := s.fail(s.call, e); err != nil {
			return err
		}
	}
	s.took = append(s.took, e)
	return nil
}

func (s *sink) events() []*holdfast.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]*holdfast.Event{}, s.took...)
}

func (s *sink) failWith(f func(call int, e *holdfast.Event) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = f
}

func newSubscriber(t *testing.T, b *broker, p jobevents.Publisher, options jobevents.Options) *jobevents.Subscriber {
	t.Helper()
	client := b.dial(t)
	store := redisstore.New(client, redisstore.Options{})
	return jobevents.New(client, p, store, store, options)
}

func subscribe(t *testing.T, b *broker, p jobevents.Publisher, options jobevents.Options) *jobevents.Subscriber {
	t.Helper()
	s := newSubscriber(t, b, p, options)
	require.NoError(t, s.Start(t.Context()))
	t.Cleanup(func() { _ = stop(t, s, patience) })
	wait(t, s.Ready())
	require.NoError(t, s.Healthy())
	return s
}

// stop works in clean-ups too, where the test's context has ended.
func stop(t *testing.T, s *jobevents.Subscriber, within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), within)
	defer cancel()
	return s.Stop(ctx)
}

func wait(t *testing.T, c <-chan struct{}) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		require.Fail(t, "waited in vain")
	}
}

func eventually(t *testing.T, f func() bool) {
	t.Helper()
	require.Eventually(t, f, patience, 2*time.Millisecond)
}

func settled(s jobevents.Stats) bool { return s.Received == s.Processed+s.Skipped+s.Failed }

func TestD22_TwoReplicasDeriveTheSameEvents(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	sinks := []*sink{{}, {}}
	for _, s := range sinks {
		subscribe(t, b, s, jobevents.Options{})
	}
	want := 0
	for _, tc := range mappings {
		switch {
		case tc.channel == "update_job_progress", strings.HasPrefix(tc.channel, "machine:"): // what passes depends on the others
			continue
		case tc.channel != "job_failed" || tc.name != "base worker, no time": // a part of the one before
			want++
		}
		b.publish(t, tc.channel, tc.message)
	}
	byID := func(s *sink) map[string]string {
		m := map[string]string{}
		for _, e := range s.events() {
			m[e.ID] = e.Type
		}
		return m
	}
	for _, s := range sinks {
		eventually(t, func() bool { return len(s.events()) == want })
	}
	require.Len(t, byID(sinks[0]), want)
	require.Equal(t, byID(sinks[0]), byID(sinks[1]))
}

func TestD13_FinalProgressArrivesThroughTheBroker(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	p := &sink{}
	s := subscribe(t, b, p, jobevents.Options{ProgressInterval: 300 * time.Millisecond})
	for n := 10; n <= 100; n += 10 {
		b.publish(t, "update_job_progress", fmt.Sprintf(`{"job_id":"j","progress":%d,"timestamp":%d}`, n, 1757066400000+n))
	}
	b.publish(t, "update_job_progress", `{"progress":7}`)
	b.publish(t, "update_job_progress", `{"progress":8}`)
	eventually(t, func() bool { return s.Stats().Received == 12 && settled(s.Stats()) })
	got := map[string]int{}
	for _, e := range p.events() {
		got[string(e.Data)]++
	}
	require.Equal(t, 1, got[`{"job_id":"j","progress":10}`])
	require.Equal(t, 1, got[`{"job_id":"j","progress":100}`])
	require.Equal(t, 1, got[`{"progress":7}`], "without a job there is nothing to throttle by")
	require.Equal(t, 1, got[`{"progress":8}`])
	require.Equal(t, jobevents.Stats{Received: 12, Processed: int64(len(p.events())), Skipped: 12 - int64(len(p.events()))}, s.Stats())
}

func TestD16_D41_EveryMessageIsCountedOnce(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	p := &sink{fail: func(_ int, e *holdfast.Event) error {
		if e.Type == "workflow_failed" {
			return holdfast.Errorf(holdfast.CodeInvalid, "too large")
		}
		return nil
	}}
	s := subscribe(t, b, p, jobevents.Options{})
	for _, message := range []string{`null`, `[1]`, `"str"`, `nope`} {
		b.publish(t, "job_submitted", message)
	}
	b.publish(t, "job_submitted", `{"job_id":"j"}`)
	b.publish(t, "workflow_failed", `{"workflow_id":"wf"}`)
	b.publish(t, "cancel_job", `{"job_id":"j"}`)
	b.publish(t, "worker_status", `{"worker_id":"w"}`)
	for at := range 3 { // all the same but for the first
		b.publish(t, "machine:status:m1", fmt.Sprintf(`{"machine_id":"m1","timestamp":%d}`, 1757066400000+at))
	}
	b.publish(t, "job_failed", `{"job_id":"j","error":"e","service_type":"s"}`) // two parts of one
	b.publish(t, "job_failed", `{"job_id":"j","error":"e","failed_at":"2025-09-05T10:00:03.000Z"}`)
	b.publish(t, "complete_job", `{"job_id":"j","retry_verification":true}`)
	b.publish(t, "somebody_elses", `{}`)
	eventually(t, func() bool { return s.Stats() == jobevents.Stats{Received: 14, Processed: 5, Skipped: 4, Failed: 5} })
	require.Len(t, p.events(), 5)
}

func TestAnEventThatCannotBeTakenYetIsTriedAgain(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	codes := []holdfast.Code{holdfast.CodeUnavailable, holdfast.CodeExhausted, holdfast.CodeAborted}
	p := &sink{fail: func(call int, _ *holdfast.Event) error {
		if call <= len(codes) {
			return holdfast.Errorf(codes[call-1], "not yet")
		}
		return nil
	}}
	s := subscribe(t, b, p, jobevents.Options{Workers: 1})
	b.publish(t, "job_submitted", `{"job_id":"a"}`)
	b.publish(t, "job_submitted", `{"job_id":"b"}`)
	eventually(t, func() bool { return s.Stats() == jobevents.Stats{Received: 2, Processed: 2} })
	require.Len(t, p.events(), 2)
}

func TestAFullQueueLosesNothing(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	unavailable := func(int, *holdfast.Event) error { return holdfast.Errorf(holdfast.CodeUnavailable, "down") }
	p := &sink{fail: unavailable}
	s := subscribe(t, b, p, jobevents.Options{Workers: 2, QueueLen: 4, QueueBytes: 2000})
	const n = 200
	for i := range n {
		b.publish(t, "job_submitted", fmt.Sprintf(`{"job_id":"j%d"}`, i))
	}
	eventually(t, func() bool { return s.Healthy() != nil })
	require.Equal(t, holdfast.CodeExhausted, holdfast.ErrorCode(s.Healthy()))
	require.Less(t, s.Stats().Received, int64(n), "the connection waits instead of memory growing")
	p.failWith(nil)
	eventually(t, func() bool { return s.Stats() == jobevents.Stats{Received: n, Processed: n} })
	require.NoError(t, s.Healthy())

	b.publish(t, "job_submitted", fmt.Sprintf(`{"payload":"%05000d"}`, 0))
	eventually(t, func() bool { return s.Stats().Processed == n+1 })
}

func TestSubscriptionSurvivesRedis(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	p := &sink{}
	s := subscribe(t, b, p, jobevents.Options{Heartbeat: 200 * time.Millisecond})
	b.publish(t, "job_submitted", `{"job_id":"a"}`)
	eventually(t, func() bool { return len(p.events()) == 1 })

	require.NoError(t, b.client.Do(t.Context(), "CLIENT", "KILL", "TYPE", "pubsub").Err())
	eventually(t, func() bool {
		subscribers, err := b.client.PubSubNumSub(t.Context(), "job_submitted").Result()
		return err == nil && subscribers["job_submitted"] == 1 && s.Healthy() == nil
	})
	b.publish(t, "job_submitted", `{"job_id":"b"}`)
	eventually(t, func() bool { return len(p.events()) == 2 })

	b.kill()
	eventually(t, func() bool { return holdfast.ErrorCode(s.Healthy()) == holdfast.CodeUnavailable })
	b.run(t)
	eventually(t, func() bool { return s.Healthy() == nil })
	b.publish(t, "job_submitted", `{"job_id":"c"}`)
	eventually(t, func() bool { return len(p.events()) == 3 })
}

func TestAnIdleSubscriptionKeepsItsConnection(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	s := subscribe(t, b, &sink{}, jobevents.Options{Heartbeat: 100 * time.Millisecond})
	info := func(section, pattern string) string {
		text, err := b.client.Do(t.Context(), "INFO", section).Text()
		require.NoError(t, err)
		return regexp.MustCompile(pattern).FindString(text)
	}
	// Only the heartbeat pings here once the broker is up; each change of the count is one of its probes.
	for range 4 {
		before := info("commandstats", `cmdstat_ping:calls=\d+`)
		eventually(t, func() bool { return info("commandstats", `cmdstat_ping:calls=\d+`) != before })
	}
	require.NoError(t, s.Healthy())
	require.Equal(t, "cmdstat_psubscribe:calls=1,", info("commandstats", `cmdstat_psubscribe:calls=\d+,`))
}

// A frozen server keeps its connections open and says nothing; only the heartbeat finds that out.
func TestASilentConnectionIsNoticed(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	p := &sink{}
	s := subscribe(t, b, p, jobevents.Options{Heartbeat: 200 * time.Millisecond})
	require.NoError(t, b.cmd.Process.Signal(stopSignal))
	eventually(t, func() bool { return holdfast.ErrorCode(s.Healthy()) == holdfast.CodeUnavailable })
	require.NoError(t, b.cmd.Process.Signal(contSignal))
	eventually(t, func() bool { return s.Healthy() == nil })
	b.publish(t, "job_submitted", `{"job_id":"a"}`)
	eventually(t, func() bool { return len(p.events()) == 1 })
}

func TestStartWithoutRedis(t *testing.T) {
	t.Parallel()
	b := &broker{port: freePort(t)}
	b.client = b.dial(t)
	p := &sink{}
	s := newSubscriber(t, b, p, jobevents.Options{})
	require.NoError(t, s.Start(t.Context()))
	require.Equal(t, holdfast.CodePrecondition, holdfast.ErrorCode(s.Start(t.Context())))
	require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(s.Healthy()))
	b.run(t)
	t.Cleanup(b.kill)
	wait(t, s.Ready())
	require.NoError(t, stop(t, s, patience))
	require.NoError(t, stop(t, s, patience), "stopping twice is fine")
	require.Error(t, s.Healthy())
	require.Error(t, s.Start(t.Context()), "it starts once")

	never := newSubscriber(t, b, p, jobevents.Options{})
	require.NoError(t, stop(t, never, patience))
}

func TestStopHandsOverWhatWasHeard(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	p := &sink{fail: func(int, *holdfast.Event) error { return holdfast.Errorf(holdfast.CodeUnavailable, "down") }}
	s := subscribe(t, b, p, jobevents.Options{Workers: 2, ProgressInterval: time.Hour})
	for i := range 20 {
		b.publish(t, "job_submitted", fmt.Sprintf(`{"job_id":"j%d"}`, i))
	}
	for n := range 3 {
		b.publish(t, "update_job_progress", fmt.Sprintf(`{"job_id":"j","progress":%d}`, n))
	}
	eventually(t, func() bool { return s.Stats().Received == 23 })
	done := make(chan error, 1)
	go func() { done <- stop(t, s, patience) }()
	eventually(t, func() bool { return s.Healthy() != nil })
	p.failWith(nil)
	require.NoError(t, <-done)
	require.Equal(t, jobevents.Stats{Received: 23, Processed: 22, Skipped: 1}, s.Stats())
	require.Contains(t, datas(p), `{"job_id":"j","progress":2}`, "progress that waited is handed over too")
}

func datas(p *sink) []string {
	var out []string
	for _, e := range p.events() {
		out = append(out, string(e.Data))
	}
	return out
}

func TestStopTellsWhatIsLeftOver(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	p := &sink{fail: func(int, *holdfast.Event) error { return holdfast.Errorf(holdfast.CodeUnavailable, "down") }}
	s := subscribe(t, b, p, jobevents.Options{Workers: 2, QueueLen: 3, ProgressInterval: time.Hour})
	for i := range 5 {
		b.publish(t, "job_submitted", fmt.Sprintf(`{"job_id":"j%d"}`, i))
	}
	for n := range 2 {
		b.publish(t, "update_job_progress", fmt.Sprintf(`{"job_id":"j","progress":%d}`, n))
	}
	eventually(t, func() bool { return s.Stats().Received >= 6 })
	err := stop(t, s, 50*time.Millisecond)
	require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err))
	require.Contains(t, err.Error(), "were not handed over")
	require.True(t, settled(s.Stats()), "%+v", s.Stats())
	require.Equal(t, s.Stats().Received, s.Stats().Failed)
}
