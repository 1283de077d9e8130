package app

import (
	"fmt"
	"net/netip"

	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/internal/httpsend"
	"github.com/emprops/holdfast/internal/temporalclient"
)

func temporalOptions(cfg config.Config) temporalclient.Options {
	t := cfg.Temporal
	o := temporalclient.Options{Address: t.Address, Namespace: t.Namespace, APIKey: t.APIKey, Identity: cfg.Node.ID}
	if t.TLS.Enabled {
		o.TLS = &temporalclient.TLS{
			CertPath: t.TLS.CertPath, CertData: t.TLS.CertData, KeyPath: t.TLS.KeyPath, KeyData: t.TLS.KeyData,
			CAPath: t.TLS.CAPath, CAData: t.TLS.CAData, ServerName: t.TLS.ServerName,
			SkipHostVerification: t.TLS.DisableHostVerification,
		}
	}
	return o
}

func addressPolicy(cfg config.Config) (httpsend.AddressPolicy, error) {
	p := httpsend.AddressPolicy{
		AllowLoopback: cfg.Security.AllowLoopback, AllowPrivate: cfg.Security.AllowPrivate, OwnBaseURL: cfg.BaseURL,
	}
	for _, text := range cfg.Security.AllowCIDRs {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			return p, fmt.Errorf("security.allow_cidrs: %w (flag --allow-cidrs)", err)
		}
		p.Allow = append(p.Allow, prefix)
	}
	return p, nil
}
