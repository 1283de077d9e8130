package testkit

import (
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/emprops/holdfast/internal/devserver"
)

// RedisServer starts a real Redis server for this test alone and stops it with the test. It keeps nothing across Kill and
// Restart: what comes back is an empty Redis.
func RedisServer(tb testing.TB) *devserver.Redis {
	tb.Helper()
	return startRedis(tb, devserver.RedisOptions{})
}

// PersistentRedisServer is RedisServer with an append-only file: what was written is there after Kill and Restart.
func PersistentRedisServer(tb testing.TB) *devserver.Redis {
	tb.Helper()
	return startRedis(tb, devserver.RedisOptions{DataDir: tb.TempDir()})
}

// RedisURL starts a RedisServer and returns its address.
func RedisURL(tb testing.TB) string {
	tb.Helper()
	return RedisServer(tb).URL()
}

// Redis starts a RedisServer and returns a client of it.
func Redis(tb testing.TB) *redis.Client {
	tb.Helper()
	return RedisClient(tb, RedisServer(tb))
}

// RedisClient returns a new client of the server, closed with the test.
func RedisClient(tb testing.TB, server *devserver.Redis) *redis.Client {
	tb.Helper()
	opts, err := redis.ParseURL(server.URL())
	if err != nil {
		tb.Fatalf("parse the address of the Redis server: %v", err)
	}
	c := redis.NewClient(opts)
	tb.Cleanup(func() { c.Close() })
	return c
}

func startRedis(tb testing.TB, opts devserver.RedisOptions) *devserver.Redis {
	tb.Helper()
	server, err := devserver.StartRedis(tb.Context(), opts)
	if err != nil {
		tb.Fatalf("start Redis: %v", err)
	}
	tb.Cleanup(server.Stop)
	return server
}
