package server

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"pgregory.net/rapid"

	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// FuzzUnmarshalPublishEvent: what is lifted is what encoding/json finds there, and the rest means what it meant before.
func FuzzUnmarshalPublishEvent(f *testing.F) {
	for _, seed := range []string{
		`{"event":{"id":"a","type":"b","data":{"x":[1,{"y":"}"}]},"timestamp":"2024-01-01T00:00:00Z"}}`,
		`{"event":{"data":{}}}`, `{"event":{"data":[]}}`, `{"event":{"data":7}}`, `{"event":{"data":"\""}}`,
		`{"event":{"data":{"a":1},"dataJson":"e30="}}`, `{"x":{"data":1},"event":{}}`, `{"event":[{"data":1}]}`,
		`{"\u0065vent":{"d\u0061ta":{"a":1}}}`, `{"event":{"data":`, `{"event":{"data":}}`, `{"event":{"data":{]}}}`,
		`{"event":{"data":tru}}`, `{"event":{"data":{"a":"\`, `{"event":{"data":1 2}}`, "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var got holdfastv1.PublishEventRequest
		err := jsonCodec{"json"}.Unmarshal(body, &got)
		var plain holdfastv1.PublishEventRequest
		if plainErr := protojson.Unmarshal(body, &plain); plainErr == nil {
			require.NoError(t, err, "what protojson reads is read")
			require.Equal(t, plain.GetEvent().GetId(), got.GetEvent().GetId())
			require.Equal(t, plain.GetEvent().GetType(), got.GetEvent().GetType())
			require.Equal(t, plain.GetEvent().GetData() != nil && len(plain.GetEvent().GetDataJson()) > 0,
				got.GetEvent().GetData() != nil && len(got.GetEvent().GetDataJson()) > 0, "both forms are seen as both")
		}
		var want struct {
			Event struct{ Data json.RawMessage }
		}
		if err == nil && plain.GetEvent().GetData() != nil && len(plain.GetEvent().GetDataJson()) == 0 &&
			got.GetEvent().GetData() == nil {
			require.NoError(t, json.Unmarshal(body, &want))
			require.JSONEq(t, string(want.Event.Data), string(got.GetEvent().GetDataJson()))
		}
	})
}

func TestLiftEventData_isByteExactForAnyObject(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var draw func(depth int) any
		draw = func(depth int) any {
			if depth == 0 {
				return rapid.OneOf(rapid.String().AsAny(), rapid.Float64().AsAny(), rapid.Bool().AsAny()).Draw(t, "leaf")
			}
			if rapid.Bool().Draw(t, "list") {
				return []any{draw(depth - 1), draw(depth - 1)}
			}
			return map[string]any{rapid.String().Draw(t, "key"): draw(depth - 1), rapid.String().Draw(t, "key2"): nil}
		}
		object := map[string]any{"data": draw(rapid.IntRange(0, 4).Draw(t, "depth"))}
		data, err := json.MarshalIndent(object, "", rapid.SampledFrom([]string{"", " ", "\t"}).Draw(t, "indent"))
		require.NoError(t, err)
		before := `{"event" : {"id":"a", "type":"data", "data": `
		body := []byte(before + string(data) + ` ,"timestamp":"2024-01-01T00:00:00Z"} }`)
		lifted, rest := liftEventData(body)
		require.Equal(t, string(data), string(lifted))
		require.Equal(t, before+"{}"+string(body[len(before)+len(data):]), string(rest))
	})
}
