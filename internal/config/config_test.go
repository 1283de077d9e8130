package config

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// serve holds what serve cannot do without.
var serve = []string{"HUB_REDIS_URL=redis://localhost:6379"}

func load(t *testing.T, command string, args []string, environ ...string) Config {
	t.Helper()
	c, err := Load(args, environ, command)
	require.NoError(t, err)
	return c
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "holdfast.yaml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func TestTableIsWellFormed(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	titles := map[string]bool{}
	for _, s := range sections {
		titles[s.name] = true
	}
	var c Config
	pointers := map[any]string{}
	for i := range settings {
		s := &settings[i]
		for _, name := range append([]string{s.key, "--" + s.flag, s.env()}, names(s.other)...) {
			require.NotEmpty(t, name)
			require.False(t, seen[name], "%s is there twice", name)
			seen[name] = true
		}
		require.NotEmpty(t, s.doc, s.key)
		require.False(t, strings.HasSuffix(s.doc, "."), s.key)
		require.NotEmpty(t, s.commands, s.key)
		require.True(t, titles[s.section()], "%s has no section", s.key)
		ptr := s.at(&c)
		require.Empty(t, pointers[ptr], "%s shares its field", s.key)
		pointers[ptr] = s.key
		for _, def := range []string{s.def, s.devDef} {
			if def != "" {
				require.NoError(t, parse(ptr, def), s.key)
				require.Equal(t, def, text(ptr), "%s: the default is not in its shortest form", s.key)
			}
		}
		if _, flag := ptr.(*bool); flag {
			require.Empty(t, s.arg, s.key)
			require.NotEmpty(t, s.def, s.key)
		} else {
			require.NotEmpty(t, s.arg, s.key)
		}
	}
}

func names(vars []variable) []string {
	var all []string
	for _, v := range vars {
		all = append(all, v.name)
	}
	return all
}

func TestEveryFieldIsASetting(t *testing.T) {
	t.Parallel()
	var c Config
	for i := range settings {
		switch p := settings[i].at(&c).(type) {
		case *string:
			*p = "x"
		case *bool:
			*p = true
		case *int:
			*p = 1
		case *float64:
			*p = 1
		case *time.Duration:
			*p = 1
		case *Size:
			*p = 1
		case *[]string:
			*p = []string{"x"}
		}
	}
	for _, group := range []any{
		c.HTTP, c.Log, c.Redis, c.EMPROPS, c.Delivery, c.Delivery.Retry, c.Registry, c.Ingress, c.Node, c.Security,
		c.Telemetry, c.Dev, c.Temporal, c.Temporal.TLS,
	} {
		requireNoZeroField(t, group)
	}
	require.NotEmpty(t, c.BaseURL)
	require.NotEmpty(t, c.DataDir)
}

func TestDefaultIsValid(t *testing.T) {
	t.Parallel()
	c := Default()
	require.NoError(t, c.Validate())
	require.Equal(t, 30*time.Second, c.Delivery.Timeout)
	require.Equal(t, Size(1<<20), c.Delivery.GroupMaxBytes)
	require.Equal(t, ":3332", c.HTTP.Listen)
	require.False(t, c.Security.AllowLoopback)
}

