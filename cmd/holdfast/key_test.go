package main

import (
	"encoding/json"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/apikey"
	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/server"
)

// A key that the command makes opens a server that has its entry, and what goes wrong is said with the way out.
func TestD49_KeyIsMadeConfiguredAndUsed(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	var made madeKey
	require.NoError(t, json.Unmarshal([]byte(s.ok("key", "--name", "ci", "--scope", "write", "--json")), &made))
	cfg, err := config.Load([]string{"--redis-url", "redis://localhost", "--api-keys", made.Entry}, []string{"HOLDFAST_API_KEY=x"}, config.CommandServe)
	require.NoError(t, err)
	ring, err := apikey.ParseRing(cfg.Security.APIKeys)
	require.NoError(t, err)
	guarded := httptest.NewServer(server.New(server.Deps{
		Registrations: s.memory, Webhooks: s.memory, Tests: s.memory, Operations: s.memory,
	}, server.Options{APIKeys: ring}))
	t.Cleanup(guarded.Close)
	register := []string{"webhook", "register", "--url", "https://example.com/hook", "--event-type", "job_failed", "--server", guarded.URL}

	code, _, stderr := s.run(register...)
	require.Equal(t, exitError, code)
	require.Contains(t, stderr, "an API key is required")
	require.Contains(t, stderr, "--api-key (env HOLDFAST_API_KEY)")
	code, _, stderr = s.run(append(register, "--api-key", "hf_hush")...)
	require.Equal(t, exitError, code)
	require.Contains(t, stderr, "not known here")
	require.NotContains(t, stderr, "hush")
	require.Empty(t, s.webhooks)

	file := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(file, []byte(made.Key+"\n"), 0o600))
	s.ok(append(register, "--api-key", "@"+file)...)
	s.env = append(s.env, "HOLDFAST_API_KEY="+made.Key)
	s.ok("webhook", "update", "wh_1", "--active=false", "--server", guarded.URL)
	require.Equal(t, []string{"key:ci (as ada)"}, s.actors)
	code, _, stderr = s.run("check", "--server", guarded.URL)
	require.Equal(t, exitError, code)
	require.Contains(t, stderr, "the API key ci has the scope write; this needs operate")
	require.Zero(t, s.checks)
}

func TestKeyCommand_refusesWhatMakesNoKey(t *testing.T) {
	t.Parallel()
	s := newSession(t)
	for _, args := range [][]string{{"key"}, {"key", "--name", "a b"}, {"key", "--name", "ci", "--scope", "all"}, {"key", "--name", "ci", "x"}, {"key", "--nonsense"}} {
		code, stdout, stderr := s.run(args...)
		require.Equal(t, exitUsage, code, args)
		require.Empty(t, stdout)
		require.Contains(t, stderr, "holdfast key: ")
	}
	require.Regexp(t, `^key    hf_[A-Z2-7]{26}\nentry  ci:read:[0-9a-f]{64}\n`, s.ok("key", "--name", "ci"))
	require.Contains(t, s.ok("key", "--help"), "--scope SCOPE")
}
