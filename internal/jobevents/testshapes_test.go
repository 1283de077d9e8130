package jobevents_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/jobevents"
	"github.com/emprops/holdfast/internal/testevents"
)

// A receiver that was built against test events understands live ones: whatever a live event can have, the test event of
// its type has, and in the same kind of value.
func TestD35_TestEventsHaveEverythingThatLiveEventsHave(t *testing.T) {
	t.Parallel()
	mapped := 0
	for _, eventType := range holdfast.EventTypes {
		e, err := testevents.New(eventType, now)
		require.NoError(t, err)
		test := fields(t, e.Data)
		for _, key := range jobevents.KeysOf(eventType) {
			mapped++
			require.Contains(t, test, key, "%s: %s", eventType, e.Data)
		}
		live := kindsInLiveEvents(t, eventType)
		for key, kind := range test {
			if len(live[key]) > 0 {
				require.Contains(t, live[key], kind, "%s.%s", eventType, key)
			}
		}
	}
	require.Greater(t, mapped, 50, "the live mapping was looked at")
}

// kindsInLiveEvents are the kinds of value that the keys have in the examples of what publishers send.
func kindsInLiveEvents(t *testing.T, eventType string) map[string][]string {
	t.Helper()
	kinds := map[string][]string{}
	for _, example := range mappings {
		if example.channel != eventType && (eventType != "machine_status" || !strings.HasPrefix(example.channel, "machine:")) || strings.HasPrefix(example.name, "types are not") {
			continue
		}
		e, _, err := jobevents.Map(example.channel, []byte(example.message), now)
		require.NoError(t, err)
		for key, kind := range fields(t, e.Data) {
			if kind != "null" && !slices.Contains(kinds[key], kind) {
				kinds[key] = append(kinds[key], kind)
			}
		}
	}
	return kinds
}

// fields lists the keys of an object and of the objects in it as paths, with the kinds of their values.
func fields(t *testing.T, data []byte) map[string]string {
	t.Helper()
	out := map[string]string{}
	var list func(prefix string, raw []byte)
	list = func(prefix string, raw []byte) {
		var object map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(raw, &object))
		for key, value := range object {
			out[prefix+key] = kind(value)
			if value[0] == '{' {
				list(prefix+key+".", value)
			}
		}
	}
	list("", data)
	return out
}

func kind(value json.RawMessage) string {
	switch value[0] {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	return "number"
}