func TestD56_TheOriginalsVariablesCountWithItsDefaults(t *testing.T) {
	t.Parallel()
	c := load(t, CommandServe, nil, serve...)
	require.Equal(t, "30s 3 1s 30s 30s 10 5m 1s", strings.Join([]string{
		text(&c.Delivery.Timeout), text(&c.Delivery.Retry.MaxAttempts), text(&c.Delivery.Retry.InitialDelay),
		text(&c.Delivery.Retry.MaxDelay), text(&c.Registry.RefreshInterval), text(&c.Delivery.DisconnectThreshold),
		text(&c.Delivery.ReconnectDelay), text(&c.Ingress.ProgressThrottle),
	}, " "))

	c = load(
		t, CommandServe, nil,
		"WEBHOOK_SERVICE_PORT=4000", "HUB_REDIS_URL=redis://hub:6379/1", "REDIS_URL=redis://other:6379",
		"OTEL_COLLECTOR_ENDPOINT=collector:4317", "NODE_ENV=production", "EMPROPS_API_URL=https://api.example.com/",
		"EMPROPS_API_KEY=k", "CORS_ORIGINS= https://a.example.com , https://b.example.com", "WEBHOOK_SERVICE_URL=https://hooks.example.com/",
		"LOG_LEVEL=verbose", "LOG_FORMAT=simple", "WEBHOOK_TIMEOUT_MS=15000", "MAX_RETRY_ATTEMPTS=5",
		"INITIAL_RETRY_DELAY_MS=250", "MAX_RETRY_DELAY_MS=60000", "DELIVERY_QUEUE_SIZE=1000", "CACHE_REFRESH_INTERVAL_MS=5000",
	)
	require.Equal(t, ":4000", c.HTTP.Listen)
	require.Equal(t, "redis://hub:6379/1", c.Redis.URL)
	require.Equal(t, Telemetry{OTLPEndpoint: "collector:4317", Environment: "production"}, c.Telemetry)
	require.Equal(t, EMPROPS{URL: "https://api.example.com", APIKey: "k", Mode: EMPROPSBestEffort}, c.EMPROPS)
	require.Equal(t, []string{"https://a.example.com", "https://b.example.com", "http://localhost:3333"}, c.Security.CORSOrigins)
	require.Equal(t, "https://hooks.example.com", c.BaseURL)
	require.Equal(t, Log{Level: "debug", Format: "console"}, c.Log)
	require.Equal(t, 15*time.Second, c.Delivery.Timeout)
	require.Equal(t, Retry{5, 250 * time.Millisecond, 2, time.Minute}, c.Delivery.Retry)
	require.Equal(t, 1000, c.Delivery.QueueMaxDeliveries)
	require.Equal(t, 5*time.Second, c.Registry.RefreshInterval)

	require.Equal(t, "redis://other:6379", load(t, CommandServe, nil, "REDIS_URL=redis://other:6379").Redis.URL)
}

func TestD55_AMissingURLIsOneClearErrorAtOnce(t *testing.T) {
	t.Parallel()
	_, err := Load(nil, nil, CommandServe)
	require.EqualError(t, err, "redis.url: is required; set it, HOLDFAST_REDIS_URL or HUB_REDIS_URL (flag --redis-url)")
	_, err = Load([]string{"--emprops-mode", "required"}, serve, CommandServe)
	require.EqualError(t, err, "emprops.url: is required while emprops.mode is required; set it or use --emprops-mode off (flag --emprops-url)")
	require.Equal(t, EMPROPSOff, load(t, CommandServe, nil, serve...).EMPROPS.Mode, "no URL is a mode without EMPROPS")
}

func TestFlagWinsOverEnvironmentOverFileOverDefault(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "delivery:\n  timeout: 10s\n  max_concurrent: 20\n  per_webhook_concurrent: 2\n  group_max_deliveries: 7\n")
	c := load(
		t, CommandServe, []string{"--config", file, "--delivery-timeout=20s", "--retry-multiplier", "1.5"},
		append(serve, "HOLDFAST_DELIVERY_TIMEOUT=15s", "HOLDFAST_DELIVERY_MAX_CONCURRENT=30", "HOLDFAST_DELIVERY_RETRY_MULTIPLIER=3")...,
	)
	require.Equal(t, 20*time.Second, c.Delivery.Timeout)
	require.InDelta(t, 1.5, c.Delivery.Retry.Multiplier, 0)
	require.Equal(t, 30, c.Delivery.MaxConcurrent)
	require.Equal(t, 2, c.Delivery.PerWebhookConcurrent)
	require.Equal(t, 7, c.Delivery.GroupMaxDeliveries)
	require.Equal(t, 10000, c.Delivery.QueueMaxDeliveries)

	printed := c.Redacted()
	require.Contains(t, printed, "  timeout: 20s # flag --delivery-timeout\n")
	require.Contains(t, printed, "  max_concurrent: 30 # env HOLDFAST_DELIVERY_MAX_CONCURRENT\n")
	require.Contains(t, printed, "  per_webhook_concurrent: 2 # file holdfast.yaml:4\n")
	require.Contains(t, printed, "  queue_max_deliveries: 10000 # default\n")
	require.Contains(t, printed, "  url: redis://localhost:6379 # env HUB_REDIS_URL\n")

	fromEnv := load(t, CommandServe, nil, append(serve, "HOLDFAST_CONFIG="+file)...)
	require.Equal(t, 10*time.Second, fromEnv.Delivery.Timeout)
}

