//go:build unix

package devserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// inProcess is a substitute for a Redis server in this process: enough to try Holdfast where no server is installed.
type inProcess struct {
	addr string

	mu     sync.Mutex
	server *miniredis.Miniredis
	quit   chan struct{}
	clock  sync.WaitGroup
}

func newInProcess(addr string) *inProcess { return &inProcess{addr: addr} }

func (p *inProcess) start(context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server != nil {
		return nil
	}
	m := miniredis.NewMiniRedis()
	if err := m.StartAddr(p.addr); err != nil {
		return fmt.Errorf("start in-process Redis: %w", err)
	}
	p.server, p.quit = m, make(chan struct{})
	p.clock.Go(func() { passTime(m, p.quit) })
	return nil
}

// passTime lets keys expire: miniredis, made for tests, has no clock of its own.
func passTime(m *miniredis.Miniredis, quit <-chan struct{}) {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	last := time.Now()
	for {
		select {
		case <-quit:
			return
		case now := <-tick.C:
			m.FastForward(now.Sub(last))
			last = now
		}
	}
}

func (p *inProcess) pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server == nil {
		return 0
	}
	return os.Getpid()
}

func (p *inProcess) kill() error {
	p.stop()
	return nil
}

func (p *inProcess) restart(ctx context.Context) error { return p.start(ctx) }

var errNoPause = errors.New("the in-process Redis cannot be paused")

func (p *inProcess) pause() error  { return errNoPause }
func (p *inProcess) resume() error { return errNoPause }

func (p *inProcess) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.server == nil {
		return
	}
	close(p.quit)
	p.clock.Wait()
	p.server.Close()
	p.server = nil
}
