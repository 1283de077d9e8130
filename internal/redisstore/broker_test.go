package redisstore

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	holdfast "github.com/emprops/holdfast"
)

func TestNodesAgreeOnWhenAStateBegan(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{})
	other := New(srv.client, Options{})
	since := func(s *Store, subject, state string, at int64) int64 {
		got, err := s.Since(t.Context(), subject, state, at, time.Minute)
		require.NoError(t, err)
		return got
	}
	require.EqualValues(t, 1000, since(store, "m", "ready", 1000), "the first word is news")
	require.EqualValues(t, 1000, since(other, "m", "ready", 1000), "to every node that hears it")
	require.EqualValues(t, 1000, since(other, "m", "ready", 2000), "what is known is none")
	require.EqualValues(t, 3000, since(other, "m", "busy", 3000))
	require.EqualValues(t, 3000, since(store, "m", "ready", 2500), "older words change nothing")
	require.EqualValues(t, 3000, since(store, "m", "busy", 3500))
	require.EqualValues(t, 4000, since(store, "m", "ready", 4000), "a state can come again")
	require.EqualValues(t, 4000, since(store, "m", "busy", 4000), "the last word of a moment counts")
	require.EqualValues(t, 5, since(store, "another", "busy", 5))
	require.EqualValues(t, 6, since(store, strings.Repeat("x", 5000)+"\x00|", "a|b\n", 6))

	keys, err := srv.client.Keys(t.Context(), "*").Result()
	require.NoError(t, err)
	require.Len(t, keys, 3)
	for _, key := range keys {
		require.Less(t, len(key), 64)
		left, err := srv.client.PTTL(t.Context(), key).Result()
		require.NoError(t, err)
		require.Positive(t, left, "nothing stays for ever")
	}
}

func TestD18_WhatTheBrokerKeepsOfAJob(t *testing.T) {
	t.Parallel()
	store, srv := setup(t, Options{Prefix: "{webhooks}"})
	require.NoError(t, srv.client.HSet(t.Context(), "job:j1", "service_required", "comfyui", "workflow_id", "", "payload", "large").Err())
	got, err := store.BrokerJob(t.Context(), "j1", "service_required", "workflow_id", "total_steps")
	require.NoError(t, err)
	require.Equal(t, map[string]string{"service_required": "comfyui", "workflow_id": ""}, got)
	got, err = store.BrokerJob(t.Context(), "j2", "service_required")
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestD9_ABrokerThatCannotBeReadIsNoEmptyJob(t *testing.T) {
	t.Parallel()
	_, srv := setup(t, Options{})
	limited := New(srv.deny(t, "-hmget", "-evalsha", "-eval"), Options{})
	_, err := limited.BrokerJob(t.Context(), "j1", "service_required")
	require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err))
	_, err = limited.Since(t.Context(), "m", "ready", 1, time.Minute)
	require.Equal(t, holdfast.CodeUnavailable, holdfast.ErrorCode(err))
}