func TestOwnVariableWinsOverTheOriginals(t *testing.T) {
	t.Parallel()
	c := load(t, CommandServe, nil, append(serve, "HOLDFAST_LOG_LEVEL=warn", "LOG_LEVEL=debug", "HOLDFAST_HTTP_LISTEN=", "WEBHOOK_SERVICE_PORT=")...)
	require.Equal(t, "warn", c.Log.Level)
	require.Equal(t, ":3332", c.HTTP.Listen, "an empty variable is not set")
}

func TestDevHasItsOwnDefaultsAndFlags(t *testing.T) {
	t.Parallel()
	c := load(t, CommandDev, []string{"--demo", "--temporal-port", "0", "--redis-port=0"}, "TEMPORAL_ADDRESS=elsewhere:7233")
	require.True(t, c.Dev.Demo)
	require.True(t, c.Security.AllowLoopback)
	require.Equal(t, "127.0.0.1:3332", c.HTTP.Listen)
	require.Equal(t, "console", c.Log.Format)
	require.Equal(t, ".holdfast", c.DataDir)
	require.Equal(t, 8233, c.Dev.TemporalUIPort)

	for _, command := range []string{CommandServe, CommandWorker} {
		_, err := Load([]string{"--demo"}, serve, command)
		require.EqualError(t, err, "--demo is for dev, not for "+command)
	}
	_, err := Load([]string{"--temporal-address", "a:1"}, nil, CommandDev)
	require.EqualError(t, err, "--temporal-address is for serve and worker, not for dev")
	_, err = Load([]string{"--redis-port", "3332"}, nil, CommandDev)
	require.EqualError(t, err, "dev.redis_port: must differ from http.listen, which is 3332 as well (flag --redis-port)")
	load(t, CommandDev, []string{"--redis-port", "3332", "--redis-url", "redis://localhost:6379"})
	load(t, CommandServe, []string{"--listen", ":6379"}, serve...)
}

func TestStrictLoadNamesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	file := func(text string) []string { return []string{"--config", writeFile(t, text)} }
	cases := map[string]struct {
		args []string
		env  []string
		want string
	}{
		"flag":               {[]string{"--delivry-timeout", "1s"}, nil, `unknown flag --delivry-timeout; did you mean --delivery-timeout?`},
		"flag, nothing near": {[]string{"--zzz"}, nil, `unknown flag --zzz`},
		"argument":           {[]string{"extra"}, nil, `unexpected argument "extra"`},
		"variable":           {nil, []string{"HOLDFAST_DELIVERY_TIMEOUTS=1s"}, `unknown environment variable HOLDFAST_DELIVERY_TIMEOUTS; did you mean HOLDFAST_DELIVERY_TIMEOUT?`},
		"key":                {file("\ndelivery:\n  time_out: 1s\n"), nil, `holdfast.yaml:3: unknown setting "delivery.time_out"; did you mean delivery.timeout?`},
		"section":            {file("deliveries:\n  timeout: 1s\n"), nil, `holdfast.yaml:1: unknown setting "deliveries"`},
		"twice":              {file("node:\n  id: a\nnode:\n  ttl: 1s\n"), nil, `holdfast.yaml:3: node is set twice`},
		"not a mapping":      {file("- a\n"), nil, `holdfast.yaml:1: the file must be a mapping of settings`},
		"section is text":    {file("node: a\n"), nil, `holdfast.yaml:1: node must be a mapping of settings`},
		"list for a value":   {file("node:\n  id: [a]\n"), nil, `holdfast.yaml:2: node.id must be a single value`},
		"map for a list":     {file("security:\n  allow_cidrs: {a: b}\n"), nil, `holdfast.yaml:2: security.allow_cidrs must be a list`},
		"deep list":          {file("security:\n  allow_cidrs: [[a]]\n"), nil, `holdfast.yaml:2: security.allow_cidrs must be a list of plain values`},
		"two documents":      {file("node:\n  id: a\n---\nnode:\n  id: b\n"), nil, `holdfast.yaml: must be one YAML document`},
		"bad file value":     {file("delivery:\n  timeout: soon\n"), nil, `delivery.timeout: the value "soon" of holdfast.yaml:2 is not a duration such as 500ms, 30s or 72h (flag --delivery-timeout)`},
		"bad flag value":     {[]string{"--delivery-max-concurrent", "many"}, nil, `delivery.max_concurrent: the value "many" of --delivery-max-concurrent is not a whole number (flag --delivery-max-concurrent)`},
		"bad switch":         {[]string{"--ingress-pub-sub=perhaps"}, nil, `ingress.pub_sub: the value "perhaps" of --ingress-pub-sub is not true or false (flag --ingress-pub-sub)`},
		"bad size":           {[]string{"--delivery-group-max-bytes", "big"}, nil, `delivery.group_max_bytes: the value "big" of --delivery-group-max-bytes is not a size such as 65536, 16KiB or 1MiB (flag --delivery-group-max-bytes)`},
		"bad number":         {[]string{"--retry-multiplier", "x"}, nil, `delivery.retry.multiplier: the value "x" of --retry-multiplier is not a number (flag --retry-multiplier)`},
		"bad milliseconds":   {nil, []string{"WEBHOOK_TIMEOUT_MS=30s"}, `delivery.timeout: the value "30s" of WEBHOOK_TIMEOUT_MS is not a number of milliseconds (flag --delivery-timeout)`},
		"bad port":           {nil, []string{"WEBHOOK_SERVICE_PORT=http"}, `http.listen: the value "http" of WEBHOOK_SERVICE_PORT is not a port number (flag --listen)`},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Load(c.args, append(slices.Clone(serve), c.env...), CommandServe)
			require.EqualError(t, err, c.want)
		})
	}
	_, err := Load([]string{"--config", filepath.Join(t.TempDir(), "absent.yaml")}, serve, CommandServe)
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Load(file("node: {id: 'a"), serve, CommandServe)
	require.ErrorContains(t, err, "holdfast.yaml: yaml: ")
	_, err = Load(nil, nil, "migrate")
	require.EqualError(t, err, `"migrate" takes no settings`)
}

