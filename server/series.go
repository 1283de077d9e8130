package server

import (
	"math"
	"time"

	holdfast "github.com/emprops/holdfast"
	holdfastv1 "github.com/emprops/holdfast/proto/gen/holdfast/v1"
)

// seriesQuery is the part of a series that is wanted; the zero value wants none.
type seriesQuery struct {
	step     SeriesStep
	from, to int64 // ms; of the times from from and before to
}

func seriesOf(q *holdfastv1.SeriesQuery) (seriesQuery, []holdfast.Violation) {
	out := seriesQuery{from: math.MinInt64, to: math.MaxInt64}
	if q == nil {
		return seriesQuery{}, nil
	}
	var violations []holdfast.Violation
	add := func(bad bool, field, text string) {
		if bad {
			violations = append(violations, holdfast.Violation{Field: "series." + field, Description: text})
		}
	}
	step, v := wordOf(holdfastv1.SeriesStep_name, int32(q.GetStep()), seriesStepPrefix)
	add(len(v) > 0 || step == "", "step", "must be SERIES_STEP_HOUR or SERIES_STEP_DAY")
	add(q.GetFrom() != nil && q.GetFrom().CheckValid() != nil, "from", "is not a valid time")
	add(q.GetTo() != nil && q.GetTo().CheckValid() != nil, "to", "is not a valid time")
	out.step = SeriesStep(step)
	if q.GetFrom() != nil {
		out.from = q.GetFrom().AsTime().UnixMilli()
	}
	if q.GetTo() != nil {
		out.to = q.GetTo().AsTime().UnixMilli()
	}
	add(out.from >= out.to, "from", "must be before to")
	return out, violations
}

// width is that of the buckets, in ms.
func (q seriesQuery) width() int64 {
	if q.step == Daily {
		return 24 * time.Hour.Milliseconds()
	}
	return time.Hour.Milliseconds()
}

// read returns the buckets that hold a part of the time wanted.
func (q seriesQuery) read(kept func(SeriesStep) ([]StatsBucket, error)) ([]*holdfastv1.StatsBucket, error) {
	if q.step == "" {
		return nil, nil
	}
	buckets, err := kept(q.step)
	if err != nil {
		return nil, err
	}
	var out []*holdfastv1.StatsBucket
	for i := range buckets {
		if b := &buckets[i]; b.Start+q.width() > q.from && b.Start < q.to {
			out = append(out, bucketMessage(b))
		}
	}
	return out, nil
}

func bucketMessage(b *StatsBucket) *holdfastv1.StatsBucket {
	return &holdfastv1.StatsBucket{
		StartTime: timeOfMS(b.Start), Attempts: b.Attempts, SuccessfulAttempts: b.SuccessfulAttempts, FailedAttempts: b.FailedAttempts,
		Delivered: b.Delivered, Exhausted: b.Exhausted, Cancelled: b.Cancelled, AverageResponse: durationOfFractionalMS(b.AverageResponseMS),
	}
}
