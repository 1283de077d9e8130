package config

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// ErrHelp is what Load returns for -h and --help. Usage is the text to show then.
var ErrHelp = pflag.ErrHelp

// configFlag and configEnv name the file; they are not settings, since a file cannot name itself.
const (
	configFlag = "config"
	configEnv  = "HOLDFAST_CONFIG"
)

// ServerEnv names the server that client commands talk to. It may stand in the environment of a node.
const ServerEnv = "HOLDFAST_SERVER"

// APIKeyEnv holds the API key of client commands. It may stand in the environment of a node.
const APIKeyEnv = "HOLDFAST_API_KEY" //nolint:gosec // a name, not a key

// Load builds the configuration of a command (CommandDev, CommandServe or CommandWorker) from args, the flags after the
// command's name, and environ, the environment in the form of os.Environ. Flags win over the environment, the environment
// over the file of --config, the file over defaults. Whatever is not known is an error that names it; a setting that
// another command uses may stand in file and environment, so that commands can share them. The result is valid.
// The error is ErrHelp when help was asked for.
func Load(args, environ []string, command string) (Config, error) {
	if !slices.Contains(everywhere, command) {
		return Config{}, fmt.Errorf("%q takes no settings", command)
	}
	env := environment(environ)
	flags, file, err := parseFlags(args, command)
	if err != nil {
		return Config{}, err
	}
	c := defaultFor(command)
	c.origins = map[string]string{}
	if file = cmp.Or(file, env[configEnv]); file != "" {
		if err := applyFile(&c, file); err != nil {
			return Config{}, err
		}
	}
	if err := applyEnvironment(&c, env); err != nil {
		return Config{}, err
	}
	for _, f := range flags {
		if err := f.setting.apply(&c, f.text, "--"+f.setting.flag, "flag --"+f.setting.flag); err != nil {
			return Config{}, err
		}
	}
	if err := complete(&c); err != nil {
		return Config{}, err
	}
	return c, errors.Join(c.checkCommand(command), c.Validate())
}

// defaultFor parses the table's own defaults. They are known to be well formed by a test.
func defaultFor(command string) Config {
	var c Config
	for i := range settings {
		if def := settings[i].defaultIn(command); def != "" {
			_ = parse(settings[i].at(&c), def)
		}
	}
	return c
}

// apply sets the value and notes its origin. name is what the user wrote it under.
func (s *setting) apply(c *Config, value, name, origin string) error {
	if err := parse(s.at(c), value); err != nil {
		if s.secret || s.url {
			return fmt.Errorf("%s: the value of %s %w", s.key, name, err)
		}
		return fmt.Errorf("%s: the value %q of %s %w (flag --%s)", s.key, value, name, err, s.flag)
	}
	c.origins[s.key] = origin
	return nil
}

// given is a flag on the command line.
type given struct {
	setting *setting
	text    string
}

// recorder notes a flag's value; it is applied after file and environment.
type recorder struct {
	setting *setting
	out     *[]given
}

func (r *recorder) String() string { return "" }
func (r *recorder) Type() string   { return r.setting.arg }

func (r *recorder) Set(value string) error {
	if isList(r.setting.at(&Config{})) {
		for i, g := range *r.out {
			if g.setting == r.setting {
				(*r.out)[i].text += "," + value
				return nil
			}
		}
	}
	*r.out = append(*r.out, given{r.setting, value})
	return nil
}

