package main_test

import (
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/testkit"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
)

// devNode is a `holdfast dev` process: everything a node needs on free ports, with its data in dir.
type devNode struct {
	tb       testing.TB
	bin      string
	dir      string
	ports    struct{ api, temporal, ui, redis int }
	process  *testkit.Process
	webhooks holdfastv1connect.WebhookServiceClient
	events   holdfastv1connect.EventServiceClient
}

func newDev(tb testing.TB) *devNode {
	tb.Helper()
	d := &devNode{tb: tb, bin: testkit.Build(tb, "./cmd/holdfast"), dir: filepath.Join(tb.TempDir(), "data")}
	ports := freePorts(tb, 4)
	d.ports.api, d.ports.temporal, d.ports.ui, d.ports.redis = ports[0], ports[1], ports[2], ports[3]
	h := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 32}}
	d.webhooks = holdfastv1connect.NewWebhookServiceClient(h, d.base())
	d.events = holdfastv1connect.NewEventServiceClient(h, d.base())
	return d
}

func (d *devNode) base() string { return "http://127.0.0.1:" + strconv.Itoa(d.ports.api) }

func (d *devNode) args(more ...string) []string {
	return append([]string{
		"dev", "--data-dir", d.dir, "--listen", fmt.Sprintf("127.0.0.1:%d", d.ports.api),
		"--temporal-port", strconv.Itoa(d.ports.temporal), "--temporal-ui-port", strconv.Itoa(d.ports.ui),
		"--redis-port", strconv.Itoa(d.ports.redis),
	}, more...)
}

var ctrlC = regexp.MustCompile(`^Ctrl-C stops\.$`)

// start starts the process and waits until it says that it is ready.
func (d *devNode) start(more ...string) *testkit.Process {
	d.tb.Helper()
	d.process = testkit.Start(d.tb, d.bin, d.args(more...)...)
	d.process.WaitLine(ctrlC)
	return d.process
}

// interrupt stops the process as Ctrl-C does and requires a clean end in time.
func (d *devNode) interrupt() {
	d.tb.Helper()
	began := time.Now()
	d.process.Interrupt()
	require.Equal(d.tb, 0, d.process.Wait(), "%v", d.process.Output())
	require.Less(d.tb, time.Since(began), 20*time.Second)
}

func (d *devNode) register(url string) string {
	d.tb.Helper()
	got, err := d.webhooks.RegisterWebhook(d.tb.Context(), &holdfastv1.RegisterWebhookRequest{
		Webhook: &holdfastv1.WebhookInput{Url: url, EventTypes: []string{"complete_job"}},
	})
	require.NoError(d.tb, err)
	require.Equal(d.tb, holdfastv1.RegistrationStatus_REGISTRATION_STATUS_CONFIRMED, got.GetRegistration().GetStatus())
	return got.GetWebhook().GetId()
}

func (d *devNode) publish(id string) error {
	_, err := d.events.PublishEvent(d.tb.Context(), &holdfastv1.PublishEventRequest{
		Event: &holdfastv1.Event{Id: id, Type: "complete_job", DataJson: []byte(`{"job_id":"` + id + `"}`)},
	})
	return err
}

// explain says of a failed test where the first events that did not arrive stand.
func (d *devNode) explain(events int, arrived map[string]int) {
	if !d.tb.Failed() {
		return
	}
	d.tb.Logf("%d of %d events arrived", len(arrived), events)
	listed, err := d.webhooks.ListWebhooks(d.tb.Context(), &holdfastv1.ListWebhooksRequest{})
	d.tb.Log(listed, err)
	shown := 0
	for i := range events {
		id := fmt.Sprintf("evt-%d", i)
		if arrived[id] > 0 || shown == 5 || len(listed.GetWebhooks()) == 0 {
			continue
		}
		shown++
		got, err := holdfastv1connect.NewDeliveryServiceClient(http.DefaultClient, d.base()).GetDelivery(d.tb.Context(),
			&holdfastv1.GetDeliveryRequest{Id: listed.GetWebhooks()[0].GetId() + "/" + id})
		d.tb.Log(got, err)
	}
}

func (d *devNode) status(path string) int {
	req, err := http.NewRequestWithContext(d.tb.Context(), http.MethodGet, d.base()+path, nil)
	require.NoError(d.tb, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(d.tb, err)
	require.NoError(d.tb, res.Body.Close())
	return res.StatusCode
}

// freePorts returns n free ports, all different: each is held until the last is found.
func freePorts(tb testing.TB, n int) []int {
	tb.Helper()
	ports := make([]int, n)
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(tb, err)
		defer func() { _ = l.Close() }()
		ports[i] = l.Addr().(*net.TCPAddr).Port
	}
	return ports
}
