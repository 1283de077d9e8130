package config

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sample renders the table as a commented file: every setting with its meaning and default.
func sample() string {
	c := Default()
	var b strings.Builder
	b.WriteString("# Every setting of Holdfast with its default under `holdfast serve`. Keep only what differs.\n" +
		"# Read with --config or HOLDFAST_CONFIG; environment variables and flags win over this file.\n\n")
	c.write(&b, func(s *setting) string { return s.doc })
	return b.String()
}

func TestSampleIsTheTableWrittenOut(t *testing.T) {
	t.Parallel()
	if os.Getenv("UPDATE_SAMPLE") != "" {
		require.NoError(t, os.WriteFile("sample.yaml", []byte(sample()), 0o644))
	}
	shipped, err := os.ReadFile("sample.yaml")
	require.NoError(t, err)
	require.Equal(t, sample(), string(shipped), "UPDATE_SAMPLE=1 go test ./internal/config writes it anew")
}

func TestSampleEqualsDefault(t *testing.T) {
	t.Parallel()
	c := Config{origins: map[string]string{}}
	require.NoError(t, applyFile(&c, "sample.yaml"))
	c.origins = nil
	require.Equal(t, Default(), c)
}
