package activities

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/emprops/holdfast"
)

// alertBook keeps alerts as the storage does and remembers who was told.
type alertBook struct {
	mu        sync.Mutex
	alerts    map[string]holdfast.Alert
	told      []holdfast.Alert
	notifyErr error
	postErr   error
}

func newAlerts() (*Alerts, *alertBook, *observer.ObservedLogs) {
	core, logs := observer.New(zap.InfoLevel)
	b := &alertBook{alerts: map[string]holdfast.Alert{}}
	return &Alerts{Store: b, Notifier: b, Poster: b, Logger: zap.New(core)}, b, logs
}

func (b *alertBook) RaiseAlert(_ context.Context, a holdfast.Alert) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	old, known := b.alerts[a.ID()]
	first := !known || old.ResolvedAt != 0
	if !first {
		a.RaisedAt, a.Count = old.RaisedAt, old.Count+1
	}
	b.alerts[a.ID()] = a
	return first, nil
}

func (b *alertBook) ResolveAlert(_ context.Context, id string) (bool, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	a, known := b.alerts[id]
	if !known || a.ResolvedAt != 0 {
		return false, nil
	}
	a.ResolvedAt = a.RaisedAt + 1
	b.alerts[id] = a
	return true, nil
}

func (b *alertBook) Alerts(context.Context) ([]holdfast.Alert, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Collect(maps.Values(b.alerts)), nil
}

func (b *alertBook) Notify(_ context.Context, a holdfast.Alert) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.notifyErr != nil {
		return b.notifyErr
	}
	b.told = append(b.told, a)
	return nil
}

func (b *alertBook) Post(context.Context, holdfast.Alert) error { return b.postErr }

// what names the alerts that people were told of: + for a beginning, - for an end.
func (b *alertBook) what() (told []string) {
	for _, a := range b.told {
		sign := "+"
		if a.ResolvedAt != 0 {
			sign = "-"
		}
		told = append(told, sign+a.ID())
	}
	b.told = nil
	return told
}

func TestD46_PeopleAreToldOfAnAlertsBeginningAndEnd(t *testing.T) {
	t.Parallel()
	a, b, logs := newAlerts()
	alert := holdfast.Alert{Kind: holdfast.AlertNodeSilent, Subject: "n1", Message: "it does not answer"}
	for range 3 {
		require.NoError(t, a.Raise(t.Context(), alert))
	}
	require.Equal(t, int64(3), b.alerts["node_silent:n1"].Count)
	require.Len(t, b.told, 1)
	require.NotZero(t, b.told[0].RaisedAt)
	require.Equal(t, "it does not answer", b.told[0].Message)
	for range 2 {
		require.NoError(t, a.Resolve(t.Context(), "node_silent:n1"))
	}
	require.NoError(t, a.Resolve(t.Context(), "node_silent:n2"))
	require.Equal(t, int64(3), b.told[1].Count)
	require.Equal(t, []string{"+node_silent:n1", "-node_silent:n1"}, b.what())
	require.NoError(t, a.Raise(t.Context(), alert))
	require.Equal(t, []string{"+node_silent:n1"}, b.what(), "what comes again is told again")
	require.Equal(t, 2, logs.FilterMessage("an alert is raised").FilterField(zap.String("kind", "node_silent")).Len())
	require.Equal(t, 1, logs.FilterMessage("an alert is over").Len())
}

func TestAnAlertWithoutANotifierIsKeptAndLogged(t *testing.T) {
	t.Parallel()
	a, b, logs := newAlerts()
	a.Notifier = nil
	require.NoError(t, a.Raise(t.Context(), holdfast.Alert{Kind: holdfast.AlertDrift, Message: strings.Repeat("ü", 2000)}))
	require.Len(t, b.alerts, 1)
	require.Equal(t, 1, logs.Len())
	require.LessOrEqual(t, len([]rune(b.alerts["drift"].Message)), maxAlertMessage+1)
}

func settle(t *testing.T, a *Alerts, in AlertState) error {
	t.Helper()
	_, err := execute(t, func(ctx context.Context, in AlertState) (bool, error) { return true, a.SettleAlerts(ctx, in) }, in, nil)
	return err
}

func TestSettlingResolvesOnlyWhatWasLookedFor(t *testing.T) {
	t.Parallel()
	a, b, _ := newAlerts()
	for _, alert := range []holdfast.Alert{
		{Kind: holdfast.AlertDrift, Subject: "digest"}, {Kind: holdfast.AlertDrift, Subject: "emprops"},
		{Kind: holdfast.AlertNodeSilent, Subject: "n1"}, {Kind: holdfast.AlertNodeSilent, Subject: "n2"},
		{Kind: holdfast.AlertWebhookDisconnected, Subject: "wh_1"},
	} {
		require.NoError(t, a.Raise(t.Context(), alert))
	}
	b.what()
	require.NoError(t, settle(t, a, AlertState{
		Raised: []holdfast.Alert{{Kind: holdfast.AlertNodeSilent, Subject: "n2"}, {Kind: holdfast.AlertNodeDegraded, Subject: "n2"}},
		Scopes: []AlertScope{
			{Kind: holdfast.AlertDrift, Subjects: []string{"digest"}}, {Kind: holdfast.AlertNodeSilent}, {Kind: holdfast.AlertNodeDegraded},
		},
	}))
	told := b.what()
	slices.Sort(told)
	require.Equal(t, []string{"+node_degraded:n2", "-drift:digest", "-node_silent:n1"}, told)
}

// An attempt that opened the alert and could tell nobody is followed by one that tells.
func TestARetryTellsWhatTheAttemptBeforeCouldNot(t *testing.T) {
	t.Parallel()
	a, b, _ := newAlerts()
	b.notifyErr = holdfast.Errorf(holdfast.CodeUnavailable, "starting Alert: Temporal is unavailable")
	alert := holdfast.Alert{Kind: holdfast.AlertDrift, Subject: "digest"}
	require.Error(t, a.Raise(t.Context(), alert))
	b.notifyErr = nil
	require.NoError(t, a.raise(t.Context(), alert, true))
	require.Equal(t, []string{"+drift:digest"}, b.what())
}

func TestPostingAnAlertIsRepeatedWhateverTheAnswer(t *testing.T) {
	t.Parallel()
	a, b, _ := newAlerts()
	b.postErr = holdfast.Wrap(holdfast.CodeRejected, errors.New("https://user:pw@host"), "posting an alert: answered with HTTP 404")
	err := a.NotifyAlert(t.Context(), holdfast.Alert{})
	app, ok := errors.AsType[*temporal.ApplicationError](err)
	require.True(t, ok)
	require.False(t, app.NonRetryable())
	a.Poster = nil
	require.NoError(t, a.NotifyAlert(t.Context(), holdfast.Alert{}))
}
