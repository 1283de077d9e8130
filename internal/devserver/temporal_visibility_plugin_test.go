//go:build !lean

package devserver

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	temporalsql "go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/resolver"
)

// visibilityRows are records with everything that is spelled in a way of its own.
func visibilityRows() []sqlplugin.VisibilityRow {
	at := time.Date(2026, 11, 29, 12, 30, 0, 123_456_789, time.FixedZone("", 3600))
	full := sqlplugin.VisibilityRow{
		NamespaceID: "ns", RunID: "full", WorkflowTypeName: "Delivery", WorkflowID: "delivery/wh_1/évt", StartTime: at, ExecutionTime: at,
		Status: 2, CloseTime: new(at), HistoryLength: new(int64(7)), HistorySizeBytes: new(int64(1234)), ExecutionDuration: new(int64(5)),
		StateTransitionCount: new(int64(3)), Memo: []byte{0, 1, 255}, Encoding: "Proto3", TaskQueue: "holdfast",
		SearchAttributes: &sqlplugin.VisibilitySearchAttributes{
			"Keyword01": "retrying", "Int01": int64(3), "Bool01": true, "Double01": 1.5, "Datetime01": at,
			"BuildIds": []string{"unversioned", "unversioned:x"}, "KeywordList01": []string{"a"},
		},
		ParentWorkflowID: new("p"), ParentRunID: new("q"), RootWorkflowID: "r", RootRunID: "s", Version: 4,
	}
	return []sqlplugin.VisibilityRow{{NamespaceID: "ns", RunID: "bare", Version: 1}, full}
}

// What is written differs in nothing from what Temporal's own plugin writes, whose queries read it.
func TestVisibilityPluginWritesWhatTemporalsDoes(t *testing.T) {
	t.Parallel()
	written := map[string]string{}
	for _, plugin := range []string{sqliteplugin.PluginName, visibilityPlugin} {
		s, err := openStores(t.Context(), t.TempDir())
		require.NoError(t, err)
		s.visibility.PluginName = plugin
		open := func() sqlplugin.DB {
			db, err := temporalsql.NewSQLDB(sqlplugin.DbKindVisibility, s.visibility, resolver.NewNoopResolver(), log.NewNoopLogger(), metrics.NoopMetricsHandler)
			require.NoError(t, err)
			return db
		}
		db, other := open(), open()
		require.Equal(t, sqliteplugin.PluginName, db.PluginName(), "queries are built by this name")
		rows := visibilityRows()
		for i := range rows {
			done, err := db.InsertIntoVisibility(t.Context(), &rows[i])
			require.NoError(t, err)
			require.EqualValues(t, 1, affected(t, done))
			again := rows[i]
			again.WorkflowID = "ignored"
			done, err = other.InsertIntoVisibility(t.Context(), &again)
			require.NoError(t, err)
			require.EqualValues(t, 0, affected(t, done))
			_, err = other.ReplaceIntoVisibility(t.Context(), &again)
			require.NoError(t, err, "of the same version")
			again.WorkflowID, again.Version = "newer", again.Version+1
			done, err = db.ReplaceIntoVisibility(t.Context(), &again)
			require.NoError(t, err)
			require.EqualValues(t, 1, affected(t, done))
		}
		gone := rows[0]
		gone.RunID = "gone"
		_, err = db.ReplaceIntoVisibility(t.Context(), &gone)
		require.NoError(t, err)
		_, err = other.DeleteFromVisibility(t.Context(), sqlplugin.VisibilityDeleteFilter{NamespaceID: "ns", RunID: "gone"})
		require.NoError(t, err)
		require.NoError(t, db.Close())
		written[plugin] = dump(t, s.visibility)
		found, err := other.GetFromVisibility(t.Context(), sqlplugin.VisibilityGetFilter{NamespaceID: "ns", RunID: "full"})
		require.NoError(t, err)
		require.Equal(t, "newer", found.WorkflowID)
		_, err = other.ReplaceIntoVisibility(t.Context(), &gone)
		require.NoError(t, err, "one service's end is not that of the others")
		require.NoError(t, other.Close())
	}
	require.Contains(t, written[visibilityPlugin], "retrying")
	require.Equal(t, written[sqliteplugin.PluginName], written[visibilityPlugin])
}

func affected(t *testing.T, r sql.Result) int64 {
	t.Helper()
	n, err := r.RowsAffected()
	require.NoError(t, err)
	return n
}

// dump returns every column of every record, as the database holds them.
func dump(t *testing.T, cfg *config.SQL) (text string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+cfg.DatabaseName)
	require.NoError(t, err)
	defer func() { require.NoError(t, db.Close()) }()
	columns, err := db.QueryContext(t.Context(), `SELECT name FROM pragma_table_xinfo('executions_visibility')`)
	require.NoError(t, err)
	defer columns.Close()
	var quoted []string
	for columns.Next() {
		var name string
		require.NoError(t, columns.Scan(&name))
		quoted = append(quoted, fmt.Sprintf(`'%[1]s=' || quote("%[1]s")`, name))
	}
	require.NoError(t, columns.Err())
	require.Greater(t, len(quoted), 50)
	rows, err := db.QueryContext(t.Context(), "SELECT "+strings.Join(quoted, `|| ' ' || `)+" FROM executions_visibility ORDER BY run_id")
	require.NoError(t, err)
	defer rows.Close()
	for rows.Next() {
		var row string
		require.NoError(t, rows.Scan(&row))
		text += row + "\n"
	}
	require.NoError(t, rows.Err())
	return text
}
