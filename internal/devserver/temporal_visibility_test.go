//go:build !lean

package devserver

import (
	"database/sql"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A database of an older version has all of Temporal's indexes; they go, and what lists ask for is still looked up.
func TestVisibilityHasTheIndexesThatAreUsed(t *testing.T) {
	t.Parallel()
	s, err := openStores(t.Context(), t.TempDir())
	require.NoError(t, err)
	db, err := sql.Open("sqlite", "file:"+s.visibility.DatabaseName)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	indexes := func() (names []string) {
		rows, err := db.QueryContext(t.Context(), `SELECT name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL`)
		require.NoError(t, err)
		defer rows.Close()
		for rows.Next() {
			var name string
			require.NoError(t, rows.Scan(&name))
			names = append(names, name)
		}
		require.NoError(t, rows.Err())
		return names
	}
	fresh := indexes()
	require.Len(t, fresh, len(visibilityIndexes)+len(attributeColumns()))

	_, err = db.ExecContext(t.Context(), `CREATE INDEX by_int_01 ON executions_visibility (namespace_id, Int01)`)
	require.NoError(t, err)
	require.NoError(t, trimVisibility(t.Context(), s.visibility))
	require.Equal(t, fresh, indexes())

	for column, index := range map[string]string{
		"Keyword07 = 'wh_1'": "with_keyword07", "workflow_id = 'webhook/wh_1'": "by_workflow_id", "status = 1": "by_status",
	} {
		rows, err := db.QueryContext(t.Context(), `EXPLAIN QUERY PLAN SELECT run_id FROM executions_visibility
			WHERE namespace_id = 'n' AND `+column+` AND TemporalNamespaceDivision IS NULL
			ORDER BY COALESCE(close_time, '9999-12-31 23:59:59+00:00') DESC, start_time DESC, run_id LIMIT 10`)
		require.NoError(t, err)
		var plan []string
		for rows.Next() {
			var id, parent, unused int
			var detail string
			require.NoError(t, rows.Scan(&id, &parent, &unused, &detail))
			plan = append(plan, detail)
		}
		require.NoError(t, rows.Err())
		require.NoError(t, rows.Close())
		require.Contains(t, strings.Join(plan, "; "), "USING INDEX "+index, column)
		require.NotContains(t, strings.Join(plan, "; "), "TEMP B-TREE", column)
	}
}
