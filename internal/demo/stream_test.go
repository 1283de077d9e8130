package demo

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/jobevents"
)

func filled(t *testing.T, run string, start time.Time) []*message {
	t.Helper()
	messages, err := recorded(run)
	require.NoError(t, err)
	for _, m := range messages {
		m.published = start.Add(time.Duration(m.AfterMS) * time.Millisecond)
		m.fill(start, m.published)
	}
	return messages
}

func TestEveryRecordedMessageIsAnEventThatTheDemoWaitsFor(t *testing.T) {
	t.Parallel()
	start := time.UnixMilli(1757066400123)
	for _, m := range filled(t, "demo-x", start) {
		require.True(t, json.Valid(m.Message), m.Channel)
		require.NotContains(t, string(m.Message), "$", m.Channel)
		require.Contains(t, string(m.Message), "demo-x", m.Channel)
		require.True(t, slices.ContainsFunc(endpoints, func(e endpoint) bool { return slices.Contains(e.events, m.Channel) }), m.Channel)

		event, ok, err := jobevents.Map(m.Channel, m.Message, start)
		require.NoError(t, err, m.Channel)
		require.True(t, ok, m.Channel)
		f, err := m.facts()
		require.NoError(t, err)
		require.Equal(t, m.published.UnixMilli(), f.Timestamp, m.Channel)
		require.Equal(t, f.Timestamp, event.Timestamp, m.Channel)
		var data facts
		require.NoError(t, json.Unmarshal(event.Data, &data))
		require.Equal(t, []string{f.JobID, f.WorkflowID}, []string{data.JobID, data.WorkflowID}, m.Channel)
	}
}

func TestTheStreamTellsTheWholeStoryInUnderEightSeconds(t *testing.T) {
	t.Parallel()
	var channels []string
	progress := map[string]int64{}
	last := int64(0)
	for _, m := range filled(t, "demo-x", time.UnixMilli(1757066400000)) {
		require.GreaterOrEqual(t, m.AfterMS, last)
		last = m.AfterMS
		channels = append(channels, m.Channel)
		if m.Channel != "update_job_progress" {
			continue
		}
		f, err := m.facts()
		require.NoError(t, err)
		if before, again := progress[f.JobID]; again {
			require.Greater(t, m.AfterMS-before, int64(1100), "progress inside the throttle's window may be replaced (CONTRACT 2.13)")
		}
		progress[f.JobID] = m.AfterMS
	}
	require.Equal(t, []string{
		"workflow_submitted", "job_submitted", "update_job_progress", "update_job_progress", "update_job_progress",
		"complete_job", "job_submitted", "job_failed", "workflow_completed",
	}, channels)
	require.Less(t, last, int64(8000))
}

func TestTwoRunsAreDistinctEvents(t *testing.T) {
	t.Parallel()
	start := time.UnixMilli(1757066400000)
	one, other := filled(t, newRunID(), start), filled(t, newRunID(), start)
	for i := range one {
		a, _, err := jobevents.Map(one[i].Channel, one[i].Message, start)
		require.NoError(t, err)
		b, _, err := jobevents.Map(other[i].Channel, other[i].Message, start)
		require.NoError(t, err)
		require.NotEqual(t, a.ID, b.ID, one[i].Channel)
	}
}

func TestPlaceholdersKeepTheirJSONType(t *testing.T) {
	t.Parallel()
	m := &message{run: "r1", Message: json.RawMessage(`{"id":"wf-$RUN-1","start":"$START","now":"$NOW","at":"$ISO"}`)}
	start := time.UnixMilli(1757066400005)
	m.fill(start, start.Add(1500*time.Millisecond))
	require.Equal(t,
		`{"id":"wf-r1-1","start":1757066400005,"now":1757066401505,"at":"2025-09-05T10:00:01.505Z"}`, string(m.Message))
}

func TestWhatAMessageIsAbout(t *testing.T) {
	t.Parallel()
	half := 50.0
	require.Equal(t, "wf-1", facts{WorkflowID: "wf-1"}.about())
	require.Equal(t, "job-1", facts{JobID: "job-1", WorkflowID: "wf-1"}.about())
	require.Equal(t, "job-1 at 50 %", facts{JobID: "job-1", Progress: &half}.about())
}

func TestARunIDFitsIntoIDs(t *testing.T) {
	t.Parallel()
	require.Regexp(t, `^demo-[a-z2-7]{6}$`, newRunID())
}
