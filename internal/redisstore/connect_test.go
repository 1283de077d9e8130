package redisstore

import (
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	holdfast "github.com/emprops/holdfast"
)

const (
	waitLong = 10 * time.Second
	waitTick = 20 * time.Millisecond
)

func TestConnect(t *testing.T) {
	t.Parallel()
	open := func(url string) redis.UniversalClient {
		c, err := Connect(url)
		require.NoError(t, err, url)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	o := open("rediss://u:p@h:7000/3?pool_size=7").(*redis.Client).Options()
	require.Equal(t, []any{"h:7000", "u", "p", 3, 7, true, "h"}, []any{o.Addr, o.Username, o.Password, o.DB, o.PoolSize, o.ContextTimeoutEnabled, o.TLSConfig.ServerName})
	o = open("unix:///tmp/r.sock?db=2").(*redis.Client).Options()
	require.Equal(t, []any{"unix", "/tmp/r.sock", 2}, []any{o.Network, o.Addr, o.DB})
	o = open("redis+sentinel://u:p@s1,s2:7001/main/4").(*redis.Client).Options()
	require.Equal(t, []any{"FailoverClient", "u", "p", 4}, []any{o.Addr, o.Username, o.Password, o.DB})
	c := open("rediss+cluster://u:p@c1,c2:7001").(*redis.ClusterClient).Options()
	require.Equal(t, []any{[]string{"c1:6379", "c2:7001"}, "u", "p", true}, []any{c.Addrs, c.Username, c.Password, c.TLSConfig != nil})

	s, err := sentinelOptions("redis", "u:p@s1,s2:7001/main/4?sentinel_password=q&pool_size=3")
	require.NoError(t, err)
	require.Equal(t, []any{[]string{"s1:26379", "s2:7001"}, "main", "u", "p", "", "q", 4, 3},
		[]any{s.SentinelAddrs, s.MasterName, s.Username, s.Password, s.SentinelUsername, s.SentinelPassword, s.DB, s.PoolSize})

	for _, url := range []string{
		"", "redis", "http://h", "redis://user:hunter/2@h", "redis://h/hunter", "redis://h?hunter=1", "redis+sentinel://h",
		"redis+sentinel://h/m/hunter", "redis+sentinel://h/m?hunter=%zz", "redis+other://h", "unix://", "redis+cluster://hunter:hunter",
		"foo+cluster://h",
	} {
		_, err := Connect(url)
		requireCode(t, holdfast.CodeInvalid, err, url)
		require.NotContains(t, err.Error(), "hunter")
	}
}

// TestOnMiniredis holds that the in-process stand-in of dev mode, which lacks parts of Redis' Lua, is enough.
func TestOnMiniredis(t *testing.T) {
	t.Parallel()
	client := redis.NewClient(&redis.Options{Addr: miniredis.RunT(t).Addr()})
	t.Cleanup(func() { _ = client.Close() })
	store := New(client, Options{})
	n := &node{}
	for i := range 5 {
		write(t, store, testWebhook(string(rune('a'+i%3))))
		n.refresh(t, t.Context(), store)
		n.verify(t)
		require.Equal(t, i == 0, n.at.Count == 1)
	}
	_, existed, err := store.RemoveWebhook(t.Context(), "b")
	require.NoError(t, err)
	require.True(t, existed)
	require.False(t, n.refresh(t, t.Context(), store).Full)
	n.verify(t)
	require.Len(t, n.webhooks, 2)
	for name, do := range operations {
		err := do(t.Context(), store)
		require.NotEqual(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err), "%s: %v", name, err)
	}
}
