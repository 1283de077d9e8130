package jobevents

import (
	"slices"
	"time"
)

// KeysOf lists the keys that the data of live events of a type can have: "workflow_details.id" is the key id inside
// workflow_details. None for a type that no message is mapped to.
func KeysOf(eventType string) []string {
	var keys []string
	for _, f := range slices.Concat(mappings[eventType], lookedUp[eventType].adds) {
		keys = append(keys, f.key)
		for _, inner := range f.chosen {
			keys = append(keys, f.key+"."+inner)
		}
	}
	return keys
}

// Failures lets a test go through the pairing of failures at instants of its own.
type Failures struct{ f *failures }

// NewFailures makes one for a number of jobs and of bytes that wait.
func NewFailures(wait time.Duration, maxJobs, maxBytes int) *Failures {
	return &Failures{newFailures(wait, maxJobs, maxBytes)}
}

// Offer takes a message in after all whose wait is over, and returns the events that are to be sent.
func (x *Failures) Offer(message string, now time.Time) (sent []Failure) {
	sent = x.Due(now)
	m, _ := mapMessage(channelFailed, []byte(message), now)
	ended, _ := x.f.offer(m, now)
	return append(sent, outside(ended)...)
}

// Due returns the events whose wait is over.
func (x *Failures) Due(now time.Time) []Failure {
	ended, _ := x.f.due(now)
	return outside(ended)
}

// Held is how many jobs are remembered and how many bytes wait.
func (x *Failures) Held() (jobs, bytes int) { return len(x.f.jobs), x.f.bytes }

// Failure is an event of a failure: which of its job's, by the replica's count, and its data.
type Failure struct {
	Job    string
	Number int
	Data   string
}

func outside(ended []*failure) (sent []Failure) {
	for _, f := range ended {
		if !f.late {
			sent = append(sent, Failure{text(f.fields["job_id"]), f.number, string(f.event.Data)})
		}
	}
	return sent
}
