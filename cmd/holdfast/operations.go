package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
	"google.golang.org/protobuf/types/known/durationpb"

	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

var operationsCommands = []clientCommand{
	{name: "check", does: "check that everything agrees about the webhooks, and repair", waits: true, define: checkConsistency},
	{name: "nodes", does: "list the nodes with their copies of the registry", define: listNodes},
	{name: "alerts", does: "list what a person should know", define: listAlerts},
}

func checkConsistency(fs *pflag.FlagSet) operation {
	last := fs.Bool("last", false, "show the last report instead of checking now")
	return func(ctx context.Context, c *client, _ string) error {
		var r *holdfastv1.ConsistencyReport
		var answer message
		if *last {
			got, err := c.operations.GetConsistencyReport(ctx, &holdfastv1.GetConsistencyReportRequest{Limit: 1})
			if err != nil {
				return err
			}
			r, answer = got.GetReport(), got
		} else {
			got, err := c.operations.CheckConsistency(ctx, &holdfastv1.CheckConsistencyRequest{Wait: durationpb.New(c.wait)})
			if err != nil {
				return err
			}
			r, answer = got.GetReport(), got
		}
		if err := c.show(answer, func(t *table) { reportFacts(t, r) }); err != nil {
			return err
		}
		switch {
		case r == nil:
			return fmt.Errorf("%w: there has been no check yet", errNotDone)
		case !r.GetConsistent() && !r.GetRepaired():
			return fmt.Errorf("%w: not everything could be repaired; the next check tries again", errNotDone)
		}
		return nil
	}
}

func reportFacts(t *table, r *holdfastv1.ConsistencyReport) {
	if r == nil {
		return
	}
	result := "inconsistent"
	switch {
	case r.GetConsistent():
		result = "consistent"
	case r.GetRepaired():
		result = "repaired"
	}
	t.fact("result", result)
	t.fact("checked", stamp(r.GetStartTime())+", in "+length(r.GetDuration()))
	t.fact("revision", r.GetRevision())
	t.fact("webhooks", fmt.Sprintf("%d in Redis, %d active, %d registrations", r.GetWebhooks(), r.GetActive(), r.GetRegistrations()))
	t.fact("nodes", r.GetNodes())
	if r.GetPlatformAsked() > 0 {
		t.fact("EMPROPS", fmt.Sprintf("knows %d of %d asked about", r.GetPlatformKnown(), r.GetPlatformAsked()))
	}
	t.fact("workflow", r.GetTemporalUrl())
	if len(r.GetDrifts()) == 0 {
		return
	}
	t.gap()
	t.row("DRIFT", "COUNT", "FAILED", "ACTION", "IDS", "DETAIL")
	for _, d := range r.GetDrifts() {
		t.row(d.GetKind(), d.GetCount(), d.GetFailed(), d.GetAction(), some(d.GetIds()), d.GetDetail())
	}
}

// some names the first few.
func some(ids []string) string {
	const most = 5
	if len(ids) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(ids[:most], ","), len(ids)-most)
	}
	return strings.Join(ids, ",")
}

func listNodes(*pflag.FlagSet) operation {
	return func(ctx context.Context, c *client, _ string) error {
		got, err := c.operations.ListNodes(ctx, &holdfastv1.ListNodesRequest{})
		if err != nil {
			return err
		}
		return c.show(got, func(t *table) {
			t.row("ID", "ALIVE", "REVISION", "WEBHOOKS", "DIGEST", "HEARTBEAT", "ADDRESS", "DEGRADED")
			for _, n := range got.GetNodes() {
				t.row(n.GetId(), yes(n.GetAlive()), n.GetRevision(), n.GetWebhooks(), n.GetDigest(), stamp(n.GetHeartbeatTime()), n.GetAddress(), n.GetDegraded())
			}
		})
	}
}

func listAlerts(fs *pflag.FlagSet) operation {
	all := fs.Bool("all", false, "those that are resolved, too")
	return func(ctx context.Context, c *client, _ string) error {
		got, err := c.operations.ListAlerts(ctx, &holdfastv1.ListAlertsRequest{IncludeResolved: *all})
		if err != nil {
			return err
		}
		return c.show(got, func(t *table) {
			t.row("KIND", "SUBJECT", "RAISED", "COUNT", "RESOLVED", "MESSAGE")
			for _, a := range got.GetAlerts() {
				t.row(a.GetKind(), a.GetSubject(), stamp(a.GetRaiseTime()), a.GetCount(), stamp(a.GetResolveTime()), a.GetMessage())
			}
		})
	}
}
