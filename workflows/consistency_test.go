package workflows_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/workflows"
)

var errAway = holdfast.Wrap(holdfast.CodeUnavailable, fmt.Errorf("dial tcp 10.1.2.3:6379: refused"), "storage is unavailable")

// second is a check that is not the first: it has no reason to look at everything.
func second() *workflows.CheckResult { return &workflows.CheckResult{Runs: 1} }

func TestAConsistentSystemIsCheckedCheaply(t *testing.T) {
	t.Parallel()
	w := newCheckedWorld(30)
	r := w.check(t, second())
	require.True(t, r.Consistent)
	require.False(t, r.Repaired)
	require.Empty(t, r.Drifts)
	require.Equal(t, []int{30, 30, 30, 2, 20, 20}, []int{r.Webhooks, r.Active, r.Registrations, r.Nodes, r.PlatformAsked, r.PlatformKnown})
	require.Equal(t, int64(30), r.Revision)
	require.NotEmpty(t, r.WorkflowID)
	require.Equal(t, []holdfast.ConsistencyReport{r.ConsistencyReport}, w.reports)
	require.Equal(t, 1, w.called("Audit"))
	for _, costly := range []string{"ListOpen", "Reconcile", "RepairActiveSet", "RebuildDigest", "MarkComplete", "Confirm"} {
		require.Zero(t, w.called(costly), costly)
	}
	require.Empty(t, w.open())
}

func TestRegistrationsAreComparedOneByOneNowAndThen(t *testing.T) {
	t.Parallel()
	w := newCheckedWorld(3)
	delete(w.entries, webhookID(0)) // as many are missing as there are too many: the numbers agree
	w.put("wh_x", "v1")
	last := second()
	listed := 0
	for range 9 {
		r := w.check(t, last)
		last = &r
		listed += w.called("ListOpen")
	}
	require.Equal(t, 10, last.Runs)
	require.Zero(t, listed)
	r := w.check(t, last)
	require.Equal(t, 1, drift(r, holdfast.DriftMissing).Count)
	require.Equal(t, 1, drift(r, holdfast.DriftUnregistered).Count)

	w = newCheckedWorld(3)
	w.check(t, second(), func(in *workflows.CheckInput) { in.Full = true })
	require.Equal(t, 1, w.called("ListOpen"))
}

// After FLUSHALL every registration is back with one check, however many there are, and then the registry is complete.
func TestG5_AWipedRegistryIsRestoredByOneCheck(t *testing.T) {
	t.Parallel()
	const webhooks = 5200 // more than one page
	w := newCheckedWorld(webhooks)
	w.wipe()
	r := w.check(t, second())
	require.Equal(t, []holdfast.DriftKind{holdfast.DriftMissing}, kinds(r))
	d := drift(r, holdfast.DriftMissing)
	require.Equal(t, webhooks, d.Count)
	require.Len(t, d.IDs, holdfast.MaxDriftIDs)
	require.Zero(t, d.Failed)
	require.True(t, r.Repaired)
	require.Len(t, w.entries, webhooks)
	require.True(t, w.complete)
	require.Equal(t, 1, w.called("MarkComplete"))
	require.Equal(t, []int{webhooks, webhooks, webhooks}, []int{r.Webhooks, r.Active, r.Registrations})
	for id, n := range w.attempts {
		require.Equal(t, 1, n, id)
	}
	require.Equal(t, []string{"drift:missing_in_redis"}, w.open())

	r = w.check(t, &r)
	require.True(t, r.Consistent)
	require.Empty(t, w.open(), "an alert about what is over is resolved")
}

