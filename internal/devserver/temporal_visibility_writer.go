//go:build !lean

package devserver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	"go.temporal.io/server/common/persistence/sql/sqlplugin"
)

// visibilityWriter writes the records of one database. It is the only one that does.
type visibilityWriter struct {
	name                    string
	users                   int
	db                      *sql.DB
	insert, replace, remove *sql.Stmt
}

// newVisibilityWriter opens the database under the name that its configuration has.
func newVisibilityWriter(name string) (*visibilityWriter, error) {
	db, err := sql.Open("sqlite", "file:"+name+"?_pragma=busy_timeout=5000&_pragma=synchronous=normal&_pragma=wal_autocheckpoint="+
		checkpointPages+"&_time_format=sqlite")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1) // a statement is compiled for one connection
	w := &visibilityWriter{name: name, db: db}
	insert, replace, remove := visibilityStatements()
	for text, s := range map[string]**sql.Stmt{insert: &w.insert, replace: &w.replace, remove: &w.remove} {
		if *s, err = db.PrepareContext(context.Background(), text); err != nil {
			return nil, errors.Join(fmt.Errorf("prepare the records of Temporal's lists: %w", err), db.Close())
		}
	}
	return w, nil
}

// visibilityStatements are those of Temporal's plugin: a record that is there is replaced only by a newer one.
func visibilityStatements() (insert, replace, remove string) {
	columns := strings.Join(sqlplugin.DbFields, ", ")
	into := "INSERT INTO executions_visibility (" + columns + ") VALUES (?" +
		strings.Repeat(", ?", len(sqlplugin.DbFields)-1) + ") ON CONFLICT (namespace_id, run_id) DO "
	set := make([]string, len(sqlplugin.DbFields))
	for i, c := range sqlplugin.DbFields {
		set[i] = c + " = excluded." + c
	}
	newer := fmt.Sprintf(" WHERE executions_visibility.%[1]s < excluded.%[1]s", sqlplugin.VersionColumnName)
	return into + "NOTHING", into + "UPDATE SET " + strings.Join(set, ", ") + newer,
		"DELETE FROM executions_visibility WHERE namespace_id = ? AND run_id = ?"
}

// listSeparator stands between the values of a list, as Temporal's plugin writes and reads it.
const listSeparator = "♡"

// visibilityValues are a record's values in the order of the columns, spelled as Temporal's plugin spells them.
func visibilityValues(row *sqlplugin.VisibilityRow) []any {
	r := *row
	r.StartTime, r.ExecutionTime = sqliteTime(r.StartTime), sqliteTime(r.ExecutionTime)
	if r.CloseTime != nil {
		closed := sqliteTime(*r.CloseTime)
		r.CloseTime = &closed
	}
	if r.SearchAttributes != nil {
		spelled := sqlplugin.VisibilitySearchAttributes{}
		for name, value := range *r.SearchAttributes {
			switch v := value.(type) {
			case []string:
				spelled[name] = strings.Join(v, listSeparator)
			case time.Time:
				spelled[name] = v.Format(time.RFC3339Nano)
			default:
				spelled[name] = v
			}
		}
		r.SearchAttributes = &spelled
	}
	fields := reflect.ValueOf(r)
	values := make([]any, fields.NumField())
	for i := range values {
		values[i] = fields.Field(i).Interface()
	}
	return values
}

// noTime is how Temporal's plugin writes the zero time.
var noTime = time.Date(1000, 1, 1, 0, 0, 0, 0, time.UTC)

func sqliteTime(t time.Time) time.Time {
	if t.IsZero() {
		return noTime
	}
	return t.UTC().Truncate(time.Microsecond)
}