func TestEmptyFileAndEmptySectionsKeepDefaults(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "# nothing\n", "node:\n", "node:\n  id:\n"} {
		c := load(t, CommandServe, []string{"--config", writeFile(t, text)}, serve...)
		require.Equal(t, Default().Delivery, c.Delivery)
	}
}

func TestListsComeAsSequencesCommasOrRepeatedFlags(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "security:\n  allow_cidrs:\n    - 10.0.0.0/8\n    - fd00::/8\n")
	c := load(t, CommandServe, []string{"--config", file, "--cors-origins", "https://a.example", "--cors-origins", "https://b.example"}, serve...)
	require.Equal(t, []string{"10.0.0.0/8", "fd00::/8"}, c.Security.AllowCIDRs)
	require.Equal(t, []string{"https://a.example", "https://b.example"}, c.Security.CORSOrigins)
}

func TestServiceLinksOfKubernetesAreNoMistake(t *testing.T) {
	t.Parallel()
	load(
		t, CommandServe, nil, append(
			slices.Clone(serve), "HOLDFAST_SERVICE_HOST=10.0.0.1", "HOLDFAST_SERVICE_PORT=3332", "HOLDFAST_SERVICE_PORT_HTTP=3332",
			"HOLDFAST_PORT=tcp://10.0.0.1:3332", "HOLDFAST_PORT_3332_TCP_ADDR=10.0.0.1", "HOLDFAST_REDIS_PORT=tcp://10.0.0.2:6379",
			"HOLDFAST_REDIS_PORT_6379_TCP=tcp://10.0.0.2:6379",
		)...,
	)
	_, err := Load(nil, append(slices.Clone(serve), "HOLDFAST_PORT=3332"), CommandServe)
	require.ErrorContains(t, err, "unknown environment variable HOLDFAST_PORT")
}

func TestDerivedValues(t *testing.T) {
	t.Parallel()
	a, b := load(t, CommandServe, nil, serve...), load(t, CommandServe, nil, serve...)
	require.NotEqual(t, a.Node.ID, b.Node.ID)
	require.Regexp(t, `^[\w.-]+-\d+-[a-z0-9]{6}$`, a.Node.ID)
	require.Equal(t, "http://localhost:4000", load(t, CommandServe, []string{"--listen", "0.0.0.0:4000"}, serve...).BaseURL)
	require.Equal(t, "http://localhost:3332", load(t, CommandServe, []string{"--listen", ":0"}, serve...).BaseURL)
	c := load(t, CommandServe, []string{"--emprops-mode", "off", "--emprops-url", "https://e.example"}, serve...)
	require.Equal(t, EMPROPSOff, c.EMPROPS.Mode, "a mode that was chosen stays")
}