func TestG5_AnIncompleteRegistryIsNotCalledCompleteAfterAFailure(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		prepare func(*checkedWorld)
		kind    holdfast.DriftKind
	}{
		"the registrations cannot be counted": {func(w *checkedWorld) { w.fail["CountOpen"] = errAway }, holdfast.DriftUnchecked},
		"the registrations cannot be listed":  {func(w *checkedWorld) { w.fail["ListOpen"] = errAway }, holdfast.DriftUnchecked},
		"one registration cannot repair":      {func(w *checkedWorld) { w.fail["Reconcile "+webhookID(7)] = errAway }, holdfast.DriftMissing},
		"none can":                            {func(w *checkedWorld) { w.fail["Reconcile"] = errAway }, holdfast.DriftMissing},
		"Redis cannot be read":                {func(w *checkedWorld) { w.fail["Audit"] = errAway }, holdfast.DriftUnchecked},
		"the active set cannot be repaired": {func(w *checkedWorld) {
			w.put(webhookID(1), "v1")
			delete(w.active, webhookID(1))
			w.fail["RepairActiveSet"] = errAway
		}, holdfast.DriftActiveSet},
		"the digest cannot be rebuilt": {func(w *checkedWorld) {
			w.digestWrong, w.fail["RebuildDigest"] = true, errAway
		}, holdfast.DriftDigest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newCheckedWorld(100)
			w.wipe()
			tc.prepare(w)
			r := w.check(t, second())
			require.Zero(t, w.called("MarkComplete"))
			require.False(t, w.complete)
			require.False(t, r.Consistent)
			require.False(t, r.Repaired)
			require.Positive(t, drift(r, tc.kind).Failed, "%+v", r.Drifts)
			require.NotContains(t, fmt.Sprint(r.Drifts), "10.1.2.3", "internals stay inside")

			clear(w.fail)
			r = w.check(t, &r)
			require.True(t, w.complete, "%+v", r.Drifts)
			require.Len(t, w.entries, 100)
		})
	}
}

func TestG5_ARegistryWipedUnderTheCheckIsRestoredOnceMore(t *testing.T) {
	t.Parallel()
	w := newCheckedWorld(50)
	w.wipe()
	wiped := false
	w.onCall = func(method string) {
		if method == "MarkComplete" && !wiped {
			wiped = true
			w.wipe()
		}
	}
	r := w.check(t, second())
	require.True(t, r.Repaired, "%+v", r.Drifts)
	require.Equal(t, 100, drift(r, holdfast.DriftMissing).Count)
	require.Len(t, w.entries, 50)
	require.True(t, w.complete)
}

// A registration that began just before the loss may not be in the index when the check looks first.
func TestG5_ARegistrationThatShowsLateIsRestoredBeforeTheRegistryCountsAsComplete(t *testing.T) {
	t.Parallel()
	w := newCheckedWorld(50)
	w.wipe()
	w.unindexed[webhookID(3)] = true
	w.onCall = func(method string) {
		if method == "Reconcile "+webhookID(9) {
			clear(w.unindexed)
		}
		if method == "MarkComplete" {
			require.Len(t, w.entries, 50)
		}
	}
	r := w.check(t, second())
	require.True(t, r.Repaired)
	require.True(t, w.complete)
}

func TestAFreshInstallationIsCompleteAfterItsFirstCheck(t *testing.T) {
	t.Parallel()
	w := newCheckedWorld(0)
	w.complete, w.incarnation = false, ""
	r := w.check(t, nil)
	require.True(t, r.Consistent, "%+v", r.Drifts)
	require.True(t, w.complete)
	require.Equal(t, 1, r.Runs)
	require.Less(t, r.DurationMS, int64(2000), "there is nothing to wait for")
}

// Webhooks that only Redis has were written by the original, or Temporal has lost its data.
func TestWebhooksThatOnlyRedisHasAreAdopted(t *testing.T) {
	t.Parallel()
	w := newCheckedWorld(700)
	clear(w.registered)
	w.complete = false
	r := w.check(t, nil)
	d := drift(r, holdfast.DriftUnregistered)
	require.Equal(t, []any{700, "adopted", 0}, []any{d.Count, d.Action, d.Failed})
	require.Equal(t, []holdfast.DriftKind{holdfast.DriftUnregistered}, kinds(r))
	require.Len(t, w.registered, 700)
	require.True(t, w.complete)
	require.Equal(t, 700, r.Registrations, "the adopted ones count although the index does not tell them yet")

	r = w.check(t, &r)
	require.True(t, r.Consistent, "those the index does not tell yet are suspected and found unchanged: %+v", r.Drifts)
	require.Equal(t, 2, w.attempts[webhookID(0)])
}

