// Package config holds Holdfast's settings: one struct, one table that gives each setting its flag, environment
// variables, default and description, a strict loader (flag over environment over file) and a print without secrets.
package config

import (
	"time"

	"github.com/emprops/holdfast"
)

// Config is everything that can be set. Load fills it; Default gives the values without any input. The meaning, unit and
// default of each field stand in the table of settings, which -h prints.
type Config struct {
	HTTP      HTTP
	BaseURL   string // prefix of links to this server, without a trailing slash
	DataDir   string // of the embedded services of dev
	Log       Log
	Temporal  Temporal
	Redis     Redis
	EMPROPS   EMPROPS
	Delivery  Delivery
	Registry  Registry
	Ingress   Ingress
	Node      Node
	Security  Security
	Alerts    Alerts
	Telemetry Telemetry
	Dev       Dev

	origins map[string]string // setting key → where its value came from; absent means default
}

// HTTP is the one listener for API, REST, dashboard, receivers, health and metrics.
type HTTP struct {
	Listen string // host:port
}

// Log says what is written to standard error and how.
type Log struct {
	Level  string // debug, info, warn or error
	Format string // json or console
}

// Temporal says how to reach a Temporal cluster. The names are those of Temporal's own tools (TEMPORAL_ADDRESS and so on).
type Temporal struct {
	Address   string // host:port of the frontend
	Namespace string
	APIKey    string
	UIURL     string // prefix of links to the Temporal UI; empty shows no links
	TLS       TemporalTLS
}

// TemporalTLS is how the connection to Temporal is secured. Certificates are given as file paths or as PEM text.
type TemporalTLS struct {
	Enabled                 bool
	CertPath                string
	CertData                string
	KeyPath                 string
	KeyData                 string
	CAPath                  string
	CAData                  string
	ServerName              string
	DisableHostVerification bool
}

// Redis says where the registry and the job broker's messages are.
type Redis struct {
	URL    string // redis://, rediss://, unix:// or redis+sentinel://
	Prefix string // first part of every key of ours
}

// The modes of confirming registrations with the EMPROPS platform (CONTRACT 7.5).
const (
	EMPROPSOff        = "off"         // never asked
	EMPROPSBestEffort = "best_effort" // asked; a registration is confirmed without it, and shown as unconfirmed there
	EMPROPSRequired   = "required"    // a registration is confirmed only when the platform knows it
)

// EMPROPS says how to reach the EMPROPS platform.
type EMPROPS struct {
	URL    string // without a trailing slash
	APIKey string
	Mode   string // EMPROPSOff, EMPROPSBestEffort or EMPROPSRequired
}

// The ways deliveries are made durable (DESIGN 6).
const (
	GroupingAuto = "auto" // one workflow start carries all deliveries that wait
	GroupingOff  = "off"  // one workflow start per delivery
)

// Delivery bounds the way of an event to its receivers.
type Delivery struct {
	Timeout              time.Duration // of one attempt, the answer's body included
	MaxConcurrent        int           // attempts at once on this node to webhooks that do well
	SlowMaxConcurrent    int           // attempts at once on this node to all others; 0 is half of MaxConcurrent
	PerWebhookConcurrent int           // attempts at once to one webhook
	Grouping             string        // GroupingAuto or GroupingOff
	GroupMaxDeliveries   int
	GroupMaxBytes        Size
	StartsInFlight       int           // workflow starts at once; 0 adapts
	StartSpacing         time.Duration // between starts while events come faster than starts end
	QueueMaxDeliveries   int           // deliveries waiting to become durable, past which publishers are refused
	QueueMaxBytes        Size
	FastCutoff           time.Duration // a receiver slower than this leaves the fast lane
	HoldFor              time.Duration // how long a held delivery waits for its webhook
	EventTTL             time.Duration // how long a repeated event id is recognised
	MaxResponseBytes     Size          // how much of an answer's body is kept
	RetryAfterMax        time.Duration // longest Retry-After that is honoured
	DisconnectThreshold  int           // failed deliveries in a row that disconnect a webhook; 0 is never
	AutoReconnect        bool          // webhooks that failures disconnected are probed
	ReconnectDelay       time.Duration // wait before a disconnected webhook is probed
	ReconnectMaxDelay    time.Duration // bound of that wait, which doubles with every probe that fails
	Retry                Retry
}

// SlowConcurrent is SlowMaxConcurrent with its default.
func (d *Delivery) SlowConcurrent() int {
	if d.SlowMaxConcurrent > 0 {
		return d.SlowMaxConcurrent
	}
	return max(1, d.MaxConcurrent/2)
}

// Retry is the policy of webhooks that set none, or only a part of one (CONTRACT 3.4).
type Retry struct {
	MaxAttempts  int // all attempts, the first included
	InitialDelay time.Duration
	Multiplier   float64
	MaxDelay     time.Duration
}

// Policy is the retry configuration in the domain's terms.
func (r Retry) Policy() holdfast.RetryPolicy {
	return holdfast.RetryPolicy{
		MaxAttempts:       r.MaxAttempts,
		InitialDelayMS:    r.InitialDelay.Milliseconds(),
		BackoffMultiplier: r.Multiplier,
		MaxDelayMS:        r.MaxDelay.Milliseconds(),
	}
}

// Registry says how often and how patiently the caches of the nodes are kept equal to Redis (DESIGN 5).
type Registry struct {
	RefreshInterval time.Duration // between a node's own comparisons with Redis
	CheckInterval   time.Duration // between consistency checks of the whole system
	ConfirmTimeout  time.Duration // for one node to confirm a new revision
}

// Ingress says which sources of events are listened to besides the API.
type Ingress struct {
	PubSub            bool          // the job broker's channels (CONTRACT 2)
	Stream            bool          // the stream of events, prefix + ":events"
	ProgressThrottle  time.Duration // least time between two progress events of one job
	RetryableFailures bool          // job_failed also where the job is tried again (CONTRACT 11)
	RecoveryInterval  time.Duration // between looks for outcomes of workflows that nobody was told of; 0 does not look
	OutputsPatience   time.Duration // how long a completed workflow's event waits for the outputs that EMPROPS has
}

// Node is this process among its like.
type Node struct {
	ID                string // unique among the nodes that share a Redis
	HeartbeatInterval time.Duration
	TTL               time.Duration // without a heartbeat for this long a node counts as gone
}

// Security is who may call and who may be called.
type Security struct {
	SecretKeys    []string // the first seals, all open
	APIKeys       []string // of callers, hashed, in the form of apikey.Parse; none leaves the API open
	AllowLoopback bool     // deliveries to this machine
	AllowPrivate  bool     // deliveries to private networks
	AllowCIDRs    []string // deliveries to these ranges, whatever else is forbidden
	CORSOrigins   []string // exact origins, or * for all
	ShowSecrets   bool     // the REST API shows webhooks with their secrets, as the original did
}

// Alerts says where people are told of alerts, besides the log and the API.
type Alerts struct {
	URL   string // alerts are posted there as JSON; empty posts none
	Token string // sent along as a bearer token
}

// Telemetry says where traces go and under which names.
type Telemetry struct {
	OTLPEndpoint string // OTLP over gRPC; empty sends nothing
	Environment  string // deployment.environment
}

// Dev is for the dev command alone.
type Dev struct {
	Demo           bool // drive the main job once and print it
	TemporalPort   int
	TemporalUIPort int
	RedisPort      int
}

// Default is the configuration of serve and worker without any input. Node.ID is empty: Load makes one up.
func Default() Config { return defaultFor(CommandServe) }
