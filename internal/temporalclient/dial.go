package temporalclient

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"

	"go.temporal.io/sdk/client"
	"go.uber.org/zap"

	"github.com/emprops/holdfast/internal/telemetry"
)

// Options say how to reach Temporal. The names follow Temporal's own tools.
type Options struct {
	Address   string // host:port of the frontend
	Namespace string
	APIKey    string
	Identity  string
	TLS       *TLS // nil connects in clear
	// Background has Temporal serve the calls of all others first, where it cannot serve all at once.
	Background bool
}

// background is what marks a call as one that can wait, in the words of Temporal's server (common/headers).
type background struct{}

// GetHeaders implements client.HeadersProvider.
func (background) GetHeaders(context.Context) (map[string]string, error) {
	return map[string]string{"caller-type": "preemptable"}, nil
}

// TLS secures the connection. Certificates are PEM text or paths of files that hold it; text wins.
type TLS struct {
	CertPath, KeyPath, CAPath string
	CertData, KeyData, CAData string
	ServerName                string
	SkipHostVerification      bool
}

// Dial returns a client that connects when it is first used: Temporal may come later than we do. Errors are about the
// options.
func Dial(o Options, logger *zap.Logger) (client.Client, error) {
	opts := client.Options{
		HostPort: o.Address, Namespace: o.Namespace, Identity: o.Identity, DataConverter: DataConverter(),
		Logger: telemetry.NewTemporalLogger(logger),
	}
	if o.Background {
		opts.HeadersProvider = background{}
	}
	if onLoopback(o.Address) {
		// Compression saves nothing there and costs a tenth of the CPU of a start.
		opts.ConnectionOptions.GrpcCompression = &client.GrpcCompressionNone{}
	}
	if o.APIKey != "" {
		opts.Credentials = client.NewAPIKeyStaticCredentials(o.APIKey)
	}
	if o.TLS != nil {
		secured, err := o.TLS.config()
		if err != nil {
			return nil, err
		}
		opts.ConnectionOptions.TLS = secured
	}
	return client.NewLazyClient(opts)
}

func onLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (t *TLS) config() (*tls.Config, error) {
	c := &tls.Config{
		MinVersion: tls.VersionTLS12, ServerName: t.ServerName,
		InsecureSkipVerify: t.SkipHostVerification, //nolint:gosec // an explicit setting, named as what it is
	}
	cert, err := pem(t.CertData, t.CertPath, "certificate")
	if err != nil {
		return nil, err
	}
	key, err := pem(t.KeyData, t.KeyPath, "key")
	if err != nil {
		return nil, err
	}
	if len(cert) > 0 || len(key) > 0 {
		pair, err := tls.X509KeyPair(cert, key)
		if err != nil {
			return nil, fmt.Errorf("temporal.tls: %w", err)
		}
		c.Certificates = []tls.Certificate{pair}
	}
	ca, err := pem(t.CAData, t.CAPath, "CA certificate")
	if err != nil || len(ca) == 0 {
		return c, err
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(ca) {
		return nil, errors.New("temporal.tls: the CA certificate holds no certificate in PEM form")
	}
	return c, nil
}

func pem(text, path, what string) ([]byte, error) {
	if text != "" || path == "" {
		return []byte(text), nil
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("temporal.tls: the %s cannot be read: %w", what, err)
	}
	return data, nil
}
