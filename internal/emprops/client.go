package emprops

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/emprops/holdfast"
)

// DefaultTimeout bounds one call when Config.Timeout is zero (CONTRACT 7.5).
const DefaultTimeout = 5 * time.Second

// Config says how to reach EMPROPS.
type Config struct {
	BaseURL    string        // EMPROPS_API_URL; nothing but the resource path is appended (CONTRACT 0.2)
	APIKey     string        // EMPROPS_API_KEY, sent as a bearer token when set
	Mode       Mode          // required field
	Timeout    time.Duration // of one call, body included; DefaultTimeout when zero
	HTTPClient *http.Client  // nil uses http.DefaultTransport; redirects are never followed
}

// Client calls EMPROPS. It is safe for concurrent use.
type Client struct {
	base    string
	apiKey  string
	mode    Mode
	timeout time.Duration
	http    *http.Client
}

// New checks the configuration and makes a client; nothing is called yet. Errors are CodeInvalid and name the setting.
func New(cfg Config) (*Client, error) {
	mode, err := ParseMode(string(cfg.Mode))
	if err != nil {
		return nil, err
	}
	c := &Client{mode: mode, apiKey: cfg.APIKey, timeout: cfg.Timeout, http: &http.Client{}}
	if mode == ModeOff {
		return c, nil
	}
	if c.base, err = parseBaseURL(cfg.BaseURL, mode); err != nil {
		return nil, err
	}
	if strings.ContainsFunc(cfg.APIKey, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "EMPROPS_API_KEY must not contain spaces, control or non-ASCII characters")
	}
	switch {
	case c.timeout == 0:
		c.timeout = DefaultTimeout
	case c.timeout < 0:
		return nil, holdfast.Errorf(holdfast.CodeInvalid, "the EMPROPS timeout must be positive, not %s", c.timeout)
	}
	if cfg.HTTPClient != nil {
		own := *cfg.HTTPClient
		c.http = &own
	}
	// A followed redirect can turn a write into a read whose 2xx proves nothing, and carries the key elsewhere.
	c.http.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return c, nil
}

func parseBaseURL(raw string, mode Mode) (string, error) {
	if raw == "" {
		return "", holdfast.Errorf(holdfast.CodeInvalid, "EMPROPS_API_URL is required in EMPROPS mode %s; set it, or set the mode to %s", mode, ModeOff)
	}
	// The text of a parse error repeats the URL, which may hold a password.
	u, err := url.Parse(raw)
	switch {
	case err != nil, u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return "", holdfast.Errorf(holdfast.CodeInvalid, "EMPROPS_API_URL must be an absolute http or https URL")
	case u.User != nil:
		return "", holdfast.Errorf(holdfast.CodeInvalid, "EMPROPS_API_URL must not contain a user or password; the key goes into EMPROPS_API_KEY")
	case u.RawQuery != "" || u.Fragment != "":
		return "", holdfast.Errorf(holdfast.CodeInvalid, "EMPROPS_API_URL must not have a query or fragment")
	}
	return strings.TrimRight(raw, "/"), nil
}

// Mode returns the configured mode.
func (c *Client) Mode() Mode { return c.mode }

// Remove makes EMPROPS forget a webhook; one it does not know counts as removed (CONTRACT 7.5). In mode off there is
// nothing to remove. Errors are CodeRejected for a definite refusal and CodeUnavailable otherwise.
func (c *Client) Remove(ctx context.Context, id string) error {
	if c.mode == ModeOff {
		return nil
	}
	path, err := webhookPath(id)
	if err != nil {
		return err
	}
	a, err := c.call(ctx, http.MethodDelete, path, "", nil)
	if err != nil || a.ok() || a.status == http.StatusNotFound {
		return err
	}
	return a.failure()
}

// Health asks EMPROPS whether it is up. In mode off it is healthy by definition. Errors are CodeUnavailable.
func (c *Client) Health(ctx context.Context) error {
	if c.mode == ModeOff {
		return nil
	}
	a, err := c.call(ctx, http.MethodGet, "/health", "", nil)
	if err != nil || a.ok() {
		return err
	}
	return a.unavailable()
}

func webhookPath(id string) (string, error) {
	if id == "" {
		return "", holdfast.Errorf(holdfast.CodeInvalid, "a webhook without an id cannot be named to EMPROPS")
	}
	return "/webhooks/" + url.PathEscape(id), nil
}