func TestValidateChecksRelations(t *testing.T) {
	t.Parallel()
	cases := map[string]struct {
		set  func(*Config)
		want string // how the one message begins
	}{
		"listen":                 {func(c *Config) { c.HTTP.Listen = "3332" }, "http.listen: must be host:port"},
		"listen port":            {func(c *Config) { c.HTTP.Listen = ":99999" }, "http.listen: "},
		"base URL":               {func(c *Config) { c.BaseURL = "localhost" }, "base_url: "},
		"log level":              {func(c *Config) { c.Log.Level = "loud" }, "log.level: "},
		"log format":             {func(c *Config) { c.Log.Format = "xml" }, "log.format: "},
		"temporal address":       {func(c *Config) { c.Temporal.Address = "temporal" }, "temporal.address: "},
		"namespace":              {func(c *Config) { c.Temporal.Namespace = "" }, "temporal.namespace: "},
		"UI":                     {func(c *Config) { c.Temporal.UIURL = "ui" }, "temporal.ui_url: "},
		"certificate alone":      {func(c *Config) { c.Temporal.TLS.CertPath = "a" }, "temporal.tls.cert_path: needs a key"},
		"key alone":              {func(c *Config) { c.Temporal.TLS.KeyData = "a" }, "temporal.tls.cert_path: "},
		"certificate twice":      {func(c *Config) { c.Temporal.TLS = TemporalTLS{CertPath: "a", CertData: "b", KeyPath: "c"} }, "temporal.tls.cert_data: "},
		"key twice":              {func(c *Config) { c.Temporal.TLS = TemporalTLS{CertPath: "a", KeyData: "b", KeyPath: "c"} }, "temporal.tls.key_data: "},
		"authority twice":        {func(c *Config) { c.Temporal.TLS = TemporalTLS{CAPath: "a", CAData: "b"} }, "temporal.tls.ca_data: "},
		"redis scheme":           {func(c *Config) { c.Redis.URL = "http://localhost" }, "redis.url: "},
		"redis prefix":           {func(c *Config) { c.Redis.Prefix = "" }, "redis.prefix: "},
		"emprops mode":           {func(c *Config) { c.EMPROPS.Mode = "maybe"; c.EMPROPS.URL = "http://e" }, "emprops.mode: "},
		"alerts URL":             {func(c *Config) { c.Alerts.URL = "hooks.example" }, "alerts.url: must be an http:// or https:// URL"},
		"alerts token alone":     {func(c *Config) { c.Alerts.Token = "a" }, "alerts.token: needs alerts.url"},
		"alerts token":           {func(c *Config) { c.Alerts = Alerts{URL: "http://h", Token: "a b"} }, "alerts.token: must not contain"},
		"emprops URL":            {func(c *Config) { c.EMPROPS.URL = "e" }, "emprops.url: "},
		"timeout":                {func(c *Config) { c.Delivery.Timeout = time.Hour }, "delivery.timeout: "},
		"cutoff over timeout":    {func(c *Config) { c.Delivery.FastCutoff = time.Minute }, "delivery.fast_cutoff: must be positive and not longer than delivery.timeout, which is 30s"},
		"no concurrency":         {func(c *Config) { c.Delivery.PerWebhookConcurrent = 0 }, "delivery.per_webhook_concurrent: "},
		"share over whole":       {func(c *Config) { c.Delivery.MaxConcurrent = 8 }, "delivery.per_webhook_concurrent: must be between 1 and delivery.max_concurrent, which is 8"},
		"grouping":               {func(c *Config) { c.Delivery.Grouping = "on" }, "delivery.grouping: "},
		"group of none":          {func(c *Config) { c.Delivery.GroupMaxDeliveries = 0 }, "delivery.group_max_deliveries: "},
		"group over payload":     {func(c *Config) { c.Delivery.GroupMaxBytes = 2 << 20 }, "delivery.group_max_bytes: must be less than 2MiB"},
		"starts":                 {func(c *Config) { c.Delivery.StartsInFlight = -1 }, "delivery.starts_in_flight: "},
		"queue under group":      {func(c *Config) { c.Delivery.QueueMaxDeliveries = 255 }, "delivery.queue_max_deliveries: must be at least delivery.group_max_deliveries, which is 256"},
		"queue bytes":            {func(c *Config) { c.Delivery.QueueMaxBytes = 1 << 20 }, "delivery.queue_max_bytes: "},
		"hold":                   {func(c *Config) { c.Delivery.HoldFor = 0 }, "delivery.hold_for: "},
		"event TTL":              {func(c *Config) { c.Delivery.EventTTL = time.Second }, "delivery.event_ttl: "},
		"response":               {func(c *Config) { c.Delivery.MaxResponseBytes = 2 << 20 }, "delivery.max_response_bytes: "},
		"threshold":              {func(c *Config) { c.Delivery.DisconnectThreshold = -1 }, "delivery.disconnect_threshold: "},
		"reconnect":              {func(c *Config) { c.Delivery.ReconnectDelay = 0 }, "delivery.reconnect_delay: "},
		"attempts":               {func(c *Config) { c.Delivery.Retry.MaxAttempts = 0 }, "delivery.retry.max_attempts: "},
		"first delay":            {func(c *Config) { c.Delivery.Retry.InitialDelay = 0 }, "delivery.retry.initial_delay: "},
		"shrinking delay":        {func(c *Config) { c.Delivery.Retry.Multiplier = 0.5 }, "delivery.retry.multiplier: "},
		"longest under first":    {func(c *Config) { c.Delivery.Retry.MaxDelay = time.Millisecond }, "delivery.retry.max_delay: "},
		"refresh":                {func(c *Config) { c.Registry.RefreshInterval = 0 }, "registry.refresh_interval: "},
		"check":                  {func(c *Config) { c.Registry.CheckInterval = 0 }, "registry.check_interval: "},
		"confirm":                {func(c *Config) { c.Registry.ConfirmTimeout = 0 }, "registry.confirm_timeout: "},
		"throttle":               {func(c *Config) { c.Ingress.ProgressThrottle = -1 }, "ingress.progress_throttle: "},
		"recovery":               {func(c *Config) { c.Ingress.RecoveryInterval = -1 }, "ingress.recovery_interval: "},
		"outputs":                {func(c *Config) { c.Ingress.OutputsPatience = -1 }, "ingress.outputs_patience: "},
		"node id":                {func(c *Config) { c.Node.ID = "a/b" }, "node.id: "},
		"heartbeat":              {func(c *Config) { c.Node.HeartbeatInterval = 0 }, "node.heartbeat_interval: "},
		"TTL under 3 heartbeats": {func(c *Config) { c.Node.TTL = 5 * time.Second }, "node.ttl: must be at least three times node.heartbeat_interval, which is 2s"},
		"key twice in the ring":  {func(c *Config) { c.Security.SecretKeys = []string{"a", "b", "a"} }, "security.secret_keys: "},
		"API key":                {func(c *Config) { c.Security.APIKeys = []string{"hush"} }, "security.api_keys: entry 1: must be name:scope:hash"},
		"range":                  {func(c *Config) { c.Security.AllowCIDRs = []string{"10.0.0.1"} }, `security.allow_cidrs: "10.0.0.1" is not an address range`},
		"origin":                 {func(c *Config) { c.Security.CORSOrigins = []string{"https://a.example/x"} }, `security.cors_origins: "https://a.example/x" is not an origin`},
		"port":                   {func(c *Config) { c.Dev.TemporalPort = 70000 }, "dev.temporal_port: "},
	}
	reached := map[string]bool{}
	for name, tc := range cases {
		reached[strings.SplitN(tc.want, ":", 2)[0]] = true
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := Default()
			tc.set(&c)
			err := c.Validate()
			require.Error(t, err)
			require.NotContains(t, err.Error(), "\n", "one cause, one message")
			require.True(t, strings.HasPrefix(err.Error(), tc.want), err.Error())
			key, _, _ := strings.Cut(err.Error(), ":")
			require.NotNil(t, find(key), "a message begins with a setting")
			require.Contains(t, err.Error(), "(flag --"+find(key).flag+")")
		})
	}
	require.Greater(t, len(reached), 35)

	c := Default()
	c.Log.Level, c.Node.TTL = "", 0
	require.Equal(t, 2, strings.Count(c.Validate().Error(), "(flag --"), "every violation is told at once")
}

