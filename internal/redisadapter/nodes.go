package redisadapter

import (
	"context"

	"github.com/emprops/holdfast/internal/redisstore"
)

// Nodes is the storage as the registration activities see it.
type Nodes struct{ Store *redisstore.Store }

// LiveNodes implements activities.NodeLister.
func (n Nodes) LiveNodes(ctx context.Context) ([]string, error) {
	live, _, err := n.Store.Nodes(ctx)
	ids := make([]string, len(live))
	for i, node := range live {
		ids[i] = node.ID
	}
	return ids, err
}
