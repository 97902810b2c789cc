package cluster

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/sql"
)

//go:embed sql/roles.sql
var describeRoles string

//go:embed sql/schemas.sql
var describeSchemas string

const describeObjects = `SELECT statement, array_to_json(array_remove(follow, NULL)) FROM trunkline_internal.node_objects() ORDER BY objid`

// object is something that every node has besides tables: the statement that makes it, and those that give it to its owner and
// so on. They are left out where the object is there already.
type object struct {
	text   string
	follow []string
}

// copyObjects makes the coordinator's roles, schemas, extensions and whatever else all nodes have but tables on a node that is about
// to join. What is there already stays. Objects that depend on what only the coordinator has (a function over a local table's row
// type) cannot be made there and are left out: no shard can need them.
func (o *operation) copyObjects(ctx context.Context, group int32) error {
	source, err := o.coordinator(ctx)
	if err != nil {
		return err
	}
	rows, err := queryUnqualified(ctx, source, describeObjects)
	if err != nil {
		return err
	}
	var objects []object
	for _, r := range rows {
		made := object{text: r.text(0)}
		if err := json.Unmarshal(r[1], &made.follow); err != nil {
			return err
		}
		objects = append(objects, made)
	}
	schemas, err := statements(ctx, source, describeSchemas)
	if err != nil {
		return err
	}
	settings, err := o.nodeSettings(ctx, source)
	if err != nil {
		return err
	}
	return o.onNodes(ctx, []int32{group}, func(ctx context.Context, _ int32, conn *backend.Conn) error {
		before, after := scope(quiet, lenient)
		if _, err := conn.Exec(ctx, before); err != nil {
			return err
		}
		if err := copyRoles(ctx, source, conn); err != nil {
			return err
		}
		if err := allOf(ctx, conn, schemas); err != nil {
			return err
		}
		if err := o.makeAll(ctx, conn, objects); err != nil {
			return err
		}
		if err := o.makeAll(ctx, conn, settings); err != nil {
			return err
		}
		_, err := conn.Exec(ctx, after)
		return err
	})
}

// nodeSettings lists the statements that must come after all objects: default privileges are for those that are still to come.
func (o *operation) nodeSettings(ctx context.Context, source *backend.Conn) ([]object, error) {
	texts, err := statements(ctx, source, "SELECT * FROM trunkline_internal.node_settings()")
	settings := make([]object, len(texts))
	for i, text := range texts {
		settings[i].text = text
	}
	return settings, err
}

// copyRoles makes the roles of one server on another as they are there. Those that are so already are not touched, since all databases
// of a server share them: when somebody changes one through another database meanwhile, the two are compared anew.
func copyRoles(ctx context.Context, source, target *backend.Conn) error {
	const tries = 10
	for tried := 1; ; tried++ {
		wanted, err := roles(ctx, source)
		if err != nil {
			return err
		}
		there, err := roles(ctx, target)
		if err != nil {
			return err
		}
		missing := slices.DeleteFunc(wanted, func(text string) bool { return slices.Contains(there, text) })
		if err = allOf(ctx, target, missing); err == nil || tried == tries || !changedMeanwhile(err) {
			return err
		}
	}
}

// roles lists the statements that make a server's roles what they are.
func roles(ctx context.Context, conn *backend.Conn) ([]string, error) {
	rows, err := query(ctx, conn, "SELECT pg_catalog.has_table_privilege('pg_catalog.pg_authid', 'SELECT')")
	if err != nil {
		return nil, err
	}
	passwords := "pg_roles"
	if rows[0].bool(0) {
		passwords = "pg_authid"
	}
	return statements(ctx, conn, strings.ReplaceAll(describeRoles, "$PASSWORDS", passwords))
}

// statements gives the rows of a query whose one column is a statement.
func statements(ctx context.Context, conn *backend.Conn, list string) ([]string, error) {
	rows, err := queryUnqualified(ctx, conn, list)
	texts := make([]string, len(rows))
	for i, r := range rows {
		texts[i] = r.text(0)
	}
	return texts, err
}

// allOf runs statements, leaving out those that make what is there already.
func allOf(ctx context.Context, conn *backend.Conn, texts []string) error {
	for _, text := range texts {
		if err := try(ctx, conn, object{text: text}); err != nil && !exists(err) {
			return err
		}
	}
	return nil
}

// changedMeanwhile tells whether a statement failed because another transaction changed the same row of a catalog, which PostgreSQL
// says without an SQLSTATE of its own ("tuple concurrently updated"), made the same object, or dropped it.
func changedMeanwhile(err error) bool {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Code {
	case "23505", "42704":
		return true
	}
	return refused.Code == "XX000" && strings.HasPrefix(refused.Routine, "simple_heap_")
}

// ensureTypes sees to it that all nodes have the types of a table's columns. Those that were made where the gateway does not see
// it, as by a DO block, exist on the coordinator only.
func (o *operation) ensureTypes(ctx context.Context, d *definition) error {
	const firstOfUsers = 16384
	var known []string
	for _, c := range d.Columns {
		if c.TypeOID >= firstOfUsers {
			known = append(known, "pg_catalog.to_regtype("+sql.QuoteLiteral(c.Type)+") IS NOT NULL")
		}
	}
	if len(known) == 0 {
		return nil
	}
	return o.copyWhereMissing(ctx, strings.Join(known, " AND "))
}

// makeAll makes objects in the order they were made in on the coordinator, and those that failed once more for as long as that
// helps: an object may since have been altered to depend on a later one.
func (o *operation) makeAll(ctx context.Context, conn *backend.Conn, objects []object) error {
	for {
		var left []object
		for _, made := range objects {
			err := try(ctx, conn, made)
			var refused *pgconn.PgError
			switch {
			case err == nil || exists(err):
			case errors.As(err, &refused):
				left = append(left, made)
			default:
				return err
			}
		}
		if len(left) == len(objects) {
			for _, made := range left {
				o.config.Log.Warn("object cannot be made on a new node", "statement", made.text)
			}
			return nil
		}
		objects = left
	}
}

// try runs an object's statements under a savepoint, which is set by itself: of a text with a syntax error nothing is run.
func try(ctx context.Context, conn *backend.Conn, made object) error {
	const mark = "trunkline_object"
	if _, err := conn.Exec(ctx, "SAVEPOINT "+mark); err != nil {
		return err
	}
	text := strings.Join(append([]string{made.text}, made.follow...), ";\n")
	_, err := conn.Exec(ctx, text+";\nRELEASE SAVEPOINT "+mark)
	if err != nil {
		if _, undo := conn.Exec(ctx, "ROLLBACK TO SAVEPOINT "+mark+"; RELEASE SAVEPOINT "+mark); undo != nil {
			return undo
		}
	}
	return err
}

// exists tells whether a statement failed because what it makes is there already (SQLSTATEs duplicate_object, duplicate_function,
// duplicate_schema, duplicate_table).
func exists(err error) bool {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Code {
	case "42710", "42723", "42P06", "42P07":
		return true
	}
	return false
}
