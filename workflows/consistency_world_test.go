package workflows_test

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/activity"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"go.uber.org/zap"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/workflows"
)

// checkedWorld is everything that a check compares, in memory. The check's real activities run on it.
type checkedWorld struct {
	mu sync.Mutex

	// Redis
	entries     map[string]stored
	active      map[string]bool
	orphans     map[string]bool // revisions without an entry
	digestWrong bool
	incarnation string
	complete    bool
	revision    int64

	registered map[string]string // webhook → configuration; the open registrations
	unindexed  map[string]bool   // those the index does not tell yet

	nodes    map[string]*node
	platform map[string]bool // webhooks that EMPROPS knows as they are
	mode     string          // off, best_effort or required

	alerts   map[string]holdfast.Alert
	notified []holdfast.Alert
	reports  []holdfast.ConsistencyReport

	fail     map[string]error // by method
	onCall   func(method string)
	calls    map[string]int
	attempts map[string]int // reconciliations by webhook
}

// stored is an entry of the registry.
type stored struct {
	config   string
	revision int64
	changed  bool // around the scripts
	unusable bool
	oldKey   bool
}

// node is a live node: its snapshot, and how it behaves.
type node struct {
	report  activities.NodeReport
	fixed   bool // a refresh does not help it
	stuck   bool // nor does a rebuild
	silent  bool
	gone    bool // lapses while it is waited for
	rebuilt int
}

// newCheckedWorld is consistent: n webhooks, known everywhere, two nodes.
func newCheckedWorld(n int) *checkedWorld {
	w := &checkedWorld{
		entries: map[string]stored{}, active: map[string]bool{}, orphans: map[string]bool{}, incarnation: "one", complete: true,
		registered: map[string]string{}, unindexed: map[string]bool{}, nodes: map[string]*node{"n1": {}, "n2": {}},
		platform: map[string]bool{}, mode: "required", alerts: map[string]holdfast.Alert{},
		fail: map[string]error{}, calls: map[string]int{}, attempts: map[string]int{},
	}
	for i := range n {
		id := webhookID(i)
		w.registered[id], w.platform[id] = "v1", true
		w.put(id, "v1")
	}
	return w
}

func webhookID(i int) string { return fmt.Sprintf("wh_%05d", i) }

// put is what the scripts do.
func (w *checkedWorld) put(id, config string) {
	w.revision++
	w.entries[id] = stored{config: config, revision: w.revision}
	w.active[id] = true
	delete(w.orphans, id)
}

// wipe is FLUSHALL.
func (w *checkedWorld) wipe() {
	w.entries, w.active, w.orphans = map[string]stored{}, map[string]bool{}, map[string]bool{}
	w.revision, w.complete, w.incarnation = 0, false, w.incarnation+"'"
}

func (w *checkedWorld) call(method string) error {
	if w.onCall != nil {
		w.onCall(method)
	}
	w.calls[method]++
	return w.fail[method]
}

func (w *checkedWorld) digest() string {
	return fmt.Sprintf("%s/%d/%d", w.incarnation, w.revision, len(w.entries))
}

func (w *checkedWorld) Audit(context.Context) (activities.Audit, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.call("Audit"); err != nil {
		return activities.Audit{}, err
	}
	a := activities.Audit{
		Position: activities.RegistryPosition{
			Revision: w.revision, Digest: w.digest(), Incarnation: w.incarnation, Complete: w.complete,
		},
		Revisions: map[string]int64{}, Active: len(w.active), DigestOK: !w.digestWrong, Orphans: slices.Collect(maps.Keys(w.orphans)),
	}
	for id, e := range w.entries {
		a.Revisions[id] = e.revision
		switch {
		case e.unusable:
			a.Poisoned = append(a.Poisoned, activities.PoisonedEntry{ID: id, Reason: "events must be a list"})
			continue
		case e.changed:
			a.Changed = append(a.Changed, id)
		case e.oldKey:
			a.OldKey = append(a.OldKey, id)
		}
		if !w.active[id] {
			a.ActiveSetWrong = append(a.ActiveSetWrong, id)
		}
	}
	return a, nil
}

func (w *checkedWorld) RepairActiveSet(_ context.Context, ids []string) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.call("RepairActiveSet"); err != nil {
		return 0, err
	}
	for _, id := range ids {
		w.active[id] = true
	}
	return len(ids), nil
}

func (w *checkedWorld) RebuildDigest(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.call("RebuildDigest"); err != nil {
		return err
	}
	w.digestWrong = false
	return nil
}

