//go:build !lean

package devserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/csrf"
	"github.com/temporalio/ui-server/v2/server/route"
	"github.com/temporalio/ui-server/v2/ui"
	"go.uber.org/zap"
	"go.uber.org/zap/zapio"
)

// uiServer serves Temporal's web UI. It puts ui-server's routes behind a listener of ours, because the server type of
// that package panics when it cannot be built and exits the process when it cannot bind its port.
type uiServer struct {
	listener net.Listener
	http     *http.Server
	log      *zap.Logger
	done     chan struct{}
	serving  bool
}

// newUIServer binds the UI's port; serve answers on it.
func newUIServer(ctx context.Context, opts TemporalOptions) (*uiServer, error) {
	u := &uiServer{
		http: &http.Server{ReadHeaderTimeout: 10 * time.Second},
		log:  opts.Logger.Named("temporal-ui"),
		done: make(chan struct{}),
	}
	err := retryFor(ctx, leftoverGrace, func() (err error) {
		u.listener, err = listen(PortTemporalUI, opts.Address, max(opts.UIPort, 0))
		return err
	})
	if err != nil {
		return nil, err
	}
	return u, nil
}

// serve starts answering. Temporal must be up: the routes dial it at once, and a refused connection is tried again only
// after seconds.
func (u *uiServer) serve(temporalHostPort, namespace string) error {
	handler, err := uiHandler(temporalHostPort, namespace, u.log)
	if err != nil {
		return fmt.Errorf("build the Temporal UI: %w", err)
	}
	u.http.Handler = handler
	u.serving = true
	go func() {
		defer close(u.done)
		if err := u.http.Serve(u.listener); !errors.Is(err, http.ErrServerClosed) {
			u.log.Error("Temporal UI stopped serving", zap.Error(err))
		}
	}()
	return nil
}

func uiHandler(temporalHostPort, namespace string, logger *zap.Logger) (http.Handler, error) {
	cfg, err := uiconfig.NewConfigProviderWithRefresh(&uiconfig.Config{
		TemporalGRPCAddress: temporalHostPort,
		DefaultNamespace:    namespace,
		EnableUI:            true,
		DisableNewsFetch:    true,
		HideLogs:            true,
		// The UI is served by plain HTTP.
		CORS: uiconfig.CORS{CookieInsecure: true},
	})
	if err != nil {
		return nil, err
	}
	e := echo.New()
	e.Logger.SetOutput(&zapio.Writer{Log: logger, Level: zap.DebugLevel})
	// No CORS and no login, but the token against forged requests stays: any page in the same browser could otherwise
	// terminate workflows.
	e.Use(middleware.Recover(), middleware.Gzip(), middleware.Secure(),
		csrf.EnsureTokenCookie(false), middleware.CSRFWithConfig(csrf.MiddlewareConfig(cfg, false)))
	route.SetHealthRoute(e)
	if err := route.SetAPIRoutes(e, cfg, nil); err != nil {
		return nil, err
	}
	assets, err := ui.Assets()
	if err != nil {
		return nil, err
	}
	if assets, err = fs.Sub(assets, "local"); err != nil {
		return nil, err
	}
	if err := route.SetUIRoutes(e, "", assets, cfg); err != nil {
		return nil, err
	}
	route.SetRenderRoute(e, "/")
	return e, nil
}

func (u *uiServer) url() string {
	addr := u.listener.Addr().(*net.TCPAddr)
	return "http://" + net.JoinHostPort(dialIP(addr.IP.String()), strconv.Itoa(addr.Port))
}

func (u *uiServer) stop() {
	u.http.Close() // first: a listener that closes by itself looks like a failure to serve
	u.listener.Close()
	if u.serving {
		<-u.done
	}
}
