package app

import (
	"context"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/emprops"
)

// platform is the EMPROPS client as the registration activities see it.
type platform struct{ client *emprops.Client }

func (p platform) Enabled() bool  { return p.client.Mode() != emprops.ModeOff }
func (p platform) Required() bool { return p.client.Mode() == emprops.ModeRequired }

func (p platform) Confirm(ctx context.Context, w *holdfast.Webhook) error {
	return p.client.Confirm(ctx, w)
}
func (p platform) Remove(ctx context.Context, id string) error { return p.client.Remove(ctx, id) }
