package config

import (
	"slices"
	"strings"
)

// The commands that take settings.
const (
	CommandDev    = "dev"
	CommandServe  = "serve"
	CommandWorker = "worker"
)

var (
	everywhere  = []string{CommandDev, CommandServe, CommandWorker}
	outsideDev  = []string{CommandServe, CommandWorker}
	insideDev   = []string{CommandDev}
	whereServed = []string{CommandDev, CommandServe}
)

// setting is one row of the table: all there is to know about one value of Config.
type setting struct {
	key      string            // path in the file; its upper-case form makes the HOLDFAST_ variable
	flag     string            // without the dashes
	arg      string            // what -h calls the value
	def      string            // default, in the form that file, environment and flag use
	devDef   string            // default in dev, where it differs
	other    []variable        // variables of the original and of Temporal's tools, in order of precedence
	commands []string          // that accept the flag
	secret   bool              // never shown
	url      bool              // shown without its password
	doc      string            // one sentence, no full stop
	at       func(*Config) any // where the value lives
}

// variable is an environment variable of another system that a setting honours; form translates its value.
type variable struct {
	name string
	form func(string) (string, error) // nil: as it is
}

// env is the setting's own environment variable.
func (s *setting) env() string {
	return "HOLDFAST_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
}

// in tells whether the command accepts the setting's flag.
func (s *setting) in(command string) bool { return slices.Contains(s.commands, command) }

// section is the part of the key that groups settings in -h and in the file; top-level keys have none.
func (s *setting) section() string {
	section, _, nested := strings.Cut(s.key, ".")
	if !nested {
		return ""
	}
	return section
}

// defaultIn is the default under a command.
func (s *setting) defaultIn(command string) string {
	if command == CommandDev && s.devDef != "" {
		return s.devDef
	}
	return s.def
}

// sections gives each group its heading; the table below follows this order.
var sections = []struct{ name, title string }{
	{"", "General"},
	{"http", "HTTP"},
	{"log", "Logging"},
	{"temporal", "Temporal"},
	{"redis", "Redis"},
	{"emprops", "EMPROPS platform"},
	{"delivery", "Delivery"},
	{"registry", "Registry"},
	{"ingress", "Events in"},
	{"node", "Node"},
	{"security", "Security"},
	{"alerts", "Alerts"},
	{"telemetry", "Telemetry"},
	{"dev", "Embedded services of dev"},
}

