package jobevents

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/emprops/holdfast/internal/jsjson"
)

// message is what a publisher sent: every value in its own bytes, so that numbers and text reach the receiver unchanged.
type message struct {
	channel string
	fields  map[string]json.RawMessage
	stamp   json.RawMessage // the timestamp when truthy, now otherwise (CONTRACT 2.2)
}

// field is one key of an event's data.
type field struct {
	key    string
	chosen []string                       // the keys inside it that go along, where only some do
	add    func(m *message, data *object) // appends it, or nothing when the message lacks it
}

// object is a JSON object under construction.
type object struct{ bytes []byte }

func (o *object) add(key string, value json.RawMessage) {
	separator := byte(',')
	if len(o.bytes) == 0 {
		separator = '{'
	}
	o.bytes = append(o.bytes, separator)
	o.bytes = jsjson.AppendString(o.bytes, key)
	o.bytes = append(o.bytes, ':')
	o.bytes = append(o.bytes, value...)
}

func (o *object) close() []byte {
	if len(o.bytes) == 0 {
		return []byte("{}")
	}
	return append(o.bytes, '}')
}

// common is a key that goes along only when truthy (CONTRACT 2.2).
func common(key string) field { return commonFrom(key, key) }

// commonFrom is common for a key that publishers spell differently: the first source that is truthy counts.
func commonFrom(key string, sources ...string) field {
	return field{key: key, add: func(m *message, data *object) {
		for _, source := range sources {
			if v := m.fields[source]; truthy(v) {
				data.add(key, v)
				return
			}
		}
	}}
}

// copied is a key that goes along as it is: null, false, 0 and "" too (CONTRACT 4.4).
func copied(key string) field { return copiedFrom(key, key) }

// copiedFrom is copied for a key that publishers spell differently: the first source that the message has counts.
func copiedFrom(key string, sources ...string) field {
	return field{key: key, add: func(m *message, data *object) {
		for _, source := range sources {
			if v, ok := m.fields[source]; ok {
				data.add(key, v)
				return
			}
		}
	}}
}

// numeric is a key that goes along as a number, also where the source spells one as text, and not at all otherwise.
func numeric(key, source string) field {
	return field{key: key, add: func(m *message, data *object) {
		if v := json.RawMessage(text(m.fields[source])); isNumber(v) && json.Valid(v) {
			data.add(key, v)
		}
	}}
}

// iso is a time as JavaScript's toISOString writes it, whether the source is such a text already or ms: the first source
// that is a time counts. Without one the key is absent.
func iso(key string, sources ...string) field {
	return field{key: key, add: func(m *message, data *object) {
		for _, source := range sources {
			v := m.fields[source]
			if source == stampOf {
				v = m.stamp
			}
			if ms, ok := instant(text(v)); ok {
				data.add(key, jsjson.AppendString(nil, time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z")))
				return
			}
		}
	}}
}

// stampOf is the source of a message's time, or of now where it has none.
const stampOf = "\x00timestamp"

// either takes the source when truthy and else the other one as it is, as JavaScript's || does.
func either(key, source, other string) field {
	return field{key: key, add: func(m *message, data *object) {
		if v := m.fields[source]; truthy(v) {
			data.add(key, v)
		} else if v, ok := m.fields[other]; ok {
			data.add(key, v)
		}
	}}
}

// defaulted is a key that is always there: the message's value when truthy, the literal otherwise.
func defaulted(key, literal string) field {
	return field{key: key, add: func(m *message, data *object) {
		if v := m.fields[key]; truthy(v) {
			data.add(key, v)
		} else {
			data.add(key, json.RawMessage(literal))
		}
	}}
}

// number0 is defaulted for a number of which 0 is no less a value than others.
func number0(key, literal string) field {
	otherwise := defaulted(key, literal)
	return field{key: key, add: func(m *message, data *object) {
		if v := m.fields[key]; isNumber(v) {
			data.add(key, v)
		} else {
			otherwise.add(m, data)
		}
	}}
}

// stamped is a key that is always there: the source when truthy, the message's time otherwise.
func stamped(key, source string) field {
	return field{key: key, add: func(m *message, data *object) {
		if v := m.fields[source]; truthy(v) {
			data.add(key, v)
		} else {
			data.add(key, m.stamp)
		}
	}}
}

// literal is a key with a fixed value.
func literal(key, value string) field {
	return field{key: key, add: func(_ *message, data *object) { data.add(key, json.RawMessage(value)) }}
}

// picked is an object of which only the given keys go along; anything but an object goes as it is.
func picked(key string, keys ...string) field {
	return field{key: key, chosen: keys, add: func(m *message, data *object) {
		v, ok := m.fields[key]
		if !ok {
			return
		}
		if len(v) > 0 && v[0] == '{' {
			inner := message{}
			if json.Unmarshal(v, &inner.fields) == nil {
				var o object
				for _, k := range keys {
					copied(k).add(&inner, &o)
				}
				v = o.close()
			}
		}
		data.add(key, v)
	}}
}

func integer(n int64) json.RawMessage { return strconv.AppendInt(nil, n, 10) }
