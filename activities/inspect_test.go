package activities

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/emprops/holdfast"
)

// cache is a snapshot that a rebuild brings from one revision to another.
type cache struct {
	revision, rebuilt int64
	degraded          string
	refreshErr        error
	rebuildErr        error
}

func (c *cache) Refresh(context.Context, int64) (int64, string, int, error) {
	return c.revision, "digest", 3, c.refreshErr
}
func (c *cache) Degraded() string { return c.degraded }
func (c *cache) Poisoned() int    { return 1 }
func (c *cache) Rebuild(context.Context) (int64, string, int, error) {
	c.revision = c.rebuilt
	return c.revision, "digest", 3, c.rebuildErr
}

func TestANodeDescribesItsSnapshot(t *testing.T) {
	t.Parallel()
	c := &cache{revision: 7, rebuilt: 9}
	n := &NodeInspection{Node: "n1", Cache: c}
	r, err := execute(t, n.InspectNode, RefreshRequest{Revision: 7}, nil)
	require.NoError(t, err)
	require.Equal(t, NodeReport{Node: "n1", Revision: 7, Digest: "digest", Webhooks: 3, Poisoned: 1}, r)
	r, err = execute(t, n.RebuildCache, RefreshRequest{Revision: 7}, nil)
	require.NoError(t, err)
	require.Equal(t, int64(9), r.Revision)
}

func TestANodeThatCannotRefreshIsDegradedAndNotSilent(t *testing.T) {
	t.Parallel()
	c := &cache{revision: 7, refreshErr: holdfast.Wrap(holdfast.CodeUnavailable, errors.New("10.1.2.3"), "storage is unavailable")}
	n := &NodeInspection{Node: "n1", Cache: c}
	r, err := execute(t, n.InspectNode, RefreshRequest{Revision: 8}, nil)
	require.NoError(t, err)
	require.Equal(t, "storage is unavailable", r.Degraded)
	c.degraded = "the registry in storage went back"
	r, err = execute(t, n.InspectNode, RefreshRequest{Revision: 8}, nil)
	require.NoError(t, err)
	require.Equal(t, c.degraded, r.Degraded)
	c.rebuildErr = errUnavailable
	_, err = execute(t, n.RebuildCache, RefreshRequest{}, nil)
	require.Error(t, err)
}
