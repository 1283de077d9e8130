package main

import (
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/spf13/pflag"

	"github.com/emprops/holdfast/internal/apikey"
)

// madeKey is what the key command prints with --json.
type madeKey struct {
	Name  string `json:"name"`
	Scope string `json:"scope"`
	Key   string `json:"key"`   // for the caller
	Entry string `json:"entry"` // for security.api_keys
}

// makeKey makes an API key and prints it, which nothing does again, with its entry for the configuration.
func makeKey(args []string, p program) int {
	fs := pflag.NewFlagSet("key", pflag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.SortFlags = false
	name := fs.String("name", "", "`NAME` of who calls with it, for the audit trail; required")
	scope := fs.String("scope", apikey.Read.String(), "`SCOPE`: read; write, which also changes webhooks and publishes; or operate, which may do everything")
	asJSON := fs.Bool("json", false, "print it as JSON")
	err := fs.Parse(args)
	if errors.Is(err, pflag.ErrHelp) {
		say(p.stdout, "make an API key\n\nUsage: holdfast key --name NAME [flags]\n\nFlags:\n%s", strings.TrimRight(fs.FlagUsages(), "\n"))
		return exitOK
	}
	if err == nil && (*name == "" || fs.NArg() > 0) {
		err = errors.New("takes --name and --scope")
	}
	parsed, known := apikey.ParseScope(*scope)
	if err == nil && !known {
		err = errors.New("--scope must be read, write or operate")
	}
	made := madeKey{Name: *name, Scope: *scope}
	if err == nil {
		made.Key, made.Entry, err = apikey.New(*name, parsed)
	}
	if err != nil {
		say(p.stderr, "holdfast key: %s\nholdfast key --help lists its flags.", err)
		return exitUsage
	}
	if *asJSON {
		_ = json.NewEncoder(p.stdout).Encode(made) // strings alone cannot fail
		return exitOK
	}
	say(p.stdout, "key    %s\nentry  %s\n", made.Key, made.Entry)
	say(p.stdout, "The key is for the caller and not shown again; the entry is for security.api_keys (env HOLDFAST_SECURITY_API_KEYS).")
	return exitOK
}
