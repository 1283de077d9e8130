//go:build !lean

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// Report is a whole measurement. Its JSON is what --json prints.
type Report struct {
	Machine Machine  `json:"machine"`
	Payload int      `json:"payload_bytes"`
	Rows    []Row    `json:"rows"`
	Targets []Target `json:"targets"`

	Isolation *Isolation `json:"isolation,omitempty"`
}

// Machine is where it was made.
type Machine struct {
	Cores     int    `json:"cores"`
	Usable    int    `json:"gomaxprocs"`
	GoVersion string `json:"go_version"`
	System    string `json:"system"`
}

// Row is the figures of one row; the legend explains them.
type Row struct {
	Name       string         `json:"name"`
	Publishers int            `json:"publishers,omitempty"`
	Rate       int            `json:"events_per_second,omitempty"`
	Round      int            `json:"round,omitempty"`
	Load       string         `json:"load_average_before"`
	Seconds    float64        `json:"seconds"`
	Published  int            `json:"published"`
	Delivered  int            `json:"delivered"`
	PerSecond  float64        `json:"deliveries_per_second"`
	Ratio      float64        `json:"ratio_to_floor,omitempty"`
	CPURatio   float64        `json:"cpu_ratio_to_floor,omitempty"`
	Answer     Percentiles    `json:"answer_ms"`
	Arrival    Percentiles    `json:"arrival_ms"`
	CPU        CPU            `json:"cpu_ms_per_delivery"`
	Errors     int            `json:"errors"`
	ErrorTexts map[string]int `json:"error_texts,omitempty"`
	Missing    int            `json:"missing"`
	Repeated   int            `json:"repeated"`
	DrainMS    float64        `json:"drain_ms"`

	trips []time.Duration // publish to arrival, sorted
}

// Percentiles are in milliseconds.
type Percentiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// CPU is in milliseconds per delivery. The floor's publishers are part of its process.
type CPU struct {
	Process    float64 `json:"process"`
	Redis      float64 `json:"redis"`
	Receiver   float64 `json:"receiver"`
	Publishers float64 `json:"publishers"`
}

func (c CPU) total() float64 { return c.Process + c.Redis + c.Receiver + c.Publishers }

// Target is a promise about a figure.
type Target struct {
	Text  string  `json:"text"`
	Value float64 `json:"value"`
	Holds bool    `json:"holds"`
}

const (
	ratioAt64   = 0.5
	ratioAt256  = 0.33
	openRate    = 50
	openArrival = 10.0 // ms
)

const legend = `Figures:
  deliveries per s  events that arrived at the receiver in the time measured, per second
  of floor          deliveries per second as a share of the floor's with as many publishers, in the same run
  CPU of floor      CPU per delivery, of all processes together, as a multiple of the floor's; what else runs on the
                    machine moves it less than any other figure
  answer            from the call of PublishEvent to its answer, which means durable; ms
  arrival           from the call of PublishEvent to the receiver having read the request; ms. In an open loop both
                    count from when the event was due, so that a stall shows in everything it held up
  CPU per delivery  ms of CPU time in the time measured, by process: the node with its embedded Temporal (or the floor
                    with its publishers), Redis, the receiver, the publishers
  errors            calls of PublishEvent that failed; their texts follow the table
  missing           accepted events that had not arrived a minute after the load ended; of the whole row
  repeated          arrivals of an event beyond its first; of the whole row
  drain             from the end of the time measured to the last arrival, ms
  load              the machine's load average just before the row
  floor             a bare workflow on the same kind of embedded Temporal, started eagerly, whose one local activity posts
                    the payloads at once: grouped, with one start in flight and up to 256 payloads in a group, or ungrouped
  isolation         20 webhooks that get 10 events/s each, every event wanted by one of them; an open loop. In the rows with
                    3 of 20 bad, one answers after 30 s, one refuses connections and one sends headers and no body. All
                    figures but CPU and errors are of the 17 webhooks that are good in both rows, so that CPU per delivery
                    holds what the other three use
`

func newReport(o options, rows []Row) *Report {
	r := &Report{
		Machine: Machine{runtime.NumCPU(), runtime.GOMAXPROCS(0), runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH},
		Payload: o.Payload, Rows: rows,
	}
	unwhole := 0
	for i := range r.Rows {
		row := &r.Rows[i]
		if floor := r.floorOf(row); floor != nil && floor.PerSecond > 0 {
			row.Ratio = row.PerSecond / floor.PerSecond
			row.CPURatio = row.CPU.total() / floor.CPU.total()
		}
		r.expect(row)
		unwhole += row.Errors + row.Missing + row.Repeated
	}
	if r.Isolation = newIsolation(&o, rows); r.Isolation != nil {
		r.Targets = append(r.Targets, r.Isolation.target())
	}
	r.Targets = append(r.Targets, Target{"events refused, missing or repeated: none", float64(unwhole), unwhole == 0})
	return r
}

