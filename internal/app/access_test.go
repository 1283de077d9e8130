package app_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast/internal/apikey"
	"github.com/emprops/holdfast/internal/config"
)

// restAs calls the original's API with a key, and returns the status and what a 401 asks for.
func (n *testNode) restAs(t *testing.T, key, method, path, body string) (status int, challenge string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, n.base+path, strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set(apikey.Header, key)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	return res.StatusCode, res.Header.Get("WWW-Authenticate")
}

// Each REST route of a node with keys asks for one, of the scope that its operation has in the Connect API.
func TestD49_RESTRoutesNeedAKeyOfTheScope(t *testing.T) {
	t.Parallel()
	keys, entries := map[apikey.Scope]string{}, []string(nil)
	for _, scope := range []apikey.Scope{apikey.Read, apikey.Write, apikey.Operate} {
		key, entry, err := apikey.New(scope.String(), scope)
		require.NoError(t, err)
		keys[scope], entries = key, append(entries, entry)
	}
	n := newCluster(t).node(func(c *config.Config) { c.Security.APIKeys = entries })
	for route, needs := range map[string]apikey.Scope{
		"GET /webhooks": apikey.Read, "GET /Webhooks/": apikey.Read, "HEAD /webhooks": apikey.Read, "GET /webhooks/x": apikey.Read,
		"GET /webhooks/x/stats": apikey.Read, "GET /webhooks/x/deliveries": apikey.Read, "GET /stats/summary": apikey.Read,
		"GET /deliveries/recent": apikey.Read, "GET /test-receivers": apikey.Read, "GET /test-receivers/x/requests": apikey.Read,
		"GET /webhook-monitor/x/requests": apikey.Read, "GET /metrics": apikey.Read, "GET /nothing": apikey.Read,
		"POST /webhooks": apikey.Write, "PUT /webhooks/x": apikey.Write, "DELETE /webhooks/x": apikey.Write, "POST /webhooks/x/test": apikey.Write,
		"POST /test-receivers": apikey.Write, "DELETE /test-receivers/x": apikey.Write, "DELETE /test-receivers/x/requests": apikey.Write, "DELETE /webhook-monitor/x/requests": apikey.Write,
		"POST /webhooks/x/reconnect": apikey.Operate,
	} {
		method, path, _ := strings.Cut(route, " ")
		for _, key := range []string{"", "hf_unknown"} {
			status, challenge := n.restAs(t, key, method, path, "{}")
			require.Equal(t, http.StatusUnauthorized, status, route)
			require.Contains(t, challenge, "Bearer")
		}
		for scope, key := range keys {
			status, _ := n.restAs(t, key, method, path, "{}")
			require.NotEqual(t, http.StatusUnauthorized, status, route)
			require.Equal(t, scope < needs, status == http.StatusForbidden, "%s with %s", route, scope)
		}
	}
	for _, route := range []string{"/livez", "/readyz", "/health", "/Health/", "/webhook-monitor/s"} {
		status, _ := n.restAs(t, "", http.MethodGet, route, "")
		require.Equal(t, http.StatusOK, status, route)
	}
}
