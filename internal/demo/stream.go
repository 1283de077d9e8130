package demo

import (
	"bufio"
	"bytes"
	"crypto/rand"
	_ "embed" // for the stream
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// stream is what the job broker and its workers publish in the life of a workflow with one job, and of a single job that
// fails: one message a line, in the shapes of CONTRACT 2.3–2.11. Placeholders are filled in at each run, so that runs are
// distinct events:
//
//	$RUN             inside a string: the run's id
//	"$START" "$NOW"  ms since the epoch, of the run's first message and of this one
//	$ISO             inside a string: now in ISO 8601
//
//go:embed stream.jsonl
var stream []byte

// message is one message of the stream.
type message struct {
	Channel string          `json:"channel"`
	AfterMS int64           `json:"after_ms"` // since the first message
	Message json.RawMessage `json:"message"`

	run       string
	published time.Time // zero before
	listeners int64     // how many subscribers Redis handed it to
}

// facts are the fields of a message that the demo looks at.
type facts struct {
	JobID      string   `json:"job_id"`
	WorkflowID string   `json:"workflow_id"`
	Progress   *float64 `json:"progress"`
	Timestamp  int64    `json:"timestamp"`
}

// recorded reads the stream for a run.
func recorded(run string) ([]*message, error) {
	var messages []*message
	lines := bufio.NewScanner(bytes.NewReader(stream))
	for lines.Scan() {
		m := &message{run: run}
		if err := json.Unmarshal(lines.Bytes(), m); err != nil {
			return nil, fmt.Errorf("the recorded stream, line %d: %w", len(messages)+1, err)
		}
		messages = append(messages, m)
	}
	return messages, lines.Err()
}

// fill replaces the placeholders.
func (m *message) fill(start, now time.Time) {
	m.Message = json.RawMessage(strings.NewReplacer(
		"$RUN", m.run,
		`"$START"`, strconv.FormatInt(start.UnixMilli(), 10),
		`"$NOW"`, strconv.FormatInt(now.UnixMilli(), 10),
		"$ISO", now.UTC().Format("2006-01-02T15:04:05.000Z"),
	).Replace(string(m.Message)))
}

// facts reads the message, which is filled.
func (m *message) facts() (f facts, err error) {
	if err = json.Unmarshal(m.Message, &f); err != nil {
		err = fmt.Errorf("the recorded message for %s: %w", m.Channel, err)
	}
	return f, err
}

// about names what the message is about.
func (f facts) about() string {
	switch {
	case f.JobID == "":
		return f.WorkflowID
	case f.Progress != nil:
		return fmt.Sprintf("%s at %g %%", f.JobID, *f.Progress)
	}
	return f.JobID
}

func newRunID() string { return "demo-" + strings.ToLower(rand.Text()[:6]) }