func TestG8_PrintShowsNoSecret(t *testing.T) {
	t.Parallel()
	c := load(
		t, CommandServe, []string{"--secret-keys", "hush1,hush2", "--api-keys", "ci:read:" + strings.Repeat("0a", 32)},
		"HUB_REDIS_URL=rediss://user:hush3@redis.example:6380/2?password=hush4&db=1", "EMPROPS_API_KEY=hush5",
		"EMPROPS_API_URL=https://me:hush6@api.example", "TEMPORAL_API_KEY=hush7", "TEMPORAL_TLS_CLIENT_KEY_DATA=hush8",
		"TEMPORAL_TLS_CLIENT_CERT_DATA=hush9", "TEMPORAL_TLS_SERVER_CA_CERT_DATA=hush0",
		"HOLDFAST_ALERTS_URL=https://hooks.example/hush", "HOLDFAST_ALERTS_TOKEN=hush",
	)
	printed := c.Redacted()
	require.NotContains(t, printed, "hush")
	require.Contains(t, printed, `url: "rediss://user:***@redis.example:6380/2?db=1&password=***" # env HUB_REDIS_URL`)
	require.Contains(t, printed, `secret_keys: "***" # flag --secret-keys`)
	require.Contains(t, printed, `api_keys: "***" # flag --api-keys`)
	require.Contains(t, load(t, CommandServe, nil, serve...).Redacted(), `api_key: "" # default`, "an unset secret is seen to be unset")
	require.Equal(t, printed, c.String())
	require.Equal(t, printed, c.GoString())

	c.Redis.URL = "redis://user:hush@[broken"
	require.NotContains(t, c.Redacted(), "hush")

	_, err := Load([]string{"--redis-url", "http://user:hush@x"}, nil, CommandServe)
	require.ErrorContains(t, err, "redis.url: must begin with")
	require.NotContains(t, err.Error(), "hush")
}

