package app_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	holdfast "github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/redisstore"
	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
)

// load is a webhook, its receiver, and the events that are published for it. Its receiver answers an event's requests by a
// plan, so that the end of each delivery is known beforehand.
type load struct {
	receiver  *testkit.Receiver
	eventType string
	delay     time.Duration // between two attempts
	key       string
	webhookID string
	answer    func(event int) (statuses []int)

	ids []string // of the events, in order; only the test's own goroutine adds

	mu           sync.Mutex     // of what follows, and of ids where another goroutine reads them
	requests     map[string]int // by event id
	hang         chan struct{}  // closed when a receiver that hangs answers again; nil when it does not hang
	hung         int
	acknowledged map[string]bool
	refusals     int
	duplicates   int // answers that the event was known already
}

// loadAttempts is how many attempts each delivery of a load has.
const loadAttempts = 3

func newLoad(t *testing.T, answer func(int) []int) *load {
	t.Helper()
	return newLoadOf(t, "complete_job", time.Second, answer)
}

// newLoadOf is newLoad for a test with several loads, each of a type of events of its own.
func newLoadOf(t *testing.T, eventType string, delay time.Duration, answer func(int) []int) *load {
	t.Helper()
	key := t.Name() + " " + eventType
	l := &load{
		receiver: testkit.NewReceiver(t), eventType: eventType, delay: delay, key: key, webhookID: holdfast.IdempotentWebhookID(key), answer: answer,
		requests: map[string]int{}, acknowledged: map[string]bool{},
	}
	l.receiver.Respond(func(_ int, r *http.Request) (int, http.Header, string) {
		id := r.Header.Get("X-Event-Id")
		l.mu.Lock()
		l.requests[id]++
		n, hang := l.requests[id], l.hang
		if hang != nil {
			l.hung++
		}
		l.mu.Unlock()
		if hang != nil {
			select {
			case <-hang:
			case <-r.Context().Done():
			}
		}
		statuses := l.plan(id)
		return statuses[min(n, len(statuses))-1], nil, ""
	})
	return l
}

func (l *load) plan(id string) []int {
	number, err := strconv.Atoi(id[strings.LastIndexByte(id, '-')+1:])
	if err != nil {
		return []int{http.StatusBadRequest}
	}
	return l.answer(number)
}

// end is the state in which an event's delivery is to end.
func (l *load) end(id string) holdfastv1.DeliveryState {
	if plan := l.plan(id); plan[len(plan)-1] != http.StatusOK {
		return exhausted
	}
	return delivered
}

// register registers the webhook, which stays connected whatever fails.
func (l *load) register(t *testing.T, webhooks holdfastv1connect.WebhookServiceClient) {
	t.Helper()
	static := true
	got, err := webhooks.RegisterWebhook(t.Context(), &holdfastv1.RegisterWebhookRequest{
		Webhook: &holdfastv1.WebhookInput{
			Url: l.receiver.URL(), EventTypes: []string{l.eventType}, Static: &static,
			RetryPolicy: retries(loadAttempts, l.delay),
		},
		IdempotencyKey: l.key, Wait: durationpb.New(patience),
	})
	require.NoError(t, err)
	require.Equal(t, confirmed, got.GetRegistration().GetStatus(), "%v", got.GetRegistration())
	require.Equal(t, l.webhookID, got.GetWebhook().GetId())
}

// setActive pauses the webhook, or goes on with it.
func (l *load) setActive(t *testing.T, n *testNode, active bool) {
	t.Helper()
	got, err := n.webhooks.UpdateWebhook(t.Context(), &holdfastv1.UpdateWebhookRequest{
		Id: l.webhookID, Webhook: &holdfastv1.WebhookInput{Active: &active},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"active"}}, Wait: durationpb.New(patience),
	})
	require.NoError(t, err)
	require.Equal(t, confirmed, got.GetRegistration().GetStatus())
}

// add makes the id of another event.
func (l *load) add() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	id := fmt.Sprintf("%s-%d", l.eventType, len(l.ids))
	l.ids = append(l.ids, id)
	return id
}

// publish publishes an event and tells whether it was acknowledged.
func (l *load) publish(t *testing.T, events holdfastv1connect.EventServiceClient, id string, patience time.Duration) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	got, err := events.PublishEvent(ctx, &holdfastv1.PublishEventRequest{
		Event: &holdfastv1.Event{Id: id, Type: l.eventType, DataJson: []byte(`{"job_id":"` + id + `"}`)},
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.refusals++
		return false
	}
	if len(got.GetDeliveries()) != 1 {
		t.Errorf("%s: acknowledged for %d webhooks", id, len(got.GetDeliveries()))
	}
	if got.GetDuplicate() {
		l.duplicates++
	}
	l.acknowledged[id] = true
	return true
}