func (w *checkedWorld) MarkComplete(_ context.Context, incarnation string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.call("MarkComplete"); err != nil {
		return err
	}
	if incarnation != w.incarnation {
		return holdfast.Errorf(holdfast.CodeAborted, "the registry is another one by now")
	}
	w.complete = true
	return nil
}

func (w *checkedWorld) RemoveWebhook(_ context.Context, id string) (int64, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.call("RemoveWebhook"); err != nil {
		return 0, false, err
	}
	_, existed := w.entries[id]
	delete(w.entries, id)
	delete(w.active, id)
	delete(w.orphans, id)
	return w.revision, existed, nil
}

func (w *checkedWorld) ReadWebhook(_ context.Context, id string) (*holdfast.Webhook, bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e, ok := w.entries[id]
	if !ok {
		return nil, false, holdfast.Errorf(holdfast.CodeNotFound, "there is no such webhook")
	}
	return &holdfast.Webhook{ID: id, Revision: e.revision}, w.active[id], w.call("ReadWebhook")
}

func (w *checkedWorld) SaveReport(_ context.Context, r holdfast.ConsistencyReport) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.call("SaveReport"); err != nil {
		return err
	}
	w.reports = append(w.reports, r)
	return nil
}

func (w *checkedWorld) CountOpen(context.Context) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.registered) - len(w.unindexed), w.call("CountOpen")
}

func (w *checkedWorld) ListOpen(context.Context) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids []string
	for id := range w.registered {
		if !w.unindexed[id] {
			ids = append(ids, id)
		}
	}
	return ids, w.call("ListOpen")
}

// Reconcile is what a Registration does (DESIGN 4).
func (w *checkedWorld) Reconcile(_ context.Context, id string, adopt bool) (activities.Reconciled, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.attempts[id]++
	if err := w.call("Reconcile"); err != nil {
		return activities.Reconciled{}, err
	}
	if err := w.call("Reconcile " + id); err != nil {
		return activities.Reconciled{}, err
	}
	config, registered := w.registered[id]
	e, there := w.entries[id]
	action := activities.ReconcileUnchanged
	switch {
	case registered && !there:
		action = activities.ReconcileRestored
	case registered && (e.config != config || e.unusable || e.oldKey || e.changed):
		action = activities.ReconcileRewritten
	case registered:
	case there && e.unusable:
		return activities.Reconciled{}, holdfast.Errorf(holdfast.CodeInvalid, "the entry cannot be read")
	case there && adopt:
		w.registered[id], w.unindexed[id] = e.config, true // nothing is written
		return activities.Reconciled{Action: activities.ReconcileAdopted}, nil
	default:
		return activities.Reconciled{Action: activities.ReconcileGone}, nil
	}
	if action != activities.ReconcileUnchanged {
		w.put(id, config)
	}
	return activities.Reconciled{Action: action}, nil
}

func (w *checkedWorld) Enabled() bool  { return w.mode != "off" }
func (w *checkedWorld) Required() bool { return w.mode == "required" }

func (w *checkedWorld) Health(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.call("Health")
}

func (w *checkedWorld) Shows(_ context.Context, h *holdfast.Webhook) (bool, string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.calls["Shows "+h.ID]++
	return w.platform[h.ID], "not known", w.call("Shows")
}

func (w *checkedWorld) Confirm(_ context.Context, h *holdfast.Webhook) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.call("Confirm"); err != nil {
		return err
	}
	w.platform[h.ID] = true
	return nil
}

func (w *checkedWorld) Remove(_ context.Context, id string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.platform, id)
	return w.call("Remove")
}

func (w *checkedWorld) WebhooksAfter(after string, limit int) ([]*holdfast.Webhook, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var page []*holdfast.Webhook
	for _, id := range slices.Sorted(maps.Keys(w.entries)) {
		if id > after && len(page) < limit {
			page = append(page, &holdfast.Webhook{ID: id, Revision: w.entries[id].revision})
		}
	}
	return page, w.call("WebhooksAfter")
}

func (w *checkedWorld) LiveNodes(context.Context) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ids []string
	for id, n := range w.nodes {
		if !n.gone || w.calls["LiveNodes"] == 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, w.call("LiveNodes")
}

