package app

import (
	"fmt"
	"net"
	"net/netip"

	"go.uber.org/zap"

	"github.com/emprops/holdfast/internal/apikey"
	"github.com/emprops/holdfast/internal/config"
)

// callers are the keys of the configuration. An API that is open to more than this machine is worth a warning.
func callers(cfg config.Config, roles Roles, logger *zap.Logger) (apikey.Ring, error) {
	ring, err := apikey.ParseRing(cfg.Security.APIKeys)
	if err != nil {
		return nil, fmt.Errorf("security.api_keys: %w (flag --api-keys)", err)
	}
	if roles.API && len(ring) == 0 && !onLoopback(cfg.HTTP.Listen) {
		logger.Warn("no API key is set: whoever reaches this address may do everything; set --api-keys", zap.String("listen", cfg.HTTP.Listen))
	}
	return ring, nil
}

func onLoopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}