func TestWhatTheIndexTellsLateIsNoDrift(t *testing.T) {
	t.Parallel()
	w := newCheckedWorld(10)
	w.unindexed[webhookID(1)] = true
	w.registered["wh_being_registered"], w.platform["wh_being_registered"] = "v1", true // not in Redis yet; its registration answers when it is done
	w.onCall = func(method string) {
		if method == "Reconcile wh_being_registered" {
			w.put("wh_being_registered", "v1")
		}
	}
	w.unindexed[webhookID(2)] = true
	r := w.check(t, second())
	require.True(t, r.Consistent, "%+v", r.Drifts)
	require.Equal(t, 1, w.attempts[webhookID(1)])
	require.Empty(t, w.open())
}

func TestD03_TheActiveSetIsRepaired(t *testing.T) {
	t.Parallel()
	w := newCheckedWorld(5)
	delete(w.active, webhookID(2))
	r := w.check(t, second())
	d := drift(r, holdfast.DriftActiveSet)
	require.Equal(t, []string{webhookID(2)}, d.IDs)
	require.Equal(t, []int{1, 0}, []int{d.Count, d.Failed})
	require.True(t, r.Repaired)
	require.Equal(t, 5, r.Active)
	require.Equal(t, []string{"drift:active_set"}, w.open())
	require.True(t, w.check(t, &r).Consistent)
	require.Empty(t, w.open())
}

func TestD03_ARepairCountsOnlyWhenItCanBeSeen(t *testing.T) {
	t.Parallel()
	w := newCheckedWorld(5)
	delete(w.active, webhookID(2))
	w.digestWrong = true
	w.onCall = func(method string) {
		if method == "Audit" { // something undoes the repairs
			delete(w.active, webhookID(2))
			w.digestWrong = true
		}
	}
	r := w.check(t, second())
	require.False(t, r.Repaired)
	require.Equal(t, 1, drift(r, holdfast.DriftActiveSet).Failed)
	require.Equal(t, 1, drift(r, holdfast.DriftDigest).Failed)
}

func TestChangedEntriesOldKeysAndOrphansAreReconciled(t *testing.T) {
	t.Parallel()
	w := newCheckedWorld(10)
	w.entries[webhookID(1)] = stored{config: "by hand", revision: 2, changed: true}
	w.entries[webhookID(2)] = stored{config: "v1", revision: 3, oldKey: true}
	delete(w.entries, webhookID(3)) // its entry was removed around the scripts
	w.orphans[webhookID(3)] = true
	w.orphans["wh_left_over"] = true
	w.digestWrong = true
	r := w.check(t, second())
	require.True(t, r.Repaired, "%+v", r.Drifts)
	require.Equal(t, []string{webhookID(1)}, drift(r, holdfast.DriftChanged).IDs)
	require.Equal(t, []string{webhookID(2)}, drift(r, holdfast.DriftSealing).IDs)
	require.Equal(t, []string{webhookID(3)}, drift(r, holdfast.DriftMissing).IDs)
	require.Contains(t, drift(r, holdfast.DriftDigest).IDs, "wh_left_over")
	require.Equal(t, "v1", w.entries[webhookID(1)].config)
	require.Empty(t, w.orphans)
	require.Equal(t, 2, drift(r, holdfast.DriftDigest).Count, "a revision of nothing, and the digest")
	r = w.check(t, &r)
	require.True(t, r.Consistent, "%+v", r.Drifts)
}

