package main

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/spf13/pflag"

	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/proto/gen/holdfast/v1/holdfastv1connect"
	"github.com/emprops/holdfast/server"
)

// defaultServer is where `holdfast dev` and `holdfast serve` listen.
const defaultServer = "http://localhost:3332"

// clientCommand asks a running Holdfast.
type clientCommand struct {
	name   string                            // "webhook get"
	takes  string                            // its argument, "" for none
	does   string                            // one line
	waits  bool                              // whether there is an outcome to wait for
	lasts  time.Duration                     // how long the answer may take by itself
	define func(fs *pflag.FlagSet) operation // adds its own flags and returns what it does
}

// operation carries a command out. id is the argument, "" for commands without one.
type operation func(ctx context.Context, c *client, id string) error

var clientCommands = slices.Concat(webhookCommands, operationsCommands)

// client is what commands ask with and answer by.
type client struct {
	webhooks   holdfastv1connect.WebhookServiceClient
	operations holdfastv1connect.OperationsServiceClient
	out        io.Writer
	json       bool
	wait       time.Duration
	server     string
}

// usageError is about the command line, not about what was asked for.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

// clientFor finds the command that args name; rest are its flags and argument. group tells that args name or ask for the
// commands that begin alike.
func clientFor(args []string) (command *clientCommand, rest []string, group string) {
	for i := range clientCommands {
		words := strings.Fields(clientCommands[i].name)
		if len(args) >= len(words) && slices.Equal(args[:len(words)], words) {
			return &clientCommands[i], args[len(words):], ""
		}
		if len(args) > 0 && len(words) > 1 && args[0] == words[0] {
			group = words[0]
		}
	}
	return nil, args, group
}

// ask runs a client command, or helps to find it. found is false when args name none.
func ask(ctx context.Context, args []string, p program) (code int, found bool) {
	command, rest, group := clientFor(args)
	switch {
	case command != nil:
		return command.run(ctx, rest, p), true
	case group == "":
		return 0, false
	case len(args) > 1 && slices.Contains([]string{"-h", "--help", "help"}, args[1]):
		say(p.stdout, "Commands:\n%s", listOf(group))
		return exitOK, true
	case len(args) > 1:
		say(p.stderr, "holdfast: %q is not a command\n\nCommands:\n%s", group+" "+args[1], listOf(group))
	default:
		say(p.stderr, "holdfast %s: say what to do\n\nCommands:\n%s", group, listOf(group))
	}
	return exitUsage, true
}

// listOf lists the client commands that begin with the word, all of them for "".
func listOf(first string) string {
	var b strings.Builder
	for _, c := range clientCommands {
		if first == "" || strings.HasPrefix(c.name, first+" ") {
			name := strings.TrimSpace(c.name + " " + c.takes)
			b.WriteString("  " + name + strings.Repeat(" ", max(1, 26-len(name))) + c.does + "\n")
		}
	}
	return b.String()
}

// run parses the command line, asks and returns the exit code.
func (c *clientCommand) run(ctx context.Context, args []string, p program) int {
	fs := pflag.NewFlagSet(c.name, pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.Usage = func() {}
	fs.SortFlags = false
	do := c.define(fs)
	address := fs.String("server", cmp.Or(variable(p.environ, config.ServerEnv), defaultServer), "`URL` of the server (env "+config.ServerEnv+")")
	given := fs.String("api-key", "", "API `KEY`, where the server asks for one (env "+config.APIKeyEnv+")"+fromFile)
	asJSON := fs.Bool("json", false, "print the answer as JSON")
	wait := new(time.Duration)
	if c.waits {
		fs.DurationVar(wait, "wait", server.DefaultWait, "`DURATION` to wait for the outcome, at most 60s; 0s does not wait")
	}
	err := fs.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		say(p.stdout, "%s\n\nUsage: holdfast %s\n\nFlags:\n%s\nExit codes: 0 done, 1 failed or not done in time, 2 bad input.",
			c.does, strings.TrimSpace(c.name+" "+c.takes+" [flags]"), strings.TrimRight(fs.FlagUsages(), "\n"))
		return exitOK
	}
	if err != nil {
		return c.failed(p, *address, usageError{err.Error()})
	}
	id, err := c.argument(fs.Args())
	if err == nil {
		err = reachable(*address)
	}
	if err == nil && (*wait < 0 || *wait > server.MaxWait) {
		err = usageError{"--wait must be between 0s and " + server.MaxWait.String()}
	}
	if err != nil {
		return c.failed(p, *address, err)
	}
	key, err := credential(cmp.Or(*given, variable(p.environ, config.APIKeyEnv)))
	if err != nil {
		return c.failed(p, *address, usageError{"--api-key (env " + config.APIKeyEnv + ") " + err.Error()})
	}
	err = do(ctx, newClient(p, *address, key, *asJSON, *wait, c.lasts), id)
	return c.failed(p, *address, err)
}

func (c *clientCommand) argument(args []string) (string, error) {
	switch {
	case c.takes == "" && len(args) > 0:
		return "", usageError{"takes no argument, and " + args[0] + " is one"}
	case c.takes == "":
		return "", nil
	case len(args) != 1 || args[0] == "":
		return "", usageError{"takes one argument, " + c.takes + "; holdfast webhook list shows the ids"}
	}
	return args[0], nil
}

func reachable(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return usageError{"--server (env " + config.ServerEnv + ") must be a URL such as " + defaultServer}
	}
	return nil
}

// travel is what an answer may take beyond the wait.
const travel = 15 * time.Second

func newClient(p program, address, key string, asJSON bool, wait, lasts time.Duration) *client {
	h := &http.Client{Timeout: wait + lasts + travel}
	caller := connect.WithInterceptors(connect.UnaryInterceptorFunc(func(next connect.UnaryFunc) connect.UnaryFunc {
		return func(ctx context.Context, req connect.AnyRequest) (connect.AnyResponse, error) {
			req.Header().Set(server.ActorHeader, cmp.Or(variable(p.environ, "USER"), "cli"))
			if key != "" {
				req.Header().Set("Authorization", "Bearer "+key)
			}
			return next(ctx, req)
		}
	}))
	address = strings.TrimRight(address, "/")
	return &client{
		webhooks:   holdfastv1connect.NewWebhookServiceClient(h, address, caller),
		operations: holdfastv1connect.NewOperationsServiceClient(h, address, caller),
		out:        p.stdout, json: asJSON, wait: wait, server: address,
	}
}

// variable is the value of an environment variable, "" when it is not set.
func variable(environ []string, name string) string {
	for _, e := range environ {
		if value, ok := strings.CutPrefix(e, name+"="); ok {
			return value
		}
	}
	return ""
}