// floorOf returns the floor a row is compared with.
func (r *Report) floorOf(row *Row) *Row {
	floors := map[string]string{nameHoldfast: nameFloor, nameUngrouped: nameFloorOff}
	for i, floor := range r.Rows {
		if floor.Name == floors[row.Name] && floor.Publishers == row.Publishers {
			return &r.Rows[i]
		}
	}
	return nil
}

// expect adds the targets that a row is measured by.
func (r *Report) expect(row *Row) {
	ratio := map[int]float64{64: ratioAt64, 256: ratioAt256}[row.Publishers]
	switch {
	case row.Name == nameHoldfast && ratio > 0 && row.Ratio > 0:
		r.Targets = append(r.Targets, Target{
			fmt.Sprintf("share of the floor with %d publishers: at least %.2f", row.Publishers, ratio), row.Ratio, row.Ratio >= ratio,
		})
	case row.Name == nameOpen && row.Rate == openRate:
		r.Targets = append(r.Targets, Target{
			fmt.Sprintf("arrival p50 at %d events/s: under %.0f ms", row.Rate, openArrival), row.Arrival.P50,
			row.Delivered > 0 && row.Arrival.P50 < openArrival,
		})
	}
}

// hold tells whether every target holds.
func (r *Report) hold() bool {
	return !slices.ContainsFunc(r.Targets, func(t Target) bool { return !t.Holds })
}

func (r *Report) writeJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

func (r *Report) writeText(w io.Writer) error {
	var b bytes.Buffer
	m := r.Machine
	fmt.Fprintf(&b, "%d cores (GOMAXPROCS %d), %s, %s; payload %d bytes\n\n", m.Cores, m.Usable, m.GoVersion, m.System, r.Payload)
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, heading := range headings {
		writeCells(t, heading...)
	}
	for i := range r.Rows {
		r.Rows[i].write(t)
	}
	_ = t.Flush() // to a buffer
	for _, row := range r.Rows {
		for _, text := range slices.Sorted(maps.Keys(row.ErrorTexts)) {
			fmt.Fprintf(&b, "%s, %s: %d × %s\n", row.Name, row.who(), row.ErrorTexts[text], text)
		}
	}
	if r.Isolation != nil {
		fmt.Fprintf(&b, "\n%s", r.Isolation)
	}
	fmt.Fprintln(&b)
	for _, t := range r.Targets {
		fmt.Fprintf(&b, "%s  %s (measured %s)\n", map[bool]string{true: "holds ", false: "MISSED"}[t.Holds], t.Text,
			strconv.FormatFloat(t.Value, 'g', 3, 64))
	}
	fmt.Fprint(&b, "\n"+legend)
	_, err := w.Write(b.Bytes())
	return err
}

// who is what published.
func (r *Row) who() string {
	if r.Rate > 0 {
		return strconv.Itoa(r.Rate) + "/s"
	}
	return strconv.Itoa(r.Publishers)
}

// headings are the two lines above the rows.
var headings = [][]string{
	{"", "publish-", "deliveries", "of", "CPU of", "answer", "answer", "arrival", "arrival", "arrival", "CPU", "CPU", "CPU", "CPU"},
	{
		"row", "ers", "per s", "floor", "floor", "p50 ms", "p99 ms", "p50 ms", "p95 ms", "p99 ms", "process ms", "Redis ms", "receiver ms",
		"publishers ms", "errors", "missing", "repeated", "drain ms", "load",
	},
}

// writeCells writes a line of the table: figures to the right, the name before them to the left.
func writeCells(w io.Writer, cells ...string) {
	cells = append(cells, make([]string, len(headings[1])-len(cells))...)
	cells[0] = fmt.Sprintf("%-*s", len(nameSomeBad), cells[0])
	fmt.Fprintln(w, strings.Join(cells, "\t")+"\t")
}

func (r *Row) write(w io.Writer) {
	figure := func(v float64, decimals int) string { return strconv.FormatFloat(v, 'f', decimals, 64) }
	some := func(v float64, decimals int) string { // what the row has not is not zero
		if v == 0 {
			return "-"
		}
		return figure(v, decimals)
	}
	writeCells(w, r.Name, r.who(), figure(r.PerSecond, 0), some(r.Ratio, 2), some(r.CPURatio, 2),
		figure(r.Answer.P50, 2), figure(r.Answer.P99, 2), figure(r.Arrival.P50, 2), figure(r.Arrival.P95, 2), figure(r.Arrival.P99, 2),
		figure(r.CPU.Process, 3), some(r.CPU.Redis, 3), figure(r.CPU.Receiver, 3), some(r.CPU.Publishers, 3),
		strconv.Itoa(r.Errors), strconv.Itoa(r.Missing), strconv.Itoa(r.Repeated), figure(r.DrainMS, 0), r.Load)
}