func TestAFullCheckFindsWhatTheOriginalChangedAgain(t *testing.T) {
	t.Parallel()
	w := newCheckedWorld(3)
	w.entries[webhookID(1)] = stored{config: "v2"} // without a revision, as the original writes
	require.True(t, w.check(t, second()).Consistent)
	r := w.check(t, second(), func(in *workflows.CheckInput) { in.Full = true })
	require.Equal(t, []string{webhookID(1)}, drift(r, holdfast.DriftChanged).IDs)
}

func TestD31_APoisonedEntryIsReportedAndHindersNothing(t *testing.T) {
	t.Parallel()
	w := newCheckedWorld(10)
	w.entries["wh_bad"], w.platform["wh_bad"] = stored{unusable: true}, true
	delete(w.entries, webhookID(4))
	w.complete = false
	r := w.check(t, second())
	d := drift(r, holdfast.DriftPoisoned)
	require.Equal(t, []string{"wh_bad"}, d.IDs)
	require.Equal(t, []any{1, 1, "events must be a list"}, []any{d.Count, d.Failed, d.Detail})
	require.Equal(t, 1, drift(r, holdfast.DriftMissing).Count)
	require.Zero(t, w.attempts["wh_bad"], "what cannot be read cannot be adopted")
	require.True(t, w.complete)
	require.Equal(t, []string{"drift:missing_in_redis", "drift:unreadable", "webhook_unreadable:wh_bad"}, w.open())

	delete(w.entries, "wh_bad")
	require.True(t, w.check(t, &r).Consistent)
	require.Empty(t, w.open())
}

func TestD31_APoisonedEntryOfARegistrationIsWrittenAnew(t *testing.T) {
	t.Parallel()
	w := newCheckedWorld(10)
	w.entries[webhookID(4)] = stored{unusable: true}
	r := w.check(t, second())
	d := drift(r, holdfast.DriftPoisoned)
	require.Equal(t, []string{webhookID(4)}, d.IDs)
	require.Equal(t, []any{1, 0, "rewritten from the registration"}, []any{d.Count, d.Failed, d.Action})
	require.Equal(t, []string{"drift:unreadable"}, w.open())
	require.True(t, w.check(t, &r).Consistent)
}

func TestANodeThatDiffersRebuildsItsCache(t *testing.T) {
	t.Parallel()
	w := newCheckedWorld(4)
	w.nodes["n1"].fixed = true
	w.nodes["n1"].report.Revision, w.nodes["n1"].report.Digest = 4, "other"
	r := w.check(t, second())
	d := drift(r, holdfast.DriftNode)
	require.Equal(t, []any{[]string{"n1"}, 0, "n1: another digest"}, []any{d.IDs, d.Failed, d.Detail})
	require.True(t, r.Repaired)
	require.Equal(t, []int{1, 0}, []int{w.nodes["n1"].rebuilt, w.nodes["n2"].rebuilt})

	w.nodes["n2"].stuck = true
	w.nodes["n2"].report.Revision = 9 // past the registry: it shows one that is no more
	r = w.check(t, second())
	d = drift(r, holdfast.DriftNode)
	require.Equal(t, []any{[]string{"n2"}, 1, "n2: at revision 9, which is past 4"}, []any{d.IDs, d.Failed, d.Detail})
	require.False(t, r.Repaired)
}

// Webhooks are registered all the time that a check takes. A node is at a revision that was the last one when it looked.
func TestARegistryThatMovesOnIsNoDrift(t *testing.T) {
	t.Parallel()
	w := newCheckedWorld(4)
	moves := 0
	w.onCall = func(string) {
		id := webhookID(100 + moves)
		moves++
		w.registered[id], w.platform[id] = "v1", true
		w.put(id, "v1")
	}
	r := w.check(t, second())
	require.Empty(t, r.Drifts)
	require.Greater(t, moves, 2)
	require.Empty(t, w.open())
	require.Zero(t, w.nodes["n1"].rebuilt+w.nodes["n2"].rebuilt)

	// One that differs rebuilds its cache at a revision that is the last one by then.
	w.nodes["n1"].fixed, w.nodes["n1"].report.Revision = true, 1
	r = w.check(t, second())
	d := drift(r, holdfast.DriftNode)
	require.Equal(t, []any{[]string{"n1"}, 0}, []any{d.IDs, d.Failed}, d.Detail)
	require.True(t, r.Repaired)
}

