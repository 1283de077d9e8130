package app

import (
	"net/http"

	"github.com/emprops/holdfast/server"
	"github.com/emprops/holdfast/server/rest"
)

// restAPI is the original's API over the same operations.
func (a *App) restAPI(d *server.Deps) http.Handler {
	deps, options := a.restDeps()
	deps.Registrations, deps.Webhooks, deps.Tests, deps.Control = d.Registrations, d.Webhooks, d.Tests, d.Control
	return rest.New(deps, options)
}

// restDeps is what there is in every role.
func (a *App) restDeps() (rest.Deps, rest.Options) {
	return rest.Deps{
			Operations: a.operations, History: a.store, Receivers: testReceivers{a.store}, Sessions: sessions{a.store},
			Logger: a.logger, Checker: a.health,
			Ingress: func() rest.IngressCounts {
				if a.ingress == nil {
					return rest.IngressCounts{}
				}
				return rest.IngressCounts(a.ingress.Stats())
			},
		}, rest.Options{
			PublicURL: a.cfg.BaseURL, RetryPolicy: a.cfg.Delivery.Retry.Policy(), ShowSecrets: a.cfg.Security.ShowSecrets,
			Version: a.version, PlatformMode: a.cfg.EMPROPS.Mode,
		}
}
