//go:build !lean

package devserver

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"

	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	"go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/resolver"
	"go.temporal.io/server/schema/sqlite"
)

// stores are the server's databases. Visibility (the lists of workflows) has its own, because SQLite has one writer at a
// time and the writes for the lists would queue with those that callers wait for.
type stores struct{ main, visibility *config.SQL }

// memoryDatabases numbers the in-memory databases of this process: equal names would be one database.
var memoryDatabases atomic.Int64

// openStores returns the databases in dir, created when absent, or new ones in memory when dir is empty.
func openStores(ctx context.Context, dir string) (stores, error) {
	if dir == "" {
		return stores{memoryStore(), memoryStore()}, nil
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return stores{}, fmt.Errorf("find data directory: %w", err)
	}
	s := stores{fileStore(filepath.Join(dir, "temporal.db"), "full"), fileStore(filepath.Join(dir, "visibility.db"), "normal")}
	for _, db := range []*config.SQL{s.main, s.visibility} {
		if err := setUpSchema(db); err != nil {
			return stores{}, err
		}
	}
	if err := trimVisibility(ctx, s.visibility); err != nil {
		return stores{}, err
	}
	s.visibility.PluginName = visibilityPlugin
	return s, nil
}

// memoryStore returns a database in memory; the driver sets up its schema.
func memoryStore() *config.SQL {
	return &config.SQL{
		PluginName:        sqliteplugin.PluginName,
		DatabaseName:      fmt.Sprintf("holdfast-%d-%d", os.Getpid(), memoryDatabases.Add(1)),
		ConnectAttributes: map[string]string{"mode": "memory", "cache": "shared"},
	}
}

// checkpointPages is how long a write-ahead log grows (32 MB) before its pages are written to the database, which the commit
// that finds it so long waits for. The same few pages are written again and again, so a longer log is less work.
const checkpointPages = "8000"

// fileStore returns the database in the file at path.
//
// A commit survives kill -9 of the process, and a crash of the machine as far as its disk keeps what was synced: with a
// write-ahead log a commit is one append to the log, and synchronous=FULL syncs the log before the commit returns. That
// is one sync per commit where the rollback journal, SQLite's default, needs several. With synchronous=NORMAL a commit
// survives kill -9 as well, but not the machine: enough for the visibility records, an index that nothing durable rests on.
func fileStore(path, synchronous string) *config.SQL {
	return &config.SQL{
		PluginName: sqliteplugin.PluginName,
		// The driver pastes the name into a URI.
		DatabaseName: (&url.URL{Path: path}).EscapedPath(),
		ConnectAttributes: map[string]string{
			"mode": "rwc", "journal_mode": "wal", "synchronous": synchronous, "wal_autocheckpoint": checkpointPages,
		},
	}
}

// setUpSchema creates the tables when there are none. It does so in one transaction, so that a process killed meanwhile
// leaves no half of a schema behind.
func setUpSchema(cfg *config.SQL) error {
	db, err := sql.NewSQLAdminDB(sqlplugin.DbKindUnknown, cfg, resolver.NewNoopResolver(), log.NewNoopLogger(), metrics.NoopMetricsHandler)
	if err != nil {
		return fmt.Errorf("open Temporal's database: %w", err)
	}
	defer db.Close()
	tables, err := db.ListTables("")
	if err != nil {
		return fmt.Errorf("read Temporal's database: %w", err)
	}
	if len(tables) > 0 {
		return nil
	}
	// The driver's pool has exactly one connection, so these statements run on the same one.
	for _, step := range []func() error{
		func() error { return db.Exec("BEGIN IMMEDIATE") },
		func() error { return sqlite.SetupSchemaOnDB(db) },
		func() error { return db.Exec("COMMIT") },
	} {
		if err := step(); err != nil {
			_ = db.Exec("ROLLBACK")
			return fmt.Errorf("set up Temporal's database: %w", err)
		}
	}
	return nil
}

func (s stores) createNamespace(name string) error {
	ns, err := sqlite.NewNamespaceConfig(clusterName, name, false, SearchAttributes())
	if err != nil {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	if err := sqlite.CreateNamespaces(s.main, ns); err != nil {
		return fmt.Errorf("create namespace %s: %w", name, err)
	}
	return nil
}