func TestANodeThatLacksWhatTheOriginalWroteRebuildsItsCache(t *testing.T) {
	t.Parallel()
	w := newCheckedWorld(4)
	w.check(t, second())
	n := w.nodes["n1"]
	n.fixed, n.report.Webhooks = true, 3
	r := w.check(t, second())
	require.Equal(t, "n1: 3 webhooks instead of 4", drift(r, holdfast.DriftNode).Detail)
	require.Equal(t, 1, n.rebuilt)
}

func TestASilentNodeIsAnAlertUntilItAnswersOrIsGone(t *testing.T) {
	t.Parallel()
	w := newCheckedWorld(4)
	w.nodes["n2"].silent = true
	r := w.check(t, second())
	d := drift(r, holdfast.DriftNodeSilent)
	require.Equal(t, []any{[]string{"n2"}, 1, 1}, []any{d.IDs, d.Count, d.Failed})
	require.Equal(t, []string{"drift:node_silent", "node_silent:n2"}, w.open())
	require.Equal(t, 2, r.Nodes)

	w.nodes["n2"].silent = false
	require.True(t, w.check(t, &r).Consistent)
	require.Empty(t, w.open())

	w.nodes["n2"].silent, w.nodes["n2"].gone = true, true
	r = w.check(t, &r)
	require.True(t, r.Consistent, "a node whose heartbeat lapses is not waited for: %+v", r.Drifts)
}

func TestADegradedNodeIsAnAlertUntilItIsWell(t *testing.T) {
	t.Parallel()
	w := newCheckedWorld(4)
	w.nodes["n1"].report.Degraded = "storage is unavailable"
	r := w.check(t, second())
	require.Equal(t, []string{"node_degraded:n1"}, w.open())
	w.nodes["n1"].report.Degraded = ""
	w.check(t, &r)
	require.Empty(t, w.open())
	require.Len(t, w.notified, 2)
}

func TestEMPROPSIsAskedAboutEveryWebhookInTurn(t *testing.T) {
	t.Parallel()
	w := newCheckedWorld(50)
	w.platform[webhookID(45)] = false
	last := second()
	asked := func() (ids []int) {
		for i := range 50 {
			if w.called("Shows "+webhookID(i)) > 0 {
				ids = append(ids, i)
			}
		}
		return ids
	}
	for i, want := range [][2]int{{0, 20}, {20, 20}, {40, 10}, {0, 20}} {
		r := w.check(t, last)
		ids := asked()
		require.Equal(t, []int{want[0], want[1]}, []int{ids[0], len(ids)}, "check %d", i)
		require.Equal(t, want[1], r.PlatformAsked)
		require.Equal(t, i != 2, r.Consistent, "check %d: %+v", i, r.Drifts)
		last = &r
	}
	require.True(t, w.platform[webhookID(45)], "confirmed again")
	require.Equal(t, []string{"drift:emprops"}, w.open(), "over only when every webhook has been asked about")
	for range 2 {
		r := w.check(t, last)
		last = &r
	}
	require.Empty(t, w.open())

	w.check(t, last, func(in *workflows.CheckInput) { in.Full = true })
	require.Len(t, asked(), 50)
}

func TestEMPROPSThatDoesNotAnswerIsAnAlert(t *testing.T) {
	t.Parallel()
	w := newCheckedWorld(5)
	w.fail["Health"] = holdfast.Errorf(holdfast.CodeUnavailable, "EMPROPS GET /health: unreachable")
	r := w.check(t, second())
	require.Equal(t, []any{1, 1, "EMPROPS GET /health: unreachable"},
		[]any{drift(r, holdfast.DriftPlatformHealth).Count, drift(r, holdfast.DriftPlatformHealth).Failed, drift(r, holdfast.DriftPlatformHealth).Detail})
	require.Zero(t, w.called("Shows"))
	require.Equal(t, []string{"drift:emprops_health", "emprops_unreachable"}, w.open())
	clear(w.fail)
	require.True(t, w.check(t, &r).Consistent)
	require.Empty(t, w.open())
}

