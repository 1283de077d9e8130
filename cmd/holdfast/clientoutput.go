package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// message is an answer.
type message = proto.Message

// show prints an answer: as JSON where asked for, else by what rows adds to a table.
func (c *client) show(answer message, rows func(t *table)) error {
	if c.json {
		return c.showJSON(answer)
	}
	t := &table{w: tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)}
	rows(t)
	return t.w.Flush()
}

// showJSON prints the fields of all answers as one object.
func (c *client) showJSON(answers ...message) error {
	fields := map[string]json.RawMessage{}
	for _, answer := range answers {
		raw, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(answer)
		if err == nil {
			err = json.Unmarshal(raw, &fields)
		}
		if err != nil {
			return err
		}
	}
	encoder := json.NewEncoder(c.out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(fields)
}

// table aligns its rows.
type table struct{ w *tabwriter.Writer }

// row adds a line of cells, fit for a terminal.
func (t *table) row(cells ...any) {
	texts := make([]string, len(cells))
	for i, cell := range cells {
		texts[i] = printable(fmt.Sprint(cell))
		if texts[i] == "" {
			texts[i] = "-"
		}
	}
	_, _ = fmt.Fprintln(t.w, strings.Join(texts, "\t"))
}

// fact adds a line of a name and a value, unless there is none.
func (t *table) fact(name string, value any) {
	if text := fmt.Sprint(value); text != "" {
		t.row(name, text)
	}
}

// gap ends a block of rows that are aligned with one another.
func (t *table) gap() {
	_ = t.w.Flush()
	_, _ = fmt.Fprintln(t.w)
	_ = t.w.Flush()
}

// word is the last part of an enum value's name in lower case: WEBHOOK_STATE_ACTIVE is active.
func word(value fmt.Stringer, prefix string) string {
	return strings.ToLower(strings.TrimPrefix(value.String(), prefix))
}

func stamp(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return t.AsTime().UTC().Format(time.RFC3339)
}

func length(d *durationpb.Duration) string {
	if d == nil {
		return ""
	}
	return d.AsDuration().String()
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// printable keeps what others wrote from steering the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
