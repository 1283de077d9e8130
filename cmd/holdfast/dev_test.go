package main_test

import (
	"fmt"
	"net"
	"net/http"
	"regexp"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// A first start serves and ends cleanly on Ctrl-C; a second one in the same directory finds what was registered.
func TestDevStartsStopsAndRemembers(t *testing.T) {
	t.Parallel()
	d := newDev(t)
	d.start()
	require.Equal(t, http.StatusOK, d.status("/livez"))
	require.Equal(t, http.StatusOK, d.status("/readyz"))
	receiver := testkit.NewReceiver(t)
	id := d.register(receiver.URL())
	d.interrupt()

	d.start()
	listed, err := d.webhooks.ListWebhooks(t.Context(), &holdfastv1.ListWebhooksRequest{})
	require.NoError(t, err)
	require.Len(t, listed.GetWebhooks(), 1)
	require.Equal(t, id, listed.GetWebhooks()[0].GetId())
	require.NoError(t, d.publish("after-restart"))
	require.Equal(t, "after-restart", receiver.Wait(1)[0].Header.Get("X-Event-Id"))
	registration, err := d.webhooks.GetRegistration(t.Context(), &holdfastv1.GetRegistrationRequest{WebhookId: id})
	require.NoError(t, err)
	require.Len(t, registration.GetRegistration().GetSteps(), 6)
	d.interrupt()
}

// With the receiver down, 200 events are acknowledged; everything is killed; after the restart all 200 arrive under their
// ids. Only an attempt that was in flight at the kill may arrive twice, and here none gets through before it.
func TestG3_D23_KillNineLosesNothing(t *testing.T) {
	t.Parallel()
	const events = 200
	d := newDev(t)
	quickly := []string{"--retry-max-attempts", "100", "--retry-max-delay", "1s"}
	d.start(quickly...)
	receiver := testkit.NewReceiver(t)
	d.register(receiver.URL())
	receiver.Close()
	var publishers sync.WaitGroup
	failed := make(chan error, events)
	for p := range 8 {
		publishers.Go(func() {
			for i := p; i < events; i += 8 {
				if err := d.publish(fmt.Sprintf("evt-%d", i)); err != nil {
					failed <- err
				}
			}
		})
	}
	publishers.Wait()
	require.Empty(t, failed)
	d.process.Kill()
	testkit.Await(t, "Redis to die with it", func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", d.ports.redis))
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})

	receiver.Reopen()
	restarted := time.Now()
	d.start(quickly...)
	arrived := map[string]int{}
	// Attempts that were under way at the kill are given up only when their heartbeats or workflow tasks time out.
	defer d.explain(events, arrived)
	require.Eventually(t, func() bool {
		clear(arrived)
		for _, r := range receiver.Requests() {
			arrived[r.Header.Get("X-Event-Id")]++
		}
		return len(arrived) == events
	}, 40*time.Second, 20*time.Millisecond)
	for i := range events {
		require.Positive(t, arrived[fmt.Sprintf("evt-%d", i)], i)
	}
	d.interrupt()
	requests := len(receiver.Requests())
	t.Logf("%d of %d events arrived in %d requests within %s of the restart", len(arrived), events, requests, time.Since(restarted))
	require.Equal(t, events, requests, "no attempt in flight at the kill had reached the receiver, so none arrives twice")
}

// The demonstration registers with six proved steps, delivers real job events, and shows a durable retry after a 503.
func TestDevDemo(t *testing.T) {
	t.Parallel()
	d := newDev(t)
	d.process = testkit.Start(t, d.bin, d.args("--demo")...)
	d.process.WaitLine(regexp.MustCompile(`^registered +wh_\S+ +CONFIRMED`))
	d.process.WaitLine(regexp.MustCompile(`^attempt 1 +503 `))
	d.process.WaitLine(regexp.MustCompile(`^attempt 2 +200 `))
	d.process.WaitLine(regexp.MustCompile(`^summary +9 events published, 10 deliveries delivered with 1 retry, none lost, none twice`))
	count := func(expression string) (n int) {
		re := regexp.MustCompile(expression)
		for _, line := range d.process.Output() {
			if re.MatchString(line) {
				n++
			}
		}
		return n
	}
	require.Equal(t, 12, count(`^step +\S+ +done`), "%v", d.process.Output())
	require.Equal(t, 10, count(`^delivered `))
	d.interrupt()
}