// settings is the table. The variables and defaults of the original are those of CONTRACT 0.2 (D56).
var settings = []setting{
	{
		key: "base_url", flag: "base-url", arg: "URL", commands: whereServed,
		other: []variable{{"WEBHOOK_SERVICE_URL", nil}},
		def:   "http://localhost:3332",
		doc:   "prefix of links to this server, such as test receivers; unset, it follows the port of http.listen",
		at:    func(c *Config) any { return &c.BaseURL },
	},
	{
		key: "data_dir", flag: "data-dir", arg: "DIR", commands: insideDev, def: ".holdfast",
		doc: "where the embedded Temporal and Redis keep their data",
		at:  func(c *Config) any { return &c.DataDir },
	},
	{
		key: "http.listen", flag: "listen", arg: "ADDRESS", commands: everywhere,
		def: ":3332", devDef: "127.0.0.1:3332",
		other: []variable{{"WEBHOOK_SERVICE_PORT", portForm}},
		doc:   "address of the one listener: API, REST, dashboard, receivers, health and metrics",
		at:    func(c *Config) any { return &c.HTTP.Listen },
	},
	{
		key: "log.level", flag: "log-level", arg: "LEVEL", commands: everywhere, def: "info",
		other: []variable{{"LOG_LEVEL", logLevelForm}},
		doc:   "least severe level that is logged: debug, info, warn or error",
		at:    func(c *Config) any { return &c.Log.Level },
	},
	{
		key: "log.format", flag: "log-format", arg: "FORMAT", commands: everywhere, def: "json", devDef: "console",
		other: []variable{{"LOG_FORMAT", logFormatForm}},
		doc:   "json for machines or console for people",
		at:    func(c *Config) any { return &c.Log.Format },
	},
	{
		key: "temporal.address", flag: "temporal-address", arg: "ADDRESS", commands: outsideDev, def: "127.0.0.1:7233",
		other: []variable{{"TEMPORAL_ADDRESS", nil}},
		doc:   "host and port of the Temporal frontend",
		at:    func(c *Config) any { return &c.Temporal.Address },
	},
	{
		key: "temporal.namespace", flag: "temporal-namespace", arg: "NAME", commands: outsideDev, def: "default",
		other: []variable{{"TEMPORAL_NAMESPACE", nil}},
		doc:   "Temporal namespace that holds the workflows",
		at:    func(c *Config) any { return &c.Temporal.Namespace },
	},
	{
		key: "temporal.api_key", flag: "temporal-api-key", arg: "KEY", commands: outsideDev, secret: true,
		other: []variable{{"TEMPORAL_API_KEY", nil}},
		doc:   "API key for Temporal; it turns TLS on",
		at:    func(c *Config) any { return &c.Temporal.APIKey },
	},
	{
		key: "temporal.ui_url", flag: "temporal-ui-url", arg: "URL", commands: outsideDev,
		doc: "where people reach the Temporal UI; unset, no links to it are shown",
		at:  func(c *Config) any { return &c.Temporal.UIURL },
	},
	{
		key: "temporal.tls.enabled", flag: "temporal-tls", commands: outsideDev, def: "false",
		other: []variable{{"TEMPORAL_TLS", nil}},
		doc:   "connect to Temporal with TLS; any certificate turns it on as well",
		at:    func(c *Config) any { return &c.Temporal.TLS.Enabled },
	},
	{
		key: "temporal.tls.cert_path", flag: "temporal-tls-cert-path", arg: "FILE", commands: outsideDev,
		other: []variable{{"TEMPORAL_TLS_CLIENT_CERT_PATH", nil}},
		doc:   "client certificate for Temporal, PEM",
		at:    func(c *Config) any { return &c.Temporal.TLS.CertPath },
	},
	{
		key: "temporal.tls.cert_data", flag: "temporal-tls-cert-data", arg: "PEM", commands: outsideDev, secret: true,
		other: []variable{{"TEMPORAL_TLS_CLIENT_CERT_DATA", nil}},
		doc:   "client certificate for Temporal as text, instead of the file",
		at:    func(c *Config) any { return &c.Temporal.TLS.CertData },
	},
	{
		key: "temporal.tls.key_path", flag: "temporal-tls-key-path", arg: "FILE", commands: outsideDev,
		other: []variable{{"TEMPORAL_TLS_CLIENT_KEY_PATH", nil}},
		doc:   "key of the client certificate, PEM",
		at:    func(c *Config) any { return &c.Temporal.TLS.KeyPath },
	},
	{
		key: "temporal.tls.key_data", flag: "temporal-tls-key-data", arg: "PEM", commands: outsideDev, secret: true,
		other: []variable{{"TEMPORAL_TLS_CLIENT_KEY_DATA", nil}},
		doc:   "key of the client certificate as text, instead of the file",
		at:    func(c *Config) any { return &c.Temporal.TLS.KeyData },
	},
	{
		key: "temporal.tls.ca_path", flag: "temporal-tls-ca-path", arg: "FILE", commands: outsideDev,
		other: []variable{{"TEMPORAL_TLS_SERVER_CA_CERT_PATH", nil}},
		doc:   "authority that signed Temporal's certificate, PEM; unset, the system's",
		at:    func(c *Config) any { return &c.Temporal.TLS.CAPath },
	},
	{
		key: "temporal.tls.ca_data", flag: "temporal-tls-ca-data", arg: "PEM", commands: outsideDev, secret: true,
		other: []variable{{"TEMPORAL_TLS_SERVER_CA_CERT_DATA", nil}},
		doc:   "authority that signed Temporal's certificate as text, instead of the file",
		at:    func(c *Config) any { return &c.Temporal.TLS.CAData },
	},
	{
		key: "temporal.tls.server_name", flag: "temporal-tls-server-name", arg: "NAME", commands: outsideDev,
		other: []variable{{"TEMPORAL_TLS_SERVER_NAME", nil}},
		doc:   "name that Temporal's certificate must carry, where it differs from the address",
		at:    func(c *Config) any { return &c.Temporal.TLS.ServerName },
	},
	{
		key: "temporal.tls.disable_host_verification", flag: "temporal-tls-disable-host-verification",
		commands: outsideDev, def: "false",
		other: []variable{{"TEMPORAL_TLS_DISABLE_HOST_VERIFICATION", nil}},
		doc:   "accept any certificate of Temporal; for tests only",
		at:    func(c *Config) any { return &c.Temporal.TLS.DisableHostVerification },
	},
	{
		key: "redis.url", flag: "redis-url", arg: "URL", commands: everywhere, url: true,
		other: []variable{{"HUB_REDIS_URL", nil}, {"REDIS_URL", nil}},
		doc:   "Redis of the registry and of the job broker; dev starts its own when unset",
		at:    func(c *Config) any { return &c.Redis.URL },
	},
	{
		key: "redis.prefix", flag: "redis-prefix", arg: "TEXT", commands: everywhere, def: "webhooks",
		doc: "first part of every key; {webhooks} keeps the registry in one slot of a Redis Cluster",
		at:  func(c *Config) any { return &c.Redis.Prefix },
	},
	{
		key: "emprops.url", flag: "emprops-url", arg: "URL", commands: everywhere, url: true,
		other: []variable{{"EMPROPS_API_URL", nil}},
		doc:   "base URL of the EMPROPS API",
		at:    func(c *Config) any { return &c.EMPROPS.URL },
	},
	{
		key: "emprops.api_key", flag: "emprops-api-key", arg: "KEY", commands: everywhere, secret: true,
		other: []variable{{"EMPROPS_API_KEY", nil}},
		doc:   "bearer key for the EMPROPS API",
		at:    func(c *Config) any { return &c.EMPROPS.APIKey },
	},
	{
		key: "emprops.mode", flag: "emprops-mode", arg: "MODE", commands: everywhere, def: EMPROPSOff, devDef: EMPROPSRequired,
		doc: "whether EMPROPS must know a webhook before it is confirmed: off, best_effort or required; unset, " +
			"best_effort where emprops.url is set",
		at: func(c *Config) any { return &c.EMPROPS.Mode },
	},
	{
		key: "delivery.timeout", flag: "delivery-timeout", arg: "DURATION", commands: everywhere, def: "30s",
		other: []variable{{"WEBHOOK_TIMEOUT_MS", millisForm}},
		doc:   "deadline of one attempt, the answer's body included",
		at:    func(c *Config) any { return &c.Delivery.Timeout },
	},
	{
		key: "delivery.max_concurrent", flag: "delivery-max-concurrent", arg: "N", commands: everywhere, def: "256",
		doc: "attempts at once on this node to receivers that do well",
		at:  func(c *Config) any { return &c.Delivery.MaxConcurrent },
	},
	{
		key: "delivery.slow_max_concurrent", flag: "delivery-slow-max-concurrent", arg: "N", commands: everywhere, def: "0",
		doc: "attempts at once on this node to receivers that are slow or failing, and retries; 0 is half of delivery.max_concurrent",
		at:  func(c *Config) any { return &c.Delivery.SlowMaxConcurrent },
	},
	{
		key: "delivery.per_webhook_concurrent", flag: "delivery-per-webhook-concurrent", arg: "N",
		commands: everywhere, def: "16",
		doc: "attempts at once to one webhook",
		at:  func(c *Config) any { return &c.Delivery.PerWebhookConcurrent },
	},
	{
		key: "delivery.grouping", flag: "delivery-grouping", arg: "MODE", commands: everywhere, def: GroupingAuto,
		doc: "auto lets one workflow start carry all deliveries that wait, off starts one workflow each",
		at:  func(c *Config) any { return &c.Delivery.Grouping },
	},
	{
		key: "delivery.group_max_deliveries", flag: "delivery-group-max-deliveries", arg: "N",
		commands: everywhere, def: "256",
		doc: "deliveries in one group",
		at:  func(c *Config) any { return &c.Delivery.GroupMaxDeliveries },
	},
	{
		key: "delivery.group_max_bytes", flag: "delivery-group-max-bytes", arg: "SIZE",
		commands: everywhere, def: "1MiB",
		doc: "bytes of events in one group",
		at:  func(c *Config) any { return &c.Delivery.GroupMaxBytes },
	},
	{
		key: "delivery.starts_in_flight", flag: "delivery-starts-in-flight", arg: "N", commands: everywhere, def: "0",
		doc: "workflow starts at once; 0 adapts to how long a start takes",
		at:  func(c *Config) any { return &c.Delivery.StartsInFlight },
	},
	{
		key: "delivery.start_spacing", flag: "delivery-start-spacing", arg: "DURATION", commands: everywhere, def: "15ms",
		doc: "time between workflow starts while events come faster than starts end; 0 makes smaller groups",
		at:  func(c *Config) any { return &c.Delivery.StartSpacing },
	},
	{
		key: "delivery.queue_max_deliveries", flag: "delivery-queue-max-deliveries", arg: "N",
		commands: everywhere, def: "10000",
		other: []variable{{"DELIVERY_QUEUE_SIZE", nil}},
		doc:   "deliveries that may wait to become durable; past it publishers are asked to come back",
		at:    func(c *Config) any { return &c.Delivery.QueueMaxDeliveries },
	},
	{
		key: "delivery.queue_max_bytes", flag: "delivery-queue-max-bytes", arg: "SIZE",
		commands: everywhere, def: "64MiB",
		doc: "bytes of events that may wait to become durable",
		at:  func(c *Config) any { return &c.Delivery.QueueMaxBytes },
	},
	{
		key: "delivery.fast_cutoff", flag: "delivery-fast-cutoff", arg: "DURATION", commands: everywhere, def: "1s",
		doc: "a receiver that takes longer leaves the fast lane",
		at:  func(c *Config) any { return &c.Delivery.FastCutoff },
	},
	{
		key: "delivery.hold_for", flag: "delivery-hold-for", arg: "DURATION", commands: everywhere, def: "72h",
		doc: "how long a delivery waits for a webhook that is disconnected or paused",
		at:  func(c *Config) any { return &c.Delivery.HoldFor },
	},
	{
		key: "delivery.event_ttl", flag: "delivery-event-ttl", arg: "DURATION", commands: everywhere, def: "24h",
		doc: "how long a repeated event id is recognised",
		at:  func(c *Config) any { return &c.Delivery.EventTTL },
	},
	{
		key: "delivery.max_response_bytes", flag: "delivery-max-response-bytes", arg: "SIZE",
		commands: everywhere, def: "16KiB",
		doc: "how much of an answer's body is kept",
		at:  func(c *Config) any { return &c.Delivery.MaxResponseBytes },
	},
	{
		key: "delivery.retry_after_max", flag: "delivery-retry-after-max", arg: "DURATION", commands: everywhere, def: "1h",
		doc: "longest wait that a receiver can ask for with Retry-After",
		at:  func(c *Config) any { return &c.Delivery.RetryAfterMax },
	},
	{
		key: "delivery.disconnect_threshold", flag: "delivery-disconnect-threshold", arg: "N",
		commands: everywhere, def: "10",
		doc: "failed deliveries in a row that disconnect a webhook; 0 never does",
		at:  func(c *Config) any { return &c.Delivery.DisconnectThreshold },
	},
	{
		key: "delivery.auto_reconnect", flag: "delivery-auto-reconnect", commands: everywhere, def: "true",
		doc: "whether webhooks that failures disconnected are probed with what is held for them, and reconnected when that arrives",
		at:  func(c *Config) any { return &c.Delivery.AutoReconnect },
	},
	{
		key: "delivery.reconnect_max_delay", flag: "delivery-reconnect-max-delay", arg: "DURATION", commands: everywhere, def: "1h",
		doc: "longest wait between two probes of a disconnected webhook",
		at:  func(c *Config) any { return &c.Delivery.ReconnectMaxDelay },
	},
	{
		key: "delivery.reconnect_delay", flag: "delivery-reconnect-delay", arg: "DURATION",
		commands: everywhere, def: "5m",
		doc: "wait before a disconnected webhook is probed",
		at:  func(c *Config) any { return &c.Delivery.ReconnectDelay },
	},
	{
		key: "delivery.retry.max_attempts", flag: "retry-max-attempts", arg: "N", commands: everywhere, def: "3",
		other: []variable{{"MAX_RETRY_ATTEMPTS", nil}},
		doc:   "attempts of a delivery, the first included, where the webhook does not say",
		at:    func(c *Config) any { return &c.Delivery.Retry.MaxAttempts },
	},
	{
		key: "delivery.retry.initial_delay", flag: "retry-initial-delay", arg: "DURATION", commands: everywhere, def: "1s",
		other: []variable{{"INITIAL_RETRY_DELAY_MS", millisForm}},
		doc:   "wait after the first failed attempt, where the webhook does not say",
		at:    func(c *Config) any { return &c.Delivery.Retry.InitialDelay },
	},
	{
		key: "delivery.retry.multiplier", flag: "retry-multiplier", arg: "X", commands: everywhere, def: "2",
		doc: "growth from one wait to the next, where the webhook does not say",
		at:  func(c *Config) any { return &c.Delivery.Retry.Multiplier },
	},
	{
		key: "delivery.retry.max_delay", flag: "retry-max-delay", arg: "DURATION", commands: everywhere, def: "30s",
		other: []variable{{"MAX_RETRY_DELAY_MS", millisForm}},
		doc:   "longest wait between attempts, where the webhook does not say",
		at:    func(c *Config) any { return &c.Delivery.Retry.MaxDelay },
	},
	{
		key: "registry.refresh_interval", flag: "registry-refresh-interval", arg: "DURATION",
		commands: everywhere, def: "30s",
		other: []variable{{"CACHE_REFRESH_INTERVAL_MS", millisForm}},
		doc:   "longest time between a node's own comparisons of its cache with Redis; heartbeats and events compare too",
		at:    func(c *Config) any { return &c.Registry.RefreshInterval },
	},
	{
		key: "registry.check_interval", flag: "registry-check-interval", arg: "DURATION", commands: everywhere, def: "1m",
		doc: "time between consistency checks of the whole system",
		at:  func(c *Config) any { return &c.Registry.CheckInterval },
	},
	{
		key: "registry.confirm_timeout", flag: "registry-confirm-timeout", arg: "DURATION",
		commands: everywhere, def: "5s",
		doc: "how long a node may take to confirm a new revision before it counts as silent",
		at:  func(c *Config) any { return &c.Registry.ConfirmTimeout },
	},
	{
		key: "ingress.pub_sub", flag: "ingress-pub-sub", commands: everywhere, def: "true",
		doc: "listen to the job broker's channels on Redis",
		at:  func(c *Config) any { return &c.Ingress.PubSub },
	},
	{
		key: "ingress.stream", flag: "ingress-stream", commands: everywhere, def: "true",
		doc: "take events from the Redis stream webhooks:events, or of another redis.prefix",
		at:  func(c *Config) any { return &c.Ingress.Stream },
	},
	{
		key: "ingress.progress_throttle", flag: "ingress-progress-throttle", arg: "DURATION",
		commands: everywhere, def: "1s",
		doc: "least time between two progress events of one job",
		at:  func(c *Config) any { return &c.Ingress.ProgressThrottle },
	},
	{
		key: "ingress.retryable_failures", flag: "ingress-retryable-failures", commands: everywhere, def: "true",
		doc: "send job_failed also for failures of which it is known that the job is tried again",
		at:  func(c *Config) any { return &c.Ingress.RetryableFailures },
	},
	{
		key: "ingress.recovery_interval", flag: "ingress-recovery-interval", arg: "DURATION", commands: everywhere, def: "5m",
		doc: "time between looks for completed and failed workflows that the job broker attested and told nobody of; 0s does not look",
		at:  func(c *Config) any { return &c.Ingress.RecoveryInterval },
	},
	{
		key: "ingress.outputs_patience", flag: "ingress-outputs-patience", arg: "DURATION",
		commands: everywhere, def: "10m",
		doc: "how long workflow_completed waits for outputs that EMPROPS has but does not give, before it is sent without; " +
			"0s asks once",
		at: func(c *Config) any { return &c.Ingress.OutputsPatience },
	},
	{
		key: "node.id", flag: "node-id", arg: "NAME", commands: everywhere,
		doc: "name of this process, unique among those that share a Redis; unset, made of host, process and chance",
		at:  func(c *Config) any { return &c.Node.ID },
	},
	{
		key: "node.heartbeat_interval", flag: "node-heartbeat-interval", arg: "DURATION", commands: everywhere, def: "2s",
		doc: "time between signs of life",
		at:  func(c *Config) any { return &c.Node.HeartbeatInterval },
	},
	{
		key: "node.ttl", flag: "node-ttl", arg: "DURATION", commands: everywhere, def: "10s",
		doc: "without a sign of life for this long a node counts as gone",
		at:  func(c *Config) any { return &c.Node.TTL },
	},
	{
		key: "security.secret_keys", flag: "secret-keys", arg: "KEYS", commands: everywhere, secret: true,
		doc: "keys that seal secrets at rest, each id:base64 of 32 bytes, comma separated: the first seals, all open",
		at:  func(c *Config) any { return &c.Security.SecretKeys },
	},
	{
		key: "security.api_keys", flag: "api-keys", arg: "KEYS", commands: whereServed, secret: true,
		doc: "keys that callers must have one of, each name:scope:SHA-256 in hex, comma separated; holdfast key makes one; unset, the API is open",
		at:  func(c *Config) any { return &c.Security.APIKeys },
	},
	{
		key: "security.allow_loopback", flag: "allow-loopback", commands: everywhere, def: "false", devDef: "true",
		doc: "deliver to this machine",
		at:  func(c *Config) any { return &c.Security.AllowLoopback },
	},
	{
		key: "security.allow_private", flag: "allow-private", commands: everywhere, def: "false",
		doc: "deliver to private networks",
		at:  func(c *Config) any { return &c.Security.AllowPrivate },
	},
	{
		key: "security.allow_cidrs", flag: "allow-cidrs", arg: "CIDRS", commands: everywhere,
		doc: "deliver to these address ranges whatever else is forbidden, comma separated",
		at:  func(c *Config) any { return &c.Security.AllowCIDRs },
	},
	{
		key: "security.cors_origins", flag: "cors-origins", arg: "ORIGINS", commands: whereServed,
		def:   "http://localhost:3333,http://localhost:3331",
		other: []variable{{"CORS_ORIGINS", corsForm}},
		doc:   "origins whose pages may call the API, exact and comma separated; * is every origin",
		at:    func(c *Config) any { return &c.Security.CORSOrigins },
	},
	{
		key: "security.show_secrets", flag: "show-secrets", commands: whereServed, def: "false",
		doc: "show webhooks with their secrets and headers in the REST API, for clients of the original that read them back",
		at:  func(c *Config) any { return &c.Security.ShowSecrets },
	},
	{
		key: "alerts.url", flag: "alerts-url", arg: "URL", commands: everywhere, secret: true, // its path often is a credential
		doc: "where alerts are posted as JSON, when they begin and when they end; unset, they are logged and listed only",
		at:  func(c *Config) any { return &c.Alerts.URL },
	},
	{
		key: "alerts.token", flag: "alerts-token", arg: "TOKEN", commands: everywhere, secret: true,
		doc: "bearer token sent along with alerts",
		at:  func(c *Config) any { return &c.Alerts.Token },
	},
	{
		key: "telemetry.otlp_endpoint", flag: "otlp-endpoint", arg: "ADDRESS", commands: everywhere, url: true,
		other: []variable{{"OTEL_COLLECTOR_ENDPOINT", nil}, {"OTEL_EXPORTER_OTLP_ENDPOINT", nil}},
		doc:   "OTLP collector (gRPC) for traces: host:port or http://… in clear, https://… with TLS; unset, none are sent",
		at:    func(c *Config) any { return &c.Telemetry.OTLPEndpoint },
	},
	{
		key: "telemetry.environment", flag: "environment", arg: "NAME", commands: everywhere, def: "development",
		other: []variable{{"NODE_ENV", nil}},
		doc:   "deployment.environment of traces",
		at:    func(c *Config) any { return &c.Telemetry.Environment },
	},
	{
		key: "dev.demo", flag: "demo", commands: insideDev, def: "false",
		doc: "register a webhook, deliver to it and show every step",
		at:  func(c *Config) any { return &c.Dev.Demo },
	},
	{
		key: "dev.temporal_port", flag: "temporal-port", arg: "PORT", commands: insideDev, def: "7233",
		doc: "port of the embedded Temporal; 0 takes a free one",
		at:  func(c *Config) any { return &c.Dev.TemporalPort },
	},
	{
		key: "dev.temporal_ui_port", flag: "temporal-ui-port", arg: "PORT", commands: insideDev, def: "8233",
		doc: "port of the embedded Temporal UI; 0 takes a free one",
		at:  func(c *Config) any { return &c.Dev.TemporalUIPort },
	},
	{
		key: "dev.redis_port", flag: "redis-port", arg: "PORT", commands: insideDev, def: "6379",
		doc: "port of the Redis that dev starts; 0 takes a free one",
		at:  func(c *Config) any { return &c.Dev.RedisPort },
	},
}

// find returns the setting with the key, nil when there is none.
func find(key string) *setting {
	for i := range settings {
		if settings[i].key == key {
			return &settings[i]
		}
	}
	return nil
}