// publishDuring publishes twenty events a second, fewer if they would become more than 400, from before something goes
// away until after it has come back. Who is refused publishes again, under the same id.
func (l *load) publishDuring(t *testing.T, events holdfastv1connect.EventServiceClient, away, back func()) {
	t.Helper()
	const margin = time.Second
	tick := time.NewTicker(max(50*time.Millisecond, (2*margin+*outage)/400))
	defer tick.Stop()
	// Each begins when the one before is over, however long that took: two that are due at once would come in any order.
	leaves := time.After(margin)
	var returns, ends <-chan time.Time
	var publishing sync.WaitGroup
	for over := false; !over; {
		select {
		case <-leaves:
			away()
			returns = time.After(*outage)
		case <-returns:
			back()
			ends = time.After(margin)
		case <-ends:
			over = true
		case <-tick.C:
			id, deadline := l.add(), time.Now().Add(*outage+patience)
			publishing.Go(func() {
				for !l.publish(t, events, id, 10*time.Second) && time.Now().Before(deadline) {
					<-time.After(100 * time.Millisecond)
				}
			})
		}
	}
	publishing.Wait()
}

// setHang makes the receiver hang, or answer again.
func (l *load) setHang(hang bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case hang:
		l.hang = make(chan struct{})
	case l.hang != nil:
		close(l.hang)
		l.hang = nil
	}
}

// hanging is how many requests have come since the receiver hangs.
func (l *load) hanging() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.hung
}

// arrived is how many of the events the receiver has got.
func (l *load) arrived(ids []string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, id := range ids {
		if l.requests[id] > 0 {
			n++
		}
	}
	return n
}

func (l *load) acknowledgedCount() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.acknowledged)
}

func (l *load) unacknowledged() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []string
	for _, id := range l.ids {
		if !l.acknowledged[id] {
			ids = append(ids, id)
		}
	}
	return ids
}

// unrecorded is how many requests the receiver has got of which no record tells.
func (l *load) unrecorded(ctx context.Context, store *redisstore.Store) (int, error) {
	l.mu.Lock()
	ids := slices.Clone(l.ids)
	l.mu.Unlock()
	received, recorded := len(l.receiver.Requests()), 0
	for _, id := range ids {
		d, err := store.Delivery(ctx, l.webhookID, id)
		if holdfast.ErrorCode(err) == holdfast.CodeNotFound {
			continue
		}
		if err != nil {
			return 0, err
		}
		recorded += len(d.Attempts)
	}
	return max(0, received-recorded), nil
}

// requireExact waits for the end of every delivery and requires that nothing acknowledged is lost, that no more than the
// given number of attempts were made twice, and that the records and the statistics agree to the last attempt.
func (l *load) requireExact(t *testing.T, c *cluster, n *testNode, twice int) {
	t.Helper()
	require.Equal(t, len(l.ids), l.acknowledgedCount(), "every event is acknowledged in the end")
	var attempts, successes, deliveredN, exhaustedN int64
	for _, id := range l.ids {
		n.awaitDelivery(t, holdfast.DeliveryID(l.webhookID, id), l.end(id))
	}
	requireNoneOpen(t, c) // what was known of a delivery only to its workflow is recorded
	for _, id := range l.ids {
		want := l.end(id)
		made := n.awaitDelivery(t, holdfast.DeliveryID(l.webhookID, id), want).GetAttempts()
		require.NotEmpty(t, made, "%s", id)
		attempts += int64(len(made))
		for i, a := range made {
			require.EqualValues(t, i+1, a.GetNumber(), "%s", id)
		}
		last := made[len(made)-1].GetResponseStatus()
		if want == delivered {
			deliveredN++
			successes++
			require.EqualValues(t, http.StatusOK, last, "%s", id)
		} else {
			exhaustedN++
			require.Len(t, made, loadAttempts, "%s", id)
		}
	}
	stats, err := c.store().Stats(t.Context(), l.webhookID)
	require.NoError(t, err)
	received := int64(len(l.receiver.Requests()))
	lost := len(l.ids) - l.arrived(l.ids)
	t.Logf("%d events acknowledged, %d lost; %d answers without success, %d of an event known already",
		l.acknowledgedCount(), lost, l.refusals, l.duplicates)
	t.Logf("%d requests received, %d attempts recorded: %d made twice, at most %d may be", received, attempts, received-attempts, twice)
	t.Logf("statistics: %d attempts = %d + %d; %d delivered + %d exhausted = %d deliveries",
		stats.TotalDeliveries, stats.SuccessfulDeliveries, stats.FailedDeliveries, stats.Delivered, stats.Exhausted, len(l.ids))
	require.Zero(t, lost, "acknowledged events lost")
	require.GreaterOrEqual(t, received, attempts)
	require.LessOrEqual(t, received-attempts, int64(twice), "attempts made twice")
	require.Equal(t, []int64{attempts, successes, attempts - successes, deliveredN, exhaustedN, 0, 0}, []int64{
		stats.TotalDeliveries, stats.SuccessfulDeliveries, stats.FailedDeliveries, stats.Delivered, stats.Exhausted, stats.Cancelled, stats.Held,
	})
}
