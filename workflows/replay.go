package workflows

import (
	"time"

	"go.temporal.io/sdk/workflow"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
)

// SignalPause pauses a Replay, which also hears resume and cancel.
const SignalPause = "pause"

// ReplayInput starts a Replay, and carries it on to its next run.
type ReplayInput struct {
	ID     string                `json:"id"`
	Filter holdfast.ReplayFilter `json:"filter"`
	Actor  string                `json:"actor,omitempty"`
	// PerSecond bounds how many deliveries are restarted per second.
	PerSecond float64      `json:"per_second"`
	Expected  int64        `json:"expected,omitempty"` // how many deliveries matched when it was asked for
	PageToken string       `json:"page_token,omitempty"`
	Status    ReplayStatus `json:"status"`
}

// ReplayStatus is the answer of a Replay's status query, and its result.
type ReplayStatus struct {
	ID          string                `json:"id"`
	State       holdfast.ReplayState  `json:"state"`
	Filter      holdfast.ReplayFilter `json:"filter"`
	Actor       string                `json:"actor,omitempty"`
	Expected    int64                 `json:"expected"`
	Replayed    int64                 `json:"replayed"`
	Refused     int64                 `json:"refused"`
	LastRefusal string                `json:"last_refusal,omitempty"`
	StartedAt   int64                 `json:"started_at"` // ms
	EndedAt     int64                 `json:"ended_at,omitempty"`
}

// replayPage is how many deliveries one activity restarts at most.
const replayPage = 100

// replayPagesPerRun bounds the history of one run.
const replayPagesPerRun = 300

type replay struct {
	in                    ReplayInput
	pause, resume, cancel workflow.ReceiveChannel
}

// Replay sends deliveries again that ended: every one that matched when it was asked for, the newest first, at the pace
// asked for. It can be paused and cancelled; what was restarted goes on by itself.
func Replay(ctx workflow.Context, in ReplayInput) (ReplayStatus, error) {
	r := &replay{
		in: in, pause: workflow.GetSignalChannel(ctx, SignalPause), resume: workflow.GetSignalChannel(ctx, SignalResume),
		cancel: workflow.GetSignalChannel(ctx, SignalCancel),
	}
	s := &r.in.Status
	if s.StartedAt == 0 {
		*s = ReplayStatus{ID: in.ID, State: holdfast.ReplayRunning, Filter: in.Filter, Actor: in.Actor, Expected: in.Expected,
			StartedAt: workflow.Now(ctx).UnixMilli()}
	}
	if err := workflow.SetQueryHandler(ctx, QueryStatus, func() (ReplayStatus, error) { return r.in.Status, nil }); err != nil {
		return *s, err
	}
	for page := 0; ; page++ {
		if err := r.listen(ctx); err != nil {
			return *s, err
		}
		if s.State == holdfast.ReplayCancelled {
			break
		}
		if page >= replayPagesPerRun || workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			return *s, workflow.NewContinueAsNewError(ctx, Replay, r.in)
		}
		done, err := r.page(ctx)
		if err != nil {
			return *s, err
		}
		if done {
			s.State = holdfast.ReplayDone
			break
		}
	}
	s.EndedAt = workflow.Now(ctx).UnixMilli()
	return *s, nil
}

// page restarts one page and then waits as long as the pace demands, or until somebody says otherwise.
func (r *replay) page(ctx workflow.Context) (done bool, err error) {
	limit := min(replayPage, max(1, int(r.in.PerSecond)))
	var result activities.ReplayPageResult
	err = workflow.ExecuteActivity(paged(ctx), replays.ReplayPage, activities.ReplayPageRequest{
		ReplayID: r.in.ID, Filter: r.in.Filter, PageToken: r.in.PageToken, Limit: limit,
	}).Get(ctx, &result)
	if err != nil {
		return false, err
	}
	s := &r.in.Status
	s.Replayed += int64(result.Replayed)
	s.Refused += int64(result.Refused)
	if result.LastRefusal != "" {
		s.LastRefusal = result.LastRefusal
	}
	if r.in.PageToken = result.NextPageToken; r.in.PageToken == "" {
		return true, nil
	}
	rest := time.Duration(float64(result.Replayed) / r.in.PerSecond * float64(time.Second))
	if rest <= 0 {
		return false, nil
	}
	timerCtx, stop := workflow.WithCancel(ctx)
	defer stop()
	workflow.NewSelector(ctx).
		AddReceive(r.pause, func(workflow.ReceiveChannel, bool) {}).
		AddReceive(r.cancel, func(workflow.ReceiveChannel, bool) {}).
		AddFuture(workflow.NewTimer(timerCtx, rest), func(f workflow.Future) { err = f.Get(ctx, nil) }).
		Select(ctx)
	return false, err
}

// listen hears every signal that has come, and while paused waits for the next one.
func (r *replay) listen(ctx workflow.Context) error {
	s := &r.in.Status
	for {
		for r.resume.ReceiveAsync(nil) {
			s.State = holdfast.ReplayRunning
		}
		for r.pause.ReceiveAsync(nil) {
			s.State = holdfast.ReplayPaused
		}
		for r.cancel.ReceiveAsync(nil) {
			s.State = holdfast.ReplayCancelled
		}
		if s.State != holdfast.ReplayPaused {
			return nil
		}
		if err := workflow.Await(ctx, func() bool { return r.resume.Len()+r.cancel.Len() > 0 }); err != nil {
			return err
		}
	}
}

// replays is nil: workflows refer to activities by method, the worker registers the real ones.
var (
	replays *activities.Replays
	sweeps  *activities.Sweeps
)

// paged is for activities that go through many deliveries.
func paged(ctx workflow.Context) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue: QueueMain, StartToCloseTimeout: 2 * time.Minute, HeartbeatTimeout: 30 * time.Second, RetryPolicy: weFailed,
	})
}
