package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emprops/holdfast"
	"github.com/emprops/holdfast/internal/apikey"
)

// temporalMaxPayload is the size past which Temporal refuses a payload, by its default limits.
const temporalMaxPayload = 2 << 20

// Validate reports every value that is out of bounds or contradicts another, one line each. A line begins with the
// setting's key and names its flag.
func (c *Config) Validate() error {
	var v violations
	c.checkAddresses(&v)
	c.checkServices(&v)
	c.checkDelivery(&v)
	c.checkNodes(&v)
	c.checkSecurity(&v)
	c.checkAlerts(&v)
	c.checkDev(&v)
	return errors.Join(v...)
}

type violations []error

// checkf adds a violation of the setting with the key unless ok.
func (v *violations) checkf(ok bool, key, format string, args ...any) {
	if ok {
		return
	}
	flag := ""
	if s := find(key); s != nil {
		flag = " (flag --" + s.flag + ")"
	}
	*v = append(*v, fmt.Errorf("%s: %s%s", key, fmt.Sprintf(format, args...), flag))
}

func (c *Config) checkAddresses(v *violations) {
	v.checkf(isHostPort(c.HTTP.Listen), "http.listen", "must be host:port or :port")
	v.checkf(isHTTPURL(c.BaseURL), "base_url", "must be an http:// or https:// URL")
	v.checkf(slices.Contains([]string{"debug", "info", "warn", "error"}, c.Log.Level), "log.level",
		"must be debug, info, warn or error")
	v.checkf(c.Log.Format == "json" || c.Log.Format == "console", "log.format", "must be json or console")
}

func (c *Config) checkServices(v *violations) {
	t := &c.Temporal
	v.checkf(isHostPort(t.Address), "temporal.address", "must be host:port")
	v.checkf(t.Namespace != "", "temporal.namespace", "is required")
	v.checkf(t.UIURL == "" || isHTTPURL(t.UIURL), "temporal.ui_url", "must be an http:// or https:// URL")
	tls := &t.TLS
	v.checkf(tls.CertPath == "" || tls.CertData == "", "temporal.tls.cert_data", "must not be set together with temporal.tls.cert_path")
	v.checkf(tls.KeyPath == "" || tls.KeyData == "", "temporal.tls.key_data", "must not be set together with temporal.tls.key_path")
	v.checkf(tls.CAPath == "" || tls.CAData == "", "temporal.tls.ca_data", "must not be set together with temporal.tls.ca_path")
	v.checkf((tls.CertPath+tls.CertData == "") == (tls.KeyPath+tls.KeyData == ""), "temporal.tls.cert_path",
		"needs a key, and a key needs a certificate")

	v.checkf(c.Redis.URL == "" || isRedisURL(c.Redis.URL), "redis.url",
		"must begin with redis://, rediss://, unix:// or redis+sentinel://")
	v.checkf(c.Redis.Prefix != "" && !strings.ContainsAny(c.Redis.Prefix, " \t\r\n*?[]"), "redis.prefix",
		"must not be empty or contain spaces or any of * ? [ ]")

	e := &c.EMPROPS
	v.checkf(slices.Contains([]string{EMPROPSOff, EMPROPSBestEffort, EMPROPSRequired}, e.Mode), "emprops.mode",
		"must be off, best_effort or required")
	v.checkf(e.URL == "" || isHTTPURL(e.URL), "emprops.url", "must be an http:// or https:// URL")
}