// ask is what the node whose queue the activity runs on answers.
func (w *checkedWorld) ask(ctx context.Context, rebuild bool) (activities.NodeReport, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for id, n := range w.nodes {
		if workflows.QueueNode(id) != activity.GetInfo(ctx).TaskQueue {
			continue
		}
		if n.silent {
			return activities.NodeReport{}, temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
		}
		if rebuild {
			n.rebuilt++
		}
		if !n.stuck && (rebuild || !n.fixed) {
			n.report = activities.NodeReport{
				Revision: w.revision, Digest: w.digest(), Webhooks: len(w.entries), Degraded: n.report.Degraded,
			}
		}
		return n.report, nil
	}
	return activities.NodeReport{}, holdfast.Errorf(holdfast.CodeInternal, "no such node")
}

func (w *checkedWorld) RaiseAlert(_ context.Context, a holdfast.Alert) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	old, known := w.alerts[a.ID()]
	first := !known || old.ResolvedAt != 0
	if !first {
		a.RaisedAt, a.Count = old.RaisedAt, old.Count+1
	}
	w.alerts[a.ID()] = a
	return first, w.call("RaiseAlert")
}

func (w *checkedWorld) ResolveAlert(_ context.Context, id string) (bool, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	a, known := w.alerts[id]
	if !known || a.ResolvedAt != 0 {
		return false, nil
	}
	a.ResolvedAt = 1
	w.alerts[id] = a
	return true, w.call("ResolveAlert")
}

func (w *checkedWorld) Alerts(context.Context) ([]holdfast.Alert, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Collect(maps.Values(w.alerts)), w.call("Alerts")
}

func (w *checkedWorld) Notify(_ context.Context, a holdfast.Alert) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notified = append(w.notified, a)
	return nil
}

// open lists the open alerts.
func (w *checkedWorld) open() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := []string{}
	for id, a := range w.alerts {
		if a.ResolvedAt == 0 {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

func (w *checkedWorld) called(method string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[method]
}

// check runs one check on the checkedWorld; before is what the last one came to.
func (w *checkedWorld) check(t *testing.T, before *workflows.CheckResult, change ...func(*workflows.CheckInput)) workflows.CheckResult {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	env.SetTestTimeout(20 * time.Second)
	env.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: 20 * time.Second})
	env.RegisterWorkflowWithOptions(workflows.ConsistencyCheck, workflow.RegisterOptions{Name: workflows.TypeConsistencyCheck})
	c := &activities.Consistency{Registry: w, Open: w, Reconciler: w, Platform: w, Sample: w}
	a := &activities.Alerts{Store: w, Notifier: w, Logger: zap.NewNop()}
	for name, f := range map[string]any{
		"InspectRegistry": c.InspectRegistry, "ReconcileWebhooks": c.ReconcileWebhooks, "RepairActiveSet": c.RepairActiveSet,
		"RebuildDigest": c.RebuildDigest, "MarkComplete": c.MarkComplete, "InspectPlatform": c.InspectPlatform,
		"SaveReport": c.SaveReport, "SettleAlerts": a.SettleAlerts, "ListLiveNodes": (&activities.Nodes{Lister: w}).ListLiveNodes,
		"InspectNode": func(ctx context.Context, _ activities.RefreshRequest) (activities.NodeReport, error) {
			return w.ask(ctx, false)
		},
		"RebuildCache": func(ctx context.Context, _ activities.RefreshRequest) (activities.NodeReport, error) {
			return w.ask(ctx, true)
		},
	} {
		env.RegisterActivityWithOptions(f, activity.RegisterOptions{Name: name})
	}
	in := workflows.CheckInput{NodePatienceMS: 5000, PlatformSample: 20}
	for _, f := range change {
		f(&in)
	}
	if before != nil {
		env.SetLastCompletionResult(*before)
	}
	clear(w.calls)
	env.ExecuteWorkflow(workflows.TypeConsistencyCheck, in)
	require.True(t, env.IsWorkflowCompleted())
	require.NoError(t, env.GetWorkflowError())
	var out workflows.CheckResult
	require.NoError(t, env.GetWorkflowResult(&out))
	return out
}

// drift returns the report's line about the kind; the zero value when there is none.
func drift(r workflows.CheckResult, kind holdfast.DriftKind) holdfast.Drift {
	for _, d := range r.Drifts {
		if d.Kind == kind {
			return d
		}
	}
	return holdfast.Drift{}
}

func kinds(r workflows.CheckResult) []holdfast.DriftKind {
	var all []holdfast.DriftKind
	for _, d := range r.Drifts {
		all = append(all, d.Kind)
	}
	return all
}
