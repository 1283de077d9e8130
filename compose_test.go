package holdfast_test

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/emprops/holdfast/internal/config"
	"github.com/emprops/holdfast/workflows"
)

// compose is what docker-compose.yml may hold; another key is an error.
type compose struct {
	Name     string
	Services map[string]composeService
	Volumes  map[string]any
}

type composeService struct {
	Image       string
	Build       struct{ Context, Dockerfile string }
	Command     []string
	Entrypoint  []string
	DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	Environment map[string]string
	Ports       []string
	Volumes     []string
	Healthcheck *struct {
		Test              []string
		Interval, Timeout string
		StartPeriod       string `yaml:"start_period"`
		Retries           int
	}
	StopGracePeriod string `yaml:"stop_grace_period"`
	Restart         string
}

func readCompose(t *testing.T) compose {
	t.Helper()
	file, err := os.Open("docker-compose.yml")
	require.NoError(t, err)
	defer file.Close()
	dec := yaml.NewDecoder(file)
	dec.KnownFields(true)
	var c compose
	require.NoError(t, dec.Decode(&c))
	return c
}

func TestComposeFileIsWholeAndConsistent(t *testing.T) {
	t.Parallel()
	c := readCompose(t)
	for _, name := range []string{"postgresql", "temporal", "temporal-ui", "redis", "holdfast"} {
		require.Contains(t, c.Services, name)
	}
	published := map[string]string{}
	for name, s := range c.Services {
		require.Regexp(t, `^[a-z0-9./-]+:[a-z0-9.-]+$`, s.Image, "%s: the image is named with its version", name)
		require.NotContains(t, s.Image, ":latest", name)
		require.NotEmpty(t, s.Restart, name)
		for target, on := range s.DependsOn {
			other, ok := c.Services[target]
			require.True(t, ok, "%s depends on %s, which is not there", name, target)
			switch on.Condition {
			case "service_healthy":
				require.NotNil(t, other.Healthcheck, "%s waits for the health of %s, which has no check", name, target)
			case "service_completed_successfully":
				require.Equal(t, "on-failure", other.Restart, "%s waits for the end of %s, which is started again", name, target)
			default:
				require.Fail(t, "unknown condition", "%s on %s: %q", name, target, on.Condition)
			}
		}
		if s.Healthcheck != nil {
			require.Contains(t, []string{"CMD", "CMD-SHELL"}, s.Healthcheck.Test[0], name)
			require.Greater(t, len(s.Healthcheck.Test), 1, name)
			for _, d := range []string{s.Healthcheck.Interval, s.Healthcheck.Timeout} {
				require.Regexp(t, `^\d+(ms|s|m)$`, d, name)
			}
			require.Positive(t, s.Healthcheck.Retries, name)
		}
		for _, port := range s.Ports {
			parts := regexp.MustCompile(`^127\.0\.0\.1:(\d{1,5}):\d{1,5}$`).FindStringSubmatch(port)
			require.NotNil(t, parts, "%s: port %q must be open to this machine only", name, port)
			require.Empty(t, published[parts[1]], "port %s is published twice", parts[1])
			published[parts[1]] = name
		}
		for _, volume := range s.Volumes {
			source, target, _ := strings.Cut(volume, ":")
			require.Contains(t, c.Volumes, source, name)
			require.True(t, strings.HasPrefix(target, "/"), "%s: %s", name, volume)
		}
	}
	require.Contains(t, c.Services["redis"].Command, "--appendonly", "the registry must survive a restart")
}

func TestComposeServicesAcceptTheirOwnSettings(t *testing.T) {
	t.Parallel()
	s := readCompose(t).Services["holdfast"]
	variable := regexp.MustCompile(`\$\{\w+:-([^}]*)\}`)
	var environ []string
	for name, value := range s.Environment {
		environ = append(environ, name+"="+variable.ReplaceAllString(value, "$1"))
	}
	require.NotEmpty(t, s.Command)
	c, err := config.Load(s.Command[1:], environ, s.Command[0])
	require.NoError(t, err)
	require.Equal(t, "temporal:7233", c.Temporal.Address)
	require.Equal(t, "redis://redis:6379/0", c.Redis.URL)
	require.Equal(t, []string{"127.0.0.1:3332:3332"}, s.Ports)
	require.Equal(t, ":3332", c.HTTP.Listen)

	built, err := os.ReadFile(filepath.Join(s.Build.Context, s.Build.Dockerfile))
	require.NoError(t, err)
	mod, err := os.ReadFile("go.mod")
	require.NoError(t, err)
	version := regexp.MustCompile(`(?m)^go (\S+)$`).FindSubmatch(mod)
	require.NotNil(t, version)
	require.Contains(t, string(built), "FROM golang:"+string(version[1])+" ", "the image is built with the module's Go")
	require.Contains(t, string(built), "-tags lean")
}

func TestComposeRegistersTheSearchAttributesOfTheWorkflows(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		workflows.AttrWebhookID.GetName(): "Keyword", workflows.AttrEventType.GetName(): "Keyword",
		workflows.AttrEventID.GetName(): "Keyword", workflows.AttrDeliveryState.GetName(): "Keyword",
		workflows.AttrHTTPStatus.GetName(): "Int", workflows.AttrAttempts.GetName(): "Int",
		workflows.AttrWebhookState.GetName(): "Keyword", workflows.AttrWebhookRevision.GetName(): "Int",
	}
	got := map[string]string{}
	for pair := range slices.Chunk(readCompose(t).Services["temporal-attributes"].Command, 2) {
		require.Len(t, pair, 2)
		got[strings.TrimPrefix(pair[0], "--name=")] = strings.TrimPrefix(pair[1], "--type=")
	}
	require.Equal(t, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got)))
	require.Equal(t, want, got)
}