func TestPrintCanBeReadBack(t *testing.T) {
	t.Parallel()
	want := load(t, CommandServe, []string{
		"--cors-origins", "*", "--allow-cidrs", "fd00::/8", "--node-id", "007", "--redis-prefix", "{webhooks}",
		"--delivery-hold-for", "36h30m", "--delivery-group-max-bytes", "1000", "--environment", "yes",
	}, serve...)
	got := load(t, CommandServe, []string{"--config", writeFile(t, want.Redacted())})
	want.origins, got.origins = nil, nil
	require.Equal(t, want, got)
}

func TestUsageShowsEverySetting(t *testing.T) {
	t.Parallel()
	for _, command := range everywhere {
		_, err := Load([]string{"-h"}, nil, command)
		require.ErrorIs(t, err, ErrHelp)
		usage := Usage(command)
		for i := range settings {
			s := &settings[i]
			require.Equal(t, s.in(command), strings.Contains(usage, "\n  --"+strings.TrimSpace(s.flag+" "+s.arg)+"\n"), s.key)
			if s.in(command) {
				require.Contains(t, usage, s.doc)
				require.Contains(t, usage, s.env())
			}
		}
		for line := range strings.SplitSeq(usage, "\n") {
			require.LessOrEqual(t, len(line), 160)
		}
	}
	require.Contains(t, Usage(CommandServe), "default 30s, env HOLDFAST_DELIVERY_TIMEOUT, WEBHOOK_TIMEOUT_MS\n")
	require.Contains(t, Usage(CommandDev), "default 127.0.0.1:3332, env HOLDFAST_HTTP_LISTEN, WEBHOOK_SERVICE_PORT\n")
}

func FuzzFileNeverPanics(f *testing.F) {
	for _, text := range []string{"node:\n  id: a\n", "delivery: {timeout: 1s}", "a: &b [*b]", "? [a]\n: b", "<<: {a: b}", "x: !!binary a", "---\n..."} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c := Config{origins: map[string]string{}}
		if applyYAML(&c, strings.NewReader(text), "f") == nil {
			for key := range maps.Keys(c.origins) {
				require.NotNil(t, find(key))
			}
		}
	})
}
