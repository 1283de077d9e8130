package redisstore

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"

	holdfast "github.com/emprops/holdfast"
)

// How much is kept for people.
const (
	maxAlerts  = 1000
	maxReports = 100
)

// storedAlert is the part of an alert that its script does not keep itself.
type storedAlert struct {
	Kind    holdfast.AlertKind `json:"kind"`
	Subject string             `json:"subject,omitempty"`
	Message string             `json:"message"`
}

// RaiseAlert raises an alert, by Redis' clock; its times and count are the storage's. An alert that is open is counted
// and gets the new message; first tells that it was not open. Over 1,000 alerts the one that was resolved longest ago is
// dropped, or the oldest. CodeUnavailable.
func (s *Store) RaiseAlert(ctx context.Context, a holdfast.Alert) (first bool, err error) {
	encoded, err := marshal(storedAlert{Kind: a.Kind, Subject: a.Subject, Message: a.Message})
	if err != nil {
		return false, holdfast.Wrap(holdfast.CodeInternal, err, "the alert cannot be encoded")
	}
	n, err := raiseAlertScript.Run(ctx, s.client, []string{s.keys.alerts()}, a.ID(), encoded, maxAlerts).Int()
	return n == 1, unavailable("raising an alert", err)
}

// ResolveAlert notes that what an alert is about has ended; was tells that it was open. CodeUnavailable.
func (s *Store) ResolveAlert(ctx context.Context, id string) (was bool, err error) {
	n, err := resolveAlertScript.Run(ctx, s.client, []string{s.keys.alerts()}, id).Int()
	return n == 1, unavailable("resolving an alert", err)
}

// Alerts lists the alerts, the open ones first, then those raised or resolved last. CodeUnavailable.
func (s *Store) Alerts(ctx context.Context) ([]holdfast.Alert, error) {
	stored, err := s.client.HGetAll(ctx, s.keys.alerts()).Result()
	if err != nil {
		return nil, unavailable("reading alerts", err)
	}
	alerts := make([]holdfast.Alert, 0, len(stored))
	for _, text := range stored {
		parts := strings.SplitN(text, "|", 5)
		var in storedAlert
		if len(parts) < 5 || json.Unmarshal([]byte(parts[4]), &in) != nil {
			continue // nothing that a person could be told
		}
		alerts = append(alerts, holdfast.Alert{
			Kind: in.Kind, Subject: in.Subject, Message: in.Message, RaisedAt: parseInt(parts[0]), UpdatedAt: parseInt(parts[1]),
			Count: parseInt(parts[2]), ResolvedAt: parseInt(parts[3]),
		})
	}
	open := func(a *holdfast.Alert) int {
		if a.ResolvedAt == 0 {
			return 0
		}
		return 1
	}
	slices.SortFunc(alerts, func(a, b holdfast.Alert) int {
		return cmp.Or(open(&a)-open(&b), cmp.Compare(b.UpdatedAt, a.UpdatedAt), strings.Compare(a.ID(), b.ID()))
	})
	return alerts, nil
}

// SaveReport stores the report of a consistency check; the last 100 are kept. CodeUnavailable.
func (s *Store) SaveReport(ctx context.Context, r holdfast.ConsistencyReport) error {
	encoded, err := marshal(&r)
	if err != nil {
		return holdfast.Wrap(holdfast.CodeInternal, err, "the report cannot be encoded")
	}
	err = saveReportScript.Run(ctx, s.client, []string{s.keys.consistency()}, encoded, maxReports).Err()
	return unavailable("saving a report", err)
}

// Reports lists the last reports of consistency checks, newest first. CodeUnavailable.
func (s *Store) Reports(ctx context.Context, limit int) ([]holdfast.ConsistencyReport, error) {
	if limit <= 0 {
		return nil, nil
	}
	stored, err := s.client.LRange(ctx, s.keys.consistency(), 0, int64(limit)-1).Result()
	if err != nil {
		return nil, unavailable("reading reports", err)
	}
	reports := make([]holdfast.ConsistencyReport, 0, len(stored))
	for _, text := range stored {
		var r holdfast.ConsistencyReport
		if json.Unmarshal([]byte(text), &r) == nil {
			reports = append(reports, r)
		}
	}
	return reports, nil
}
