package app

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/emprops/holdfast/internal/consistency"
)

// health tells whether the node can do its work, by asking what it depends on.
type health struct {
	app         *App
	consistency *consistency.Health
	connected   atomic.Bool // workers and ingress run
}

func newHealth(a *App) *health {
	return &health{app: a, consistency: &consistency.Health{Reports: a.store, Interval: a.cfg.Registry.CheckInterval, Now: time.Now}}
}

// componentTimeout bounds each question.
const componentTimeout = 2 * time.Second

// Ready implements server.Checker. Its texts are for the public and name no hosts.
func (h *health) Ready(ctx context.Context) (components map[string]string, ready bool) {
	a := h.app
	ctx, cancel := context.WithTimeout(ctx, componentTimeout)
	defer cancel()
	components = map[string]string{"redis": "ok", "temporal": "ok", "registry": "ok", "workers": "ok"}
	ready = true
	bad := func(name, why string) { components[name], ready = why, false }
	if a.store.Ping(ctx) != nil {
		bad("redis", "unreachable")
	}
	if a.askTemporal(ctx) != nil {
		bad("temporal", "unreachable")
	}
	if why := a.registry.NotReady(); why != "" {
		bad("registry", why)
	}
	if !h.connected.Load() {
		bad("workers", "starting")
	}
	if a.ingress != nil && h.connected.Load() && a.ingress.Healthy() != nil {
		bad("ingress", "not subscribed")
	}
	if a.stream != nil && h.connected.Load() && a.stream.Healthy() != nil {
		bad("stream", "cannot be read")
	}
	components["consistency"] = h.consistency.Status(ctx).String() // says nothing about this node's readiness
	return components, ready
}
