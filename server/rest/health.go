package rest

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/server"
)

// healthTimeout bounds what is asked for an answer; what does not answer within it is shown as missing.
const healthTimeout = 3 * time.Second

// health answers in the original's form, always with 200, and truly: "degraded" is everything that keeps the node from its
// work, consistency checks that find what they cannot repair or are not carried out, and an EMPROPS that does not answer
// (CONTRACT 8.1, D42, D43). Numbers are zero while Redis is away or was not reached yet.
func (a *api) health(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), healthTimeout)
	defer cancel()
	components, ready := a.Checker.Ready(ctx)
	problems := []string{}
	for _, name := range slices.Sorted(maps.Keys(components)) {
		if is := components[name]; is != "ok" && name != "consistency" {
			problems = append(problems, name+": "+is)
		}
	}
	var o server.Overview
	var alerts []holdfast.Alert
	if components["redis"] == "ok" {
		var err error
		if o, err = a.Operations.Overview(ctx); err == nil {
			alerts, err = a.Operations.Alerts(ctx, false)
		}
		if err != nil && ready {
			problems = append(problems, "redis: "+holdfast.ErrorMessage(err))
		}
	}
	if is := components["consistency"]; strings.HasPrefix(is, "overdue") || strings.HasPrefix(is, "inconsistent") {
		problems = append(problems, "consistency: "+is)
	}
	platform := "ok"
	if a.PlatformMode == "off" {
		platform = "off"
	}
	for _, alert := range alerts {
		if alert.Kind == holdfast.AlertPlatformUnreachable {
			platform = "unreachable"
			problems = append(problems, "emprops: "+platform)
		}
	}
	status := "ok"
	if !ready || len(problems) > 0 {
		status = "degraded"
	}
	redis := components["redis"]
	if redis == "ok" {
		redis = "ready" // the original's word
	}
	open := o.Deliveries[holdfast.DeliveryPending] + o.Deliveries[holdfast.DeliveryRetrying] + o.Deliveries[holdfast.DeliveryHeld]
	webhooks := 0
	for _, n := range o.Webhooks {
		webhooks += n
	}
	a.write(w, http.StatusOK, map[string]any{
		"status": status, "service": "webhook-service", "timestamp": a.now().UTC().Format("2006-01-02T15:04:05.000Z"),
		"version": a.Version, "problems": problems, "components": components,
		"redis": map[string]any{"connected": redis == "ready", "status": redis},
		"processor": map[string]any{
			"active_webhooks":   o.Webhooks[holdfast.WebhookActive],
			"total_deliveries":  o.Totals.Delivered + o.Totals.Exhausted + o.Totals.Cancelled + open,
			"failed_deliveries": o.Totals.Exhausted,
			"open_deliveries":   open, "held_deliveries": o.Deliveries[holdfast.DeliveryHeld],
			"workflow_tracking": map[string]any{
				"total_tracked_workflows": int64(webhooks) + open, "workflows": []any{},
				"message": "each webhook and each open delivery is a Temporal workflow; see the Temporal UI",
			},
		},
		"event_processing": counts(a.Ingress()),
		"consistency":      report(components["consistency"], o.Report),
		"emprops":          map[string]any{"mode": a.PlatformMode, "status": platform},
		"alerts":           map[string]any{"open": len(alerts)},
		"nodes":            map[string]any{"alive": o.Nodes},
		"request":          map[string]any{"method": r.Method, "path": r.URL.Path, "userAgent": r.UserAgent()},
	})
}

// report sums up the last consistency check.
func report(status string, last *holdfast.ConsistencyReport) map[string]any {
	out := map[string]any{"status": status}
	if last == nil {
		return out
	}
	drifts, failed := 0, 0
	for _, d := range last.Drifts {
		drifts, failed = drifts+d.Count, failed+d.Failed
	}
	out["checked_at"], out["consistent"], out["found"], out["unrepaired"] = last.StartedAt, last.Consistent, drifts, failed
	return out
}
