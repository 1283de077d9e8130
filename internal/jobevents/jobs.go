package jobevents

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/jsjson"
)

// Jobs reads what the job broker keeps of jobs.
type Jobs interface {
	// BrokerJob returns those of the fields that the broker's hash of a job has (CONTRACT 5.2); none when there is no such
	// job. CodeUnavailable.
	BrokerJob(ctx context.Context, id string, fields ...string) (map[string]string, error)
}

const (
	lookUpTimeout = 250 * time.Millisecond
	knownJobs     = 10_000
	maxJobText    = 256 // bytes of an id or a value; longer ones are not asked for, or kept
)

// What a job's hash can add to events whose messages lack it (D18, D27), by type: which field has the job's id, and the
// keys. In progress, total_steps and current_step are the service's own. A workflow's failure is not the job's.
var lookedUp = map[string]struct {
	id   string
	adds []field
}{
	channelProgress: {"job_id", slices.Concat(jobOfHash, workflowSteps)},
	channelComplete: {"job_id", slices.Concat(jobOfHash, stepsOfHash, workflowSteps)},
	channelFailed:   {"job_id", slices.Concat(jobOfHash, stepsOfHash, workflowSteps)},
	channelCancel:   {"job_id", slices.Concat(jobOfHash, stepsOfHash, workflowSteps)},

	channelWorkflowFailed: {"failed_job_id", jobOfHash[:1]},
}

var (
	jobOfHash = []field{
		commonFrom("job_type", "service_required"), common("workflow_id"), common("workflow_priority"), common("workflow_datetime"),
	}
	stepsOfHash = []field{common("total_steps"), common("current_step")}
)

// hashFields are all that is asked for of a job, and whether the text is a number.
var hashFields = map[string]bool{
	"service_required": false, "workflow_id": false, "workflow_priority": true, "workflow_datetime": true,
	"total_steps": true, "current_step": true, "status": false,
}

// again tells from a job's status what became of it after a failure. Of any other status that cannot be told: it may not
// have been written yet, or the next attempt may have begun.
var again = map[string]string{"pending": "true", "queued": "true", "failed": "false"}

// jobs remembers what was read of jobs, bounded: when it is full, any one makes room.
type jobs struct {
	store Jobs

	mu    sync.Mutex
	known map[string]message // as if the hash were a message
}

func newJobs(store Jobs) *jobs { return &jobs{store: store, known: map[string]message{}} }

// job is what is known of a job; nothing when it cannot be read in a short time. fresh asks again although it is known.
func (j *jobs) job(ctx context.Context, id string, fresh bool) (m message) {
	if id == "" || len(id) > maxJobText {
		return m
	}
	j.mu.Lock()
	m, ok := j.known[id]
	j.mu.Unlock()
	if ok && !fresh {
		return m
	}
	ctx, cancel := context.WithTimeout(ctx, lookUpTimeout)
	defer cancel()
	hash, err := j.store.BrokerJob(ctx, id, slices.Sorted(maps.Keys(hashFields))...)
	if err != nil || len(hash) == 0 {
		return m
	}
	m = message{fields: map[string]json.RawMessage{}}
	for key, value := range hash {
		asNumber := json.RawMessage(value)
		switch {
		case len(value) > maxJobText:
		case !hashFields[key]:
			m.fields[key] = jsjson.AppendString(nil, value)
		case isNumber(asNumber) && json.Valid(asNumber):
			m.fields[key] = asNumber
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.known) >= knownJobs {
		for other := range j.known {
			delete(j.known, other)
			break
		}
	}
	j.known[id] = m
	return m
}

// complete adds to an event what its message lacks and the broker keeps of the job. Nothing depends on it, the event's id
// least of all: what cannot be had in time is left out.
func (j *jobs) complete(ctx context.Context, e *holdfast.Event) {
	how, ok := lookedUp[e.Type]
	if !ok {
		return
	}
	data := inside(e.Data)
	lacks := slices.DeleteFunc(slices.Clone(how.adds), func(f field) bool { return data[f.key] != nil })
	undecided := e.Type == channelFailed && data["can_retry"] == nil
	if len(lacks) == 0 && !undecided {
		return
	}
	job := j.job(ctx, text(data[how.id]), undecided)
	o := object{bytes: slices.Clone(e.Data[:len(e.Data)-1])}
	if len(data) == 0 {
		o.bytes = nil
	}
	for _, f := range lacks {
		f.add(&job, &o)
	}
	if decided := again[text(job.fields["status"])]; undecided && decided != "" {
		o.add("can_retry", json.RawMessage(decided))
		o.add("will_retry", json.RawMessage(decided))
	}
	if len(o.bytes) < len(e.Data) {
		return // nothing was added
	}
	if canonical, err := jsjson.CanonicalObject(nil, o.close()); err == nil && len(canonical) <= holdfast.MaxEventBytes {
		e.Data = canonical
	}
}

// willRetry tells whether the data of a failure says that the job is tried again.
func willRetry(e *holdfast.Event) bool {
	return e.Type == channelFailed && truthy(inside(e.Data)["can_retry"])
}
