//go:build !lean

package devserver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"

	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/log"
	"go.temporal.io/server/common/metrics"
	temporalsql "go.temporal.io/server/common/persistence/sql"
	"go.temporal.io/server/common/persistence/sql/sqlplugin"
	sqliteplugin "go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/resolver"
)

// visibilityPlugin is Temporal's SQLite plugin but for the statements that write the records of lists, which it compiles once.
// Temporal's compiles one of several dozen columns for every record: a tenth of what an embedded server did.
const visibilityPlugin = "holdfast-visibility"

// Temporal keeps its list of plugins without a lock, and a server reads it for as long as it runs: the plugin is in the list
// before there can be one.
func init() {
	temporalsql.RegisterPlugin(visibilityPlugin, &visibilityDatabases{writers: map[string]*visibilityWriter{}})
}

// visibilityDatabases is the plugin: one writer for each database, however many of the server's services open it.
type visibilityDatabases struct {
	mu      sync.Mutex
	writers map[string]*visibilityWriter
}

// temporalDB is all that Temporal's own plugin returns.
type temporalDB interface {
	sqlplugin.DB
	sqlplugin.AdminDB
}

// CreateDB opens the database as Temporal's plugin does; what is not a write of a record goes on as ever.
func (v *visibilityDatabases) CreateDB(
	kind sqlplugin.DbKind, cfg *config.SQL, r resolver.ServiceResolver, logger log.Logger, m metrics.Handler,
) (sqlplugin.GenericDB, error) {
	theirs := *cfg
	theirs.PluginName = sqliteplugin.PluginName
	db, err := temporalsql.NewSQLDB(kind, &theirs, r, logger, m)
	if err != nil {
		return nil, err
	}
	all, ok := db.(temporalDB)
	if !ok {
		return nil, errors.Join(fmt.Errorf("devserver: Temporal's plugin returned a %T", db), db.Close())
	}
	w, err := v.open(cfg.DatabaseName)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &visibilityDB{temporalDB: all, writer: w, release: sync.OnceValue(func() error { return v.release(w) })}, nil
}

// GetVisibilityQueryConverter is not asked for anything: the databases introduce themselves as those of Temporal's plugin.
func (v *visibilityDatabases) GetVisibilityQueryConverter() sqlplugin.VisibilityQueryConverter {
	c, _ := temporalsql.GetPluginVisibilityQueryConverter(sqliteplugin.PluginName)
	return c
}

func (v *visibilityDatabases) open(name string) (*visibilityWriter, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	w := v.writers[name]
	if w == nil {
		var err error
		if w, err = newVisibilityWriter(name); err != nil {
			return nil, err
		}
		v.writers[name] = w
	}
	w.users++
	return w, nil
}

func (v *visibilityDatabases) release(w *visibilityWriter) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if w.users--; w.users > 0 {
		return nil
	}
	delete(v.writers, w.name)
	return w.db.Close()
}

// visibilityDB is a database whose records are written by a visibilityWriter.
type visibilityDB struct {
	temporalDB
	writer  *visibilityWriter
	release func() error
}

func (db *visibilityDB) InsertIntoVisibility(ctx context.Context, row *sqlplugin.VisibilityRow) (sql.Result, error) {
	return db.writer.insert.ExecContext(ctx, visibilityValues(row)...)
}

func (db *visibilityDB) ReplaceIntoVisibility(ctx context.Context, row *sqlplugin.VisibilityRow) (sql.Result, error) {
	return db.writer.replace.ExecContext(ctx, visibilityValues(row)...)
}

func (db *visibilityDB) DeleteFromVisibility(ctx context.Context, f sqlplugin.VisibilityDeleteFilter) (sql.Result, error) {
	return db.writer.remove.ExecContext(ctx, f.NamespaceID, f.RunID)
}

func (db *visibilityDB) Close() error { return errors.Join(db.release(), db.temporalDB.Close()) }
