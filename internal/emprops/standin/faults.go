package standin

import (
	"context"
	"sync"
	"time"

	"github.com/emprops/holdfast"
)

// Faults are the ways in which the stand-in fails on demand. The zero value is a healthy platform.
type Faults struct {
	Down bool `json:"down"` // every request is answered 503
	Hang bool `json:"hang"` // no request is answered, none takes effect, until the fault is lifted
	// DelayMS holds back every answer, in milliseconds, after the request took effect: a caller that gives up has its
	// write applied without knowing.
	DelayMS    int    `json:"delay_ms"`
	Reject     string `json:"reject"`      // writes of webhooks are refused with 422 and this reason
	Forget     bool   `json:"forget"`      // new and changed webhooks are accepted (201, 200) but not stored
	StaleReads int    `json:"stale_reads"` // the next n reads of webhooks show the state before the last write
	FailNext   int    `json:"fail_next"`   // the next n requests are answered 500 and take no effect
}

const maxDelayMS = 10 * 60 * 1000

// check returns CodeInvalid naming what is out of range.
func (f Faults) check() error {
	var v []holdfast.Violation
	if f.DelayMS < 0 || f.DelayMS > maxDelayMS {
		v = append(v, holdfast.Violation{Field: "delay_ms", Description: "must be between 0 and 600000"})
	}
	if f.StaleReads < 0 {
		v = append(v, holdfast.Violation{Field: "stale_reads", Description: "must not be negative"})
	}
	if f.FailNext < 0 {
		v = append(v, holdfast.Violation{Field: "fail_next", Description: "must not be negative"})
	}
	return holdfast.Invalid(v)
}

// faults are the present faults, with a notice to requests that wait because of them.
type faults struct {
	mu      sync.Mutex
	now     Faults
	changed chan struct{}
}

func newFaults() *faults { return &faults{changed: make(chan struct{})} }

func (f *faults) set(next Faults) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = next
	close(f.changed)
	f.changed = make(chan struct{})
}

func (f *faults) get() Faults {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

// admit waits while the platform hangs, takes one of the counted failures and returns the faults for this request.
func (f *faults) admit(ctx context.Context) (now Faults, fail bool, err error) {
	for {
		if err := ctx.Err(); err != nil {
			return Faults{}, false, err // lifting the fault must not let a request through whose caller is gone
		}
		f.mu.Lock()
		if !f.now.Hang {
			defer f.mu.Unlock()
			if fail = f.now.FailNext > 0; fail {
				f.now.FailNext--
			}
			return f.now, fail, nil
		}
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return Faults{}, false, ctx.Err()
		}
	}
}

// staleRead takes one of the counted stale reads.
func (f *faults) staleRead() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.now.StaleReads == 0 {
		return false
	}
	f.now.StaleReads--
	return true
}

func delay(ctx context.Context, ms int) {
	if ms == 0 {
		return
	}
	timer := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// SetFaults replaces all faults. The error is CodeInvalid for numbers out of range.
func (s *Server) SetFaults(f Faults) error {
	if err := f.check(); err != nil {
		return err
	}
	s.faults.set(f)
	return nil
}

// Faults returns the faults in force; counted ones show what is left of them.
func (s *Server) Faults() Faults { return s.faults.get() }
