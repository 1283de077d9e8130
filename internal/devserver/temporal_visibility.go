//go:build !lean

package devserver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"go.temporal.io/server/common/config"
	_ "modernc.org/sqlite" // the driver, which Temporal's plugin uses as well
)

// Temporal's schema has an index for every column of the visibility table, most of them for search attributes that nobody
// has registered. Each costs every record a page to write and code to compile, which together is more than what the
// workflow itself costs. These are enough: what is asked for by another column is found by reading the table.
var visibilityIndexes = []string{"default_idx", "by_workflow_id", "by_workflow_type", "by_status"}

// attributeColumns are the search attributes with an index of their own, over the records that have them. Which Keyword
// column is which attribute, the namespace says.
func attributeColumns() []string {
	columns := []string{"TemporalScheduledById"}
	for i := 1; i <= 10; i++ {
		columns = append(columns, fmt.Sprintf("Keyword%02d", i))
	}
	return columns
}

// ownIndex begins the names of the indexes that are ours.
const ownIndex = "with_"

// trimVisibility leaves a visibility database the indexes that are used. It may be done again, and before any start.
func trimVisibility(ctx context.Context, cfg *config.SQL) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("set up the indexes of Temporal's visibility database: %w", err)
		}
	}()
	db, err := sql.Open("sqlite", "file:"+cfg.DatabaseName+"?_pragma=busy_timeout=5000")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing after a commit
	unused, err := unusedIndexes(ctx, tx)
	if err != nil {
		return err
	}
	for _, name := range unused {
		if _, err := tx.ExecContext(ctx, `DROP INDEX "`+name+`"`); err != nil {
			return err
		}
	}
	for _, column := range attributeColumns() {
		// The order of the key is that of Temporal's own indexes: lists show the last closed first.
		_, err := tx.ExecContext(ctx, `CREATE INDEX IF NOT EXISTS `+ownIndex+strings.ToLower(column)+` ON executions_visibility (namespace_id, `+
			column+`, (COALESCE(close_time, '9999-12-31 23:59:59+00:00')) DESC, start_time DESC, run_id) WHERE `+column+` IS NOT NULL`)
		if err != nil {
			return err
		}
	}
	return tx.Commit()
}

// unusedIndexes lists the indexes of Temporal's schema that are not to be kept.
func unusedIndexes(ctx context.Context, tx *sql.Tx) (names []string, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT name FROM sqlite_master
		WHERE type = 'index' AND tbl_name = 'executions_visibility' AND sql IS NOT NULL`)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		if !strings.HasPrefix(name, ownIndex) && !slices.Contains(visibilityIndexes, name) {
			names = append(names, name)
		}
	}
	return names, rows.Err()
}
