package activities

import (
	"context"
	"slices"
	"time"

	"go.temporal.io/sdk/activity"
	"go.uber.org/zap"

	"github.com/emprops/holdfast"
)

// AlertStore keeps alerts. Every method returns CodeUnavailable when it cannot be reached.
type AlertStore interface {
	// RaiseAlert opens the alert or counts one that is open; first tells which.
	RaiseAlert(ctx context.Context, a holdfast.Alert) (first bool, err error)
	// ResolveAlert ends an open alert; was is false when none was open under the id.
	ResolveAlert(ctx context.Context, id string) (was bool, err error)
	// Alerts lists the alerts, resolved ones included.
	Alerts(ctx context.Context) ([]holdfast.Alert, error)
}

// AlertNotifier takes on that people are told of an alert's beginning or end. CodeUnavailable when it could not.
type AlertNotifier interface {
	Notify(ctx context.Context, a holdfast.Alert) error
}

// AlertPoster carries an alert to where people are told, once. An error means that it is not certain to have arrived.
type AlertPoster interface {
	Post(ctx context.Context, a holdfast.Alert) error
}

// Alerts raises and resolves alerts: from workflows by its activities, from elsewhere by Raise and Resolve. People are told
// when an alert begins and when it ends, not each time it is raised in between.
type Alerts struct {
	Store    AlertStore
	Notifier AlertNotifier // nil: the log only
	Poster   AlertPoster   // nil: nothing is posted
	Logger   *zap.Logger
}

// Raise opens the alert or counts it. Kind, Subject and Message are what matters; the message must hold no credentials.
func (a *Alerts) Raise(ctx context.Context, alert holdfast.Alert) error {
	return a.raise(ctx, alert, false)
}

// Resolve ends the alert with the id; nothing happens when it is not open.
func (a *Alerts) Resolve(ctx context.Context, id string) error {
	all, err := a.Store.Alerts(ctx)
	if err != nil {
		return err
	}
	for _, known := range all {
		if known.ID() == id && known.ResolvedAt == 0 {
			return a.resolve(ctx, known, false)
		}
	}
	_, err = a.Store.ResolveAlert(ctx, id) // one that the list no longer tells
	return err
}

// raise tells people when the alert begins, and, with again, when an attempt before this one may have failed to.
func (a *Alerts) raise(ctx context.Context, alert holdfast.Alert, again bool) error {
	now := time.Now().UnixMilli()
	alert.RaisedAt, alert.UpdatedAt, alert.ResolvedAt, alert.Count = now, now, 0, 1
	alert.Message = truncated(alert.Message, maxAlertMessage)
	first, err := a.Store.RaiseAlert(ctx, alert)
	if err != nil || !first && !again {
		return err
	}
	a.Logger.Warn("an alert is raised", zap.String("kind", string(alert.Kind)), zap.String("subject", alert.Subject),
		zap.String("message", alert.Message))
	return a.notify(ctx, alert)
}

func (a *Alerts) resolve(ctx context.Context, alert holdfast.Alert, again bool) error {
	was, err := a.Store.ResolveAlert(ctx, alert.ID())
	if err != nil || !was && !again {
		return err
	}
	alert.ResolvedAt = time.Now().UnixMilli()
	alert.UpdatedAt = alert.ResolvedAt
	a.Logger.Info("an alert is over", zap.String("kind", string(alert.Kind)), zap.String("subject", alert.Subject))
	return a.notify(ctx, alert)
}

func (a *Alerts) notify(ctx context.Context, alert holdfast.Alert) error {
	if a.Notifier == nil {
		return nil
	}
	return a.Notifier.Notify(ctx, alert)
}

// maxAlertMessage bounds what an alert says, in characters.
const maxAlertMessage = 500

// RaiseAlert is Raise as an activity: a retry tells people again, since the attempt before may have ended in between.
func (a *Alerts) RaiseAlert(ctx context.Context, alert holdfast.Alert) error {
	return failure(a.raise(ctx, alert, activity.GetInfo(ctx).Attempt > 1))
}

// ResolveAlert names an alert that is over.
type ResolveAlert struct {
	ID string `json:"id"`
}

// ResolveAlert is Resolve as an activity.
func (a *Alerts) ResolveAlert(ctx context.Context, in ResolveAlert) error {
	return failure(a.Resolve(ctx, in.ID))
}

// AlertScope is what a look at the system covered: open alerts within it that it did not raise are over.
type AlertScope struct {
	Kind     holdfast.AlertKind `json:"kind"`
	Subjects []string           `json:"subjects,omitempty"` // none: every subject
}

// AlertState is what a look at the system found.
type AlertState struct {
	At     int64            `json:"at"` // ms; when the look began
	Raised []holdfast.Alert `json:"raised,omitempty"`
	Scopes []AlertScope     `json:"scopes,omitempty"`
}

// SettleAlerts raises what was found and resolves what was looked for and not found.
func (a *Alerts) SettleAlerts(ctx context.Context, in AlertState) error {
	retried := activity.GetInfo(ctx).Attempt > 1
	since := in.At - clockSlack.Milliseconds()
	all, err := a.Store.Alerts(ctx)
	if err != nil {
		return failure(err)
	}
	known := map[string]holdfast.Alert{}
	for _, alert := range all {
		known[alert.ID()] = alert
	}
	raised := map[string]bool{}
	for _, alert := range in.Raised {
		id := alert.ID()
		raised[id] = true
		// An attempt of this activity that did not finish may have opened it without telling anybody.
		again := retried && known[id].ResolvedAt == 0 && known[id].RaisedAt > since
		if err := a.raise(ctx, alert, again); err != nil {
			return failure(err)
		}
	}
	for _, alert := range all {
		again := retried && alert.ResolvedAt > max(since, 0)
		if raised[alert.ID()] || alert.ResolvedAt != 0 && !again || !covered(in.Scopes, alert) {
			continue
		}
		if err := a.resolve(ctx, alert, again); err != nil {
			return failure(err)
		}
	}
	return nil
}

// clockSlack is how far the clocks of Temporal and of the alerts' storage may be apart.
const clockSlack = time.Minute

func covered(scopes []AlertScope, alert holdfast.Alert) bool {
	return slices.ContainsFunc(scopes, func(s AlertScope) bool {
		return s.Kind == alert.Kind && (len(s.Subjects) == 0 || slices.Contains(s.Subjects, alert.Subject))
	})
}

// NotifyAlert carries an alert to where people are told. Whatever goes wrong may be put right there, so it is repeated.
func (a *Alerts) NotifyAlert(ctx context.Context, alert holdfast.Alert) error {
	if a.Poster == nil {
		return nil // the setting was taken away after the alert was raised
	}
	return ours(a.Poster.Post(ctx, alert))
}
