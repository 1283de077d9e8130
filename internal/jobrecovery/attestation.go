package jobrecovery

import (
	"encoding/json"
	"time"
)

// attestation is what of an attestation is needed, under any of the names that the broker and the workers use.
type attestation struct {
	Workflow   string          `json:"workflow_id"`
	CreatedAt  json.RawMessage `json:"attestation_created_at"`
	CompleteAt json.RawMessage `json:"api_determined_complete_at"`
	FailedAt   json.RawMessage `json:"failed_at"`
	Timestamp  json.RawMessage `json:"timestamp"`
	FailedJob  string          `json:"failed_job_id"`
	Job        string          `json:"job_id"`
	Completion struct {
		CompletedAt json.RawMessage `json:"completed_at"`
	} `json:"job_completion_data"`

	all map[string]json.RawMessage
}

// parse reads an attestation; ok is false for what is none.
func parse(text string) (a attestation, ok bool) {
	raw := []byte(text)
	if json.Unmarshal(raw, &a.all) != nil || json.Unmarshal(raw, &a) != nil || a.Workflow == "" {
		return a, false
	}
	return a, !a.at().IsZero()
}

// at is when the outcome was attested; zero when nothing tells.
func (a *attestation) at() time.Time {
	for _, v := range []json.RawMessage{a.CreatedAt, a.FailedAt, a.CompleteAt, a.Completion.CompletedAt, a.Timestamp} {
		if at, ok := instant(v); ok {
			return at
		}
	}
	return time.Time{}
}

// instant reads a time in either form that the broker writes: ms since the epoch, or ISO 8601.
func instant(v json.RawMessage) (time.Time, bool) {
	var ms float64
	if json.Unmarshal(v, &ms) == nil && ms > 0 {
		return time.UnixMilli(int64(ms)), true
	}
	var text string
	if json.Unmarshal(v, &text) != nil {
		return time.Time{}, false
	}
	at, err := time.Parse(time.RFC3339, text)
	return at, err == nil
}