func parseFlags(args []string, command string) (flags []given, file string, err error) {
	fs := pflag.NewFlagSet(command, pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	fs.SortFlags = false
	fs.StringVar(&file, configFlag, "", "")
	names := []string{configFlag}
	for i := range settings {
		s := &settings[i]
		if !s.in(command) {
			continue
		}
		names = append(names, s.flag)
		f := fs.VarPF(&recorder{s, &flags}, s.flag, "", s.doc)
		if _, ok := s.at(&Config{}).(*bool); ok {
			f.NoOptDefVal = "true"
		}
	}
	err = fs.Parse(args)
	var unknown *pflag.NotExistError
	switch {
	case errors.As(err, &unknown):
		return nil, "", unknownFlag(unknown.GetSpecifiedName(), command, names)
	case err != nil:
		return nil, "", err
	case fs.NArg() > 0:
		return nil, "", fmt.Errorf("unexpected argument %q", fs.Arg(0))
	}
	return flags, file, nil
}

func unknownFlag(name, command string, known []string) error {
	for i := range settings {
		if settings[i].flag == name {
			return fmt.Errorf("--%s is for %s, not for %s", name, strings.Join(settings[i].commands, " and "), command)
		}
	}
	return fmt.Errorf("unknown flag --%s%s", name, suggestion(name, known, "--"))
}

// environment makes a map of the variables that are not empty: an empty one counts as unset, as in OpenTelemetry's rules,
// because compose files and charts pass variables on whether they have a value or not.
func environment(environ []string) map[string]string {
	env := map[string]string{}
	for _, kv := range environ {
		if name, value, ok := strings.Cut(kv, "="); ok && strings.TrimSpace(value) != "" {
			env[name] = value
		}
	}
	return env
}

func applyEnvironment(c *Config, env map[string]string) error {
	known := []string{configEnv, ServerEnv, APIKeyEnv}
	for i := range settings {
		s := &settings[i]
		known = append(known, s.env())
		for _, v := range append([]variable{{s.env(), nil}}, s.other...) {
			value, ok := env[v.name]
			if !ok {
				continue
			}
			if v.form != nil {
				translated, err := v.form(value)
				if err != nil {
					return fmt.Errorf("%s: the value %q of %s %w (flag --%s)", s.key, value, v.name, err, s.flag)
				}
				value = translated
			}
			if err := s.apply(c, value, v.name, "env "+v.name); err != nil {
				return err
			}
			break
		}
	}
	var unknown []string
	for name, value := range env {
		if strings.HasPrefix(name, "HOLDFAST_") && !slices.Contains(known, name) && !isServiceLink(name, value) {
			unknown = append(unknown, name)
		}
	}
	if len(unknown) > 0 {
		name := slices.Min(unknown)
		return fmt.Errorf("unknown environment variable %s%s", name, suggestion(name, known, ""))
	}
	return nil
}

var (
	serviceLink = regexp.MustCompile(`^HOLDFAST_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)
	servicePort = regexp.MustCompile(`^HOLDFAST_(\w+_)?PORT$`)
)

// isServiceLink recognises the variables that Kubernetes puts into every pod for a Service named holdfast or holdfast-x.
// Nobody chose them, so they are no mistake.
func isServiceLink(name, value string) bool {
	return serviceLink.MatchString(name) || servicePort.MatchString(name) && strings.Contains(value, "://")
}

// complete fills in what follows from other values.
func complete(c *Config) error {
	c.BaseURL = strings.TrimRight(c.BaseURL, "/")
	c.EMPROPS.URL = strings.TrimRight(c.EMPROPS.URL, "/")
	c.Temporal.UIURL = strings.TrimRight(c.Temporal.UIURL, "/")
	if _, set := c.origins["base_url"]; !set {
		if _, port, err := net.SplitHostPort(c.HTTP.Listen); err == nil && port != "0" {
			c.BaseURL = "http://localhost:" + port
		}
	}
	if _, set := c.origins["emprops.mode"]; !set && c.EMPROPS.URL != "" {
		c.EMPROPS.Mode = EMPROPSBestEffort
	}
	if c.Node.ID == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("node.id: the host has no name to make one of; set --node-id: %w", err)
		}
		c.Node.ID = fmt.Sprintf("%s-%d-%s", nodeName(host), os.Getpid(), strings.ToLower(rand.Text()[:6]))
	}
	return nil
}

// nodeName keeps of a host name what may stand in a node's id.
func nodeName(host string) string {
	return strings.Map(func(r rune) rune {
		if isNodeRune(r) {
			return r
		}
		return '-'
	}, host[:min(len(host), 64)])
}