func (c *Config) checkDelivery(v *violations) {
	d := &c.Delivery
	v.checkf(within(d.Timeout, time.Millisecond, 10*time.Minute), "delivery.timeout", "must be between 1ms and 10m")
	v.checkf(d.MaxConcurrent >= 1, "delivery.max_concurrent", "must be at least 1")
	v.checkf(d.PerWebhookConcurrent >= 1 && d.PerWebhookConcurrent <= d.MaxConcurrent, "delivery.per_webhook_concurrent",
		"must be between 1 and delivery.max_concurrent, which is %d", d.MaxConcurrent)
	v.checkf(d.SlowMaxConcurrent >= 0, "delivery.slow_max_concurrent", "must not be negative")
	v.checkf(d.Grouping == GroupingAuto || d.Grouping == GroupingOff, "delivery.grouping", "must be auto or off")
	v.checkf(d.GroupMaxDeliveries >= 1 && d.GroupMaxDeliveries <= 4096, "delivery.group_max_deliveries",
		"must be between 1 and 4096")
	v.checkf(d.GroupMaxBytes >= 1 && d.GroupMaxBytes < temporalMaxPayload, "delivery.group_max_bytes",
		"must be less than %s, the most Temporal takes", Size(temporalMaxPayload))
	v.checkf(d.StartsInFlight >= 0 && d.StartsInFlight <= 256, "delivery.starts_in_flight", "must be between 0 and 256")
	v.checkf(d.StartSpacing >= 0 && d.StartSpacing <= time.Second, "delivery.start_spacing", "must be between 0s and 1s")
	v.checkf(d.QueueMaxDeliveries >= d.GroupMaxDeliveries, "delivery.queue_max_deliveries",
		"must be at least delivery.group_max_deliveries, which is %d", d.GroupMaxDeliveries)
	v.checkf(d.QueueMaxBytes >= d.GroupMaxBytes && d.QueueMaxBytes >= 2*holdfast.MaxEventBytes, "delivery.queue_max_bytes",
		"must be at least delivery.group_max_bytes, which is %s, and room for two of the largest events, %s",
		d.GroupMaxBytes, Size(2*holdfast.MaxEventBytes))
	v.checkf(d.FastCutoff > 0 && d.FastCutoff <= d.Timeout, "delivery.fast_cutoff",
		"must be positive and not longer than delivery.timeout, which is %s", shortDuration(d.Timeout))
	v.checkf(within(d.HoldFor, time.Second, 90*24*time.Hour), "delivery.hold_for", "must be between 1s and 2160h")
	v.checkf(within(d.EventTTL, time.Minute, 90*24*time.Hour), "delivery.event_ttl", "must be between 1m and 2160h")
	v.checkf(d.MaxResponseBytes >= 0 && d.MaxResponseBytes <= 1<<20, "delivery.max_response_bytes", "must be at most 1MiB")
	v.checkf(within(d.RetryAfterMax, time.Second, 7*24*time.Hour), "delivery.retry_after_max", "must be between 1s and 168h")
	v.checkf(d.DisconnectThreshold >= 0, "delivery.disconnect_threshold", "must not be negative")
	v.checkf(within(d.ReconnectDelay, time.Millisecond, 24*time.Hour), "delivery.reconnect_delay", "must be between 1ms and 24h")
	v.checkf(within(d.ReconnectMaxDelay, d.ReconnectDelay, 7*24*time.Hour), "delivery.reconnect_max_delay",
		"must be between delivery.reconnect_delay and 7 days")
	fields := map[string]string{
		"maxAttempts": "max_attempts", "initialDelay": "initial_delay", "backoffMultiplier": "multiplier", "maxDelay": "max_delay",
	}
	for _, broken := range d.Retry.Policy().Violations("") {
		v.checkf(false, "delivery.retry."+fields[broken.Field], "%s", broken.Description)
	}
}

func (c *Config) checkNodes(v *violations) {
	r, n := &c.Registry, &c.Node
	v.checkf(within(r.RefreshInterval, 100*time.Millisecond, time.Hour), "registry.refresh_interval", "must be between 100ms and 1h")
	v.checkf(within(r.CheckInterval, time.Second, 24*time.Hour), "registry.check_interval", "must be between 1s and 24h")
	v.checkf(within(r.ConfirmTimeout, 100*time.Millisecond, 10*time.Minute), "registry.confirm_timeout", "must be between 100ms and 10m")
	v.checkf(within(c.Ingress.ProgressThrottle, 0, time.Hour), "ingress.progress_throttle", "must be between 0s and 1h")
	v.checkf(within(c.Ingress.RecoveryInterval, 0, time.Hour), "ingress.recovery_interval", "must be between 0s and 1h")
	v.checkf(within(c.Ingress.OutputsPatience, 0, 24*time.Hour), "ingress.outputs_patience", "must be between 0s and 24h")
	v.checkf(len(n.ID) <= 128 && !strings.ContainsFunc(n.ID, func(r rune) bool { return !isNodeRune(r) }), "node.id",
		"must be letters, digits and _ - . only, at most 128 of them")
	v.checkf(within(n.HeartbeatInterval, 10*time.Millisecond, time.Minute), "node.heartbeat_interval", "must be between 10ms and 1m")
	v.checkf(n.TTL >= 3*n.HeartbeatInterval, "node.ttl",
		"must be at least three times node.heartbeat_interval, which is %s, so that one late heartbeat takes no node out",
		shortDuration(n.HeartbeatInterval))
}