func TestEMPROPSModesDecideWhatIsADrift(t *testing.T) {
	t.Parallel()
	for mode, want := range map[string]struct{ failed, asked int }{"required": {2, 5}, "best_effort": {0, 5}, "off": {0, 0}} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			w := newCheckedWorld(5)
			w.mode = mode
			w.platform[webhookID(1)], w.platform[webhookID(2)] = false, false
			w.fail["Confirm"] = holdfast.Errorf(holdfast.CodeUnavailable, "no webhook API")
			r := w.check(t, second())
			require.Equal(t, want.failed, drift(r, holdfast.DriftPlatform).Failed)
			require.Equal(t, want.asked, r.PlatformAsked)
			require.Equal(t, max(0, want.asked-2), r.PlatformKnown)
			require.Equal(t, want.failed == 0, r.Consistent)
		})
	}
}

// Whatever one part fails with, the others look and repair.
func TestOnePartThatFailsHidesNothingOfTheOthers(t *testing.T) {
	t.Parallel()
	everything := []holdfast.DriftKind{holdfast.DriftMissing, holdfast.DriftActiveSet, holdfast.DriftNode, holdfast.DriftPlatform}
	for method, tc := range map[string]struct {
		part  string
		still []holdfast.DriftKind
	}{
		"Audit":         {"registry", []holdfast.DriftKind{holdfast.DriftPlatform}},
		"CountOpen":     {"registrations", []holdfast.DriftKind{holdfast.DriftActiveSet, holdfast.DriftNode, holdfast.DriftPlatform}},
		"LiveNodes":     {"nodes", []holdfast.DriftKind{holdfast.DriftMissing, holdfast.DriftActiveSet, holdfast.DriftPlatform}},
		"WebhooksAfter": {"emprops", []holdfast.DriftKind{holdfast.DriftMissing, holdfast.DriftActiveSet, holdfast.DriftNode}},
		"SaveReport":    {"", everything},
		"Alerts":        {"", everything},
	} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			w := newCheckedWorld(10)
			delete(w.entries, webhookID(1))
			delete(w.active, webhookID(2))
			w.platform[webhookID(3)] = false
			w.nodes["n1"].fixed = true
			w.fail[method] = errAway
			r := w.check(t, second())
			for _, kind := range tc.still {
				require.Equal(t, 1, drift(r, kind).Count, "%s in %+v", kind, r.Drifts)
				require.Zero(t, drift(r, kind).Failed)
			}
			require.Equal(t, tc.part, strings.Join(drift(r, holdfast.DriftUnchecked).IDs, ","))
			require.Equal(t, tc.part == "", r.Repaired)
			if method != "SaveReport" {
				require.Len(t, w.reports, 1)
			}
			if method != "Alerts" {
				require.Equal(t, tc.part != "", strings.Contains(strings.Join(w.open(), " "), "drift:unchecked"), w.open())
			}
			require.Less(t, r.DurationMS, time.Minute.Milliseconds(), "a check is over before the next one")
		})
	}
}

// An open alert about what a part would have looked at stays open while that part cannot look.
func TestAnAlertIsNotOverBecauseNobodyLooked(t *testing.T) {
	t.Parallel()
	w := newCheckedWorld(5)
	w.nodes["n1"].silent = true
	r := w.check(t, second())
	w.nodes["n1"].silent = false
	w.fail["LiveNodes"] = errAway
	r = w.check(t, &r)
	require.Contains(t, w.open(), "node_silent:n1")
	clear(w.fail)
	w.check(t, &r)
	require.Empty(t, w.open())
}
