package redisstore

import (
	"context"
	_ "embed" // for the Lua sources
	"fmt"

	"github.com/redis/go-redis/v9"
)

// The Lua sources. Each begins with its KEYS, ARGV and returns.
var (
	//go:embed lua/prelude.lua
	preludeSource string
	//go:embed lua/write.lua
	writeSource string
	//go:embed lua/read.lua
	readSource string
	//go:embed lua/remove.lua
	removeSource string
	//go:embed lua/changes.lua
	changesSource string
	//go:embed lua/page.lua
	pageSource string
	//go:embed lua/mark.lua
	markSource string
	//go:embed lua/audit.lua
	auditSource string
	//go:embed lua/inspect.lua
	inspectSource string
	//go:embed lua/repair_active.lua
	repairActiveSource string
	//go:embed lua/set_digest.lua
	setDigestSource string
	//go:embed lua/raise_alert.lua
	raiseAlertSource string
	//go:embed lua/resolve_alert.lua
	resolveAlertSource string
	//go:embed lua/save_report.lua
	saveReportSource string
	//go:embed lua/record.lua
	recordSource string
	//go:embed lua/settled.lua
	settledSource string
	//go:embed lua/reset_failures.lua
	resetFailuresSource string
	//go:embed lua/release.lua
	releaseSource string
	//go:embed lua/heartbeat.lua
	heartbeatSource string
	//go:embed lua/nodes.lua
	nodesSource string
	//go:embed lua/create_receiver.lua
	createReceiverSource string
	//go:embed lua/add_request.lua
	addRequestSource string
)

var (
	writeScript          = redis.NewScript(preludeSource + writeSource)
	readScript           = redis.NewScript(readSource)
	removeScript         = redis.NewScript(preludeSource + removeSource)
	changesScript        = redis.NewScript(changesSource)
	pageScript           = redis.NewScript(pageSource)
	markScript           = redis.NewScript(preludeSource + markSource)
	auditScript          = redis.NewScript(auditSource)
	inspectScript        = redis.NewScript(inspectSource)
	repairActiveScript   = redis.NewScript(repairActiveSource)
	setDigestScript      = redis.NewScript(setDigestSource)
	raiseAlertScript     = redis.NewScript(raiseAlertSource)
	resolveAlertScript   = redis.NewScript(resolveAlertSource)
	saveReportScript     = redis.NewScript(saveReportSource)
	settledScript        = redis.NewScript(settledSource)
	resetFailuresScript  = redis.NewScript(resetFailuresSource)
	releaseScript        = redis.NewScript(releaseSource)
	heartbeatScript      = redis.NewScript(heartbeatSource)
	nodesScript          = redis.NewScript(nodesSource)
	createReceiverScript = redis.NewScript(createReceiverSource)
	addRequestScript     = redis.NewScript(addRequestSource)
)

// call is one run of a script within a pipeline.
type call struct {
	keys []string
	args []any
}

// pipeline runs a script once for each call in one round trip and returns the replies in order. A server that does not
// know the script yet gets it once, then the calls that it refused.
func (s *Store) pipeline(ctx context.Context, script *redis.Script, calls []call) ([]*redis.Cmd, error) {
	replies := make([]*redis.Cmd, len(calls))
	missing := make([]int, len(calls))
	for i := range calls {
		missing[i] = i
	}
	for round := 0; len(missing) > 0; round++ {
		if round > 0 {
			if err := script.Load(ctx, s.client).Err(); err != nil {
				return nil, err
			}
		}
		pipe := s.client.Pipeline()
		for _, i := range missing {
			replies[i] = script.EvalSha(ctx, pipe, calls[i].keys, calls[i].args...)
		}
		_, err := pipe.Exec(ctx)
		refused := missing[:0]
		for _, i := range missing {
			if redis.HasErrorPrefix(replies[i].Err(), "NOSCRIPT") {
				refused = append(refused, i)
			}
		}
		if len(refused) == 0 || round == 3 {
			return replies, failure(asCmders(replies), err)
		}
		missing = refused
	}
	return replies, nil
}

func asCmders(cmds []*redis.Cmd) []redis.Cmder {
	out := make([]redis.Cmder, len(cmds))
	for i, c := range cmds {
		out[i] = c
	}
	return out
}

// text reads a string from a script's reply; nil and everything else give "".
func text(v any) string {
	s, _ := v.(string)
	return s
}

// reply checks the shape of a script's reply: a list of at least n values.
func reply(cmd *redis.Cmd, n int) ([]any, error) {
	values, err := cmd.Slice()
	if err == nil && len(values) < n {
		err = fmt.Errorf("a reply of %d values, %d expected", len(values), n)
	}
	return values, err
}

// The scripts of pacing and counting.
var (
	//go:embed lua/pause.lua
	pauseSource string
	//go:embed lua/admit.lua
	admitSource string
	//go:embed lua/count.lua
	countSource string

	pauseScript = redis.NewScript(pauseSource)
	admitScript = redis.NewScript(admitSource)
	countScript = redis.NewScript(countSource)
)

// recordScript makes the script of Record, which has the limits as constants: as arguments they would cost each of its runs.
func recordScript(l Limits, channel string) *redis.Script {
	return redis.NewScript(fmt.Sprintf(
		"local caps = { attempts = %d, log = %d, ended = %d, open = %d, all = %d, hours = %d, days = %d, channel = %q }\n",
		l.Attempts, l.Log, l.Deliveries, l.OpenDeliveries, l.GlobalDeliveries, hoursKept, daysKept, channel) + recordSource)
}
