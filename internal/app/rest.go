package app

import (
	"net/http"

	"github.com/emprops/holdfast/server"
	"github.com/emprops/holdfast/server/rest"
)

// restAPI is the original's API over the same operations.
func (a *App) restAPI(d *server.Deps) http.Handler {
	return rest.New(rest.Deps{
		Registrations: d.Registrations, Webhooks: d.Webhooks, Tests: d.Tests, Control: d.Control, Operations: d.Operations,
		History: a.store, Receivers: testReceivers{a.store}, Sessions: sessions{a.store}, Logger: a.logger,
		Checker: a.health,
		Ingress: func() rest.IngressCounts {
			if a.ingress == nil {
				return rest.IngressCounts{}
			}
			return rest.IngressCounts(a.ingress.Stats())
		},
	}, rest.Options{
		PublicURL: a.cfg.BaseURL, RetryPolicy: a.cfg.Delivery.Retry.Policy(), ShowSecrets: a.cfg.Security.ShowSecrets,
		Version: a.version, PlatformMode: a.cfg.EMPROPS.Mode,
	})
}