func (c *Config) checkSecurity(v *violations) {
	s := &c.Security
	v.checkf(len(slices.Compact(slices.Sorted(slices.Values(s.SecretKeys)))) == len(s.SecretKeys), "security.secret_keys",
		"must not name a key twice")
	_, err := apikey.ParseRing(s.APIKeys)
	v.checkf(err == nil, "security.api_keys", "%v", err)
	for _, cidr := range s.AllowCIDRs {
		_, err := netip.ParsePrefix(cidr)
		v.checkf(err == nil, "security.allow_cidrs", "%q is not an address range such as 10.0.0.0/8", cidr)
	}
	for _, origin := range s.CORSOrigins {
		v.checkf(isOrigin(origin), "security.cors_origins", "%q is not an origin such as https://app.example.com, nor *", origin)
	}
}

func (c *Config) checkAlerts(v *violations) {
	a := &c.Alerts
	v.checkf(a.URL == "" || isHTTPURL(a.URL), "alerts.url", "must be an http:// or https:// URL")
	v.checkf(a.Token == "" || a.URL != "", "alerts.token", "needs alerts.url")
	v.checkf(!strings.ContainsFunc(a.Token, func(r rune) bool { return r <= ' ' || r >= 0x7f }), "alerts.token",
		"must not contain spaces, control or non-ASCII characters")
}

func (c *Config) checkDev(v *violations) {
	for _, p := range c.devPorts() {
		v.checkf(p.port >= 0 && p.port <= 65535, p.key, "must be between 0 and 65535")
	}
}

// checkCommand reports what a command lacks to run.
func (c *Config) checkCommand(command string) error {
	var v violations
	if command != CommandDev {
		v.checkf(c.Redis.URL != "", "redis.url", "is required; set it, HOLDFAST_REDIS_URL or HUB_REDIS_URL")
		v.checkf(c.EMPROPS.Mode == EMPROPSOff || c.EMPROPS.URL != "", "emprops.url",
			"is required while emprops.mode is %s; set it or use --emprops-mode off", c.EMPROPS.Mode)
		return errors.Join(v...)
	}
	v.checkf(c.DataDir != "", "data_dir", "is required")
	taken := map[int]string{}
	if _, port, err := net.SplitHostPort(c.HTTP.Listen); err == nil {
		if n, err := strconv.Atoi(port); err == nil {
			taken[n] = "http.listen"
		}
	}
	for _, p := range c.devPorts() {
		v.checkf(p.port == 0 || taken[p.port] == "", p.key, "must differ from %s, which is %d as well", taken[p.port], p.port)
		taken[p.port] = p.key
	}
	return errors.Join(v...)
}

type devPort struct {
	key  string
	port int
}

// devPorts are the ports that dev opens besides the listener.
func (c *Config) devPorts() []devPort {
	ports := []devPort{{"dev.temporal_port", c.Dev.TemporalPort}, {"dev.temporal_ui_port", c.Dev.TemporalUIPort}}
	if c.Redis.URL == "" {
		ports = append(ports, devPort{"dev.redis_port", c.Dev.RedisPort})
	}
	return ports
}

func within(d, low, high time.Duration) bool { return d >= low && d <= high }

func isHostPort(address string) bool {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	_, err = strconv.ParseUint(port, 10, 16)
	return err == nil
}

func isHTTPURL(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}

func isRedisURL(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && slices.Contains([]string{"redis", "rediss", "unix", "redis+sentinel"}, u.Scheme) &&
		(u.Host != "" || u.Path != "")
}

// isOrigin tells whether text is a web origin as browsers send it, or * for all.
func isOrigin(text string) bool {
	u, err := url.Parse(text)
	return text == "*" || err == nil && u.Scheme != "" && u.Host != "" && u.Path == "" && u.RawQuery == "" &&
		u.Fragment == "" && u.User == nil
}

func isNodeRune(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-.", r)
}
