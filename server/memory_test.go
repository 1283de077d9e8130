package server_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	holdfast "github.com/emprops/holdfast"
	"github.com/emprops/holdfast/activities"
	"github.com/emprops/holdfast/server"
)

// memoryRegistrations keeps what the port promises, in memory: changes touch what they name, a revision that is not the
// last is aborted, and a request id is carried out once.
type memoryRegistrations struct {
	mu       sync.Mutex
	revision int64
	fakes    *fakes
	done     map[string]server.RegisterResult
	seen     []server.Requested
	reasons  []string
}

// remember makes the webhooks known and lets all operations work on them.
func (f *fakes) remember(webhooks ...*holdfast.Webhook) *memoryRegistrations {
	m := &memoryRegistrations{fakes: f, done: map[string]server.RegisterResult{}}
	for _, w := range webhooks {
		m.revision = max(m.revision, w.Revision, 1)
		w.Revision = m.revision
	}
	f.webhooks = webhooks
	f.change = func(_ context.Context, r server.ChangeRequest) (server.RegisterResult, error) {
		return m.operate(r.Requested, holdfast.OperationChange, func(w *holdfast.Webhook, _ *server.RegisterResult) error {
			if err := activities.ApplyChange(w, &r.Webhook, r.Fields); err != nil {
				return err
			}
			return holdfast.Invalid(w.Violations())
		})
	}
	f.rotate = func(_ context.Context, r server.RotateRequest) (server.RegisterResult, error) {
		return m.operate(r.Requested, holdfast.OperationRotate, func(w *holdfast.Webhook, result *server.RegisterResult) error {
			if r.Overlap > 0 {
				until := time.Now().Add(r.Overlap).UnixMilli()
				w.RetiringSecrets = append(w.RetiringSecrets, holdfast.RetiringSecret{Secret: w.Secret, Until: until})
			}
			w.Secret = r.Secret
			if r.Secret == "" {
				w.Secret, result.Secret = "whsec_generated", "whsec_generated"
			}
			return nil
		})
	}
	f.disconnect = func(_ context.Context, r server.SwitchRequest) (server.RegisterResult, error) {
		return m.operate(r.Requested, holdfast.OperationDisconnect, func(w *holdfast.Webhook, _ *server.RegisterResult) error {
			m.reasons = append(m.reasons, r.Reason)
			w.Disconnected = true
			w.Disconnection = &holdfast.Disconnection{
				Cause: holdfast.DisconnectedByOperator, Reason: r.Reason, Since: 5000, Actor: r.Actor,
			}
			return nil
		})
	}
	f.reconnect = func(_ context.Context, r server.SwitchRequest) (server.RegisterResult, error) {
		return m.operate(r.Requested, holdfast.OperationReconnect, func(w *holdfast.Webhook, _ *server.RegisterResult) error {
			m.reasons = append(m.reasons, r.Reason)
			w.Disconnected, w.Disconnection, w.ConsecutiveFailures = false, nil, 0
			return nil
		})
	}
	f.remove = func(_ context.Context, r server.Requested) (holdfast.Registration, error) {
		result, err := m.operate(r, holdfast.OperationDelete, func(*holdfast.Webhook, *server.RegisterResult) error { return nil })
		if err == nil {
			result.Registration.State = holdfast.WebhookDeleted
			f.webhooks = slices.DeleteFunc(slices.Clone(f.webhooks), func(w *holdfast.Webhook) bool { return w.ID == r.ID })
		}
		return result.Registration, err
	}
	return m
}

func (m *memoryRegistrations) operate(
	r server.Requested, operation string, change func(*holdfast.Webhook, *server.RegisterResult) error,
) (server.RegisterResult, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.seen = append(m.seen, r)
	if done, repeated := m.done[r.RequestID]; repeated && r.RequestID != "" {
		return done, nil
	}
	i := slices.IndexFunc(m.fakes.webhooks, func(w *holdfast.Webhook) bool { return w.ID == r.ID })
	if i < 0 {
		return server.RegisterResult{}, holdfast.Errorf(holdfast.CodeNotFound, "webhook %s does not exist", r.ID)
	}
	changed := *m.fakes.webhooks[i]
	changed.Headers = maps.Clone(changed.Headers)
	if r.ExpectedRevision != 0 && r.ExpectedRevision != changed.Revision {
		return server.RegisterResult{}, holdfast.Errorf(holdfast.CodeAborted, "the revision is %d, not %d", changed.Revision, r.ExpectedRevision)
	}
	result := server.RegisterResult{}
	if err := change(&changed, &result); err != nil {
		return server.RegisterResult{}, fmt.Errorf("check: %w", err)
	}
	m.revision++
	changed.Revision = m.revision
	m.fakes.webhooks[i] = &changed
	result.Webhook = changed
	result.Registration = holdfast.Registration{
		WebhookID: r.ID, Operation: operation, Status: holdfast.RegistrationConfirmed, State: changed.State(), Revision: m.revision,
		Steps: []holdfast.Step{{Operation: operation, Name: holdfast.StepWrite, Status: holdfast.StepDone, Actor: r.Actor}},
	}
	m.done[r.RequestID] = result
	return result, nil
}

// memoryOperations keeps what the port promises, in memory.
type memoryOperations struct {
	overview server.Overview
	reports  []holdfast.ConsistencyReport // newest first
	nodes    []holdfast.NodeStatus
	alerts   []holdfast.Alert
	err      error
	busy     bool // checks outlast every wait
	waited   time.Duration
}

func (m *memoryOperations) Overview(context.Context) (server.Overview, error) {
	return m.overview, m.err
}

func (m *memoryOperations) SeriesOverAll(_ context.Context, step server.SeriesStep) ([]server.StatsBucket, error) {
	return threeBuckets(step), m.err
}

// threeBuckets is a series of which the middle has one attempt.
func threeBuckets(step server.SeriesStep) []server.StatsBucket {
	width := map[server.SeriesStep]time.Duration{server.Hourly: time.Hour, server.Daily: 24 * time.Hour}[step].Milliseconds()
	return []server.StatsBucket{
		{Start: 100 * width},
		{Start: 101 * width, Attempts: 7, SuccessfulAttempts: 1, FailedAttempts: 6, Delivered: 2, Exhausted: 3, Cancelled: 4, AverageResponseMS: 2.5},
		{Start: 102 * width},
	}
}

func (m *memoryOperations) ConsistencyReports(_ context.Context, limit int) ([]holdfast.ConsistencyReport, error) {
	return m.reports[:min(limit, len(m.reports))], m.err
}

func (m *memoryOperations) CheckConsistency(_ context.Context, wait time.Duration) (holdfast.ConsistencyReport, error) {
	m.waited = wait
	switch {
	case m.err != nil:
		return holdfast.ConsistencyReport{}, m.err
	case m.busy:
		return holdfast.ConsistencyReport{}, holdfast.Errorf(holdfast.CodeExhausted, "the check takes longer; ask for its report later")
	}
	r := holdfast.ConsistencyReport{StartedAt: 9000, Consistent: true}
	if len(m.reports) > 0 {
		r = m.reports[0]
	}
	m.reports = append([]holdfast.ConsistencyReport{r}, m.reports...)
	return r, nil
}

func (m *memoryOperations) Nodes(context.Context) ([]holdfast.NodeStatus, error) {
	return m.nodes, m.err
}

func (m *memoryOperations) Alerts(_ context.Context, resolved bool) ([]holdfast.Alert, error) {
	open := slices.DeleteFunc(slices.Clone(m.alerts), func(a holdfast.Alert) bool { return !resolved && a.ResolvedAt != 0 })
	return open, m.err
}
