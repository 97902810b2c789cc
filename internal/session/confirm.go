package session

import (
	"context"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// A statement on local tables runs on the coordinator as it is. If one of its tables was distributed after it was planned (through
// another gateway; while it waited for the table's lock; while this gateway slept), it has read an empty shell. So the coordinator
// is asked for the catalog's version in the same round trip, after the statement: a shell that was read is one whose distribution
// was committed before, and then the version is another. Only then is the client told that its statement is complete; else the
// statement is planned again, and run again if it is another one now. Writes to a shell fail by themselves
// (trunkline_internal.refuse_shell). Data definition is confirmed likewise, in a block that is opened around it, and undone if it has met a
// shell.

const versionQuery = "SELECT pg_catalog.sum(changes) FROM trunkline.catalog_version"

var versionKey = []byte("\x00catalog version")

// localTables counts the tables that a statement names, and those of them that are local, or that this gateway has not heard of yet:
// their contents may have moved away when it runs.
func localTables(stmt sql.Statement, snapshot *catalog.Snapshot, path []string) (all, local int) {
	var named []*sql.RangeVar
	with := map[string]bool{}
	sql.Walk(stmt.Tree, func(m proto.Message) bool {
		switch n := m.(type) {
		case *sql.RangeVar:
			named = append(named, n)
		case *sql.Node:
			if v := n.GetRangeVar(); v != nil {
				named = append(named, v)
			}
			if c := n.GetCommonTableExpr(); c != nil {
				with[c.Ctename] = true
			}
		}
		return true
	})
	for _, v := range named {
		switch {
		case v.Schemaname == "" && (with[v.Relname] || strings.HasPrefix(v.Relname, "pg_")):
		case v.Schemaname == "pg_catalog", v.Schemaname == "information_schema", v.Schemaname == "trunkline":
		default:
			if r := snapshot.Resolve(path, v.Schemaname, v.Relname); r == nil || r.Kind == catalog.Local && r.Schema != "trunkline" {
				local++
			}
		}
	}
	return len(named), local
}

// readsLocal tells whether a statement reads local tables, given what localTables found: a write to the only one looks after itself.
func readsLocal(stmt sql.Statement, p *plan.Plan, all, local int) bool {
	return local > 0 && (kindOf(stmt) == kindQuery && (!p.Writes || all > 1) || isCopyOut(stmt))
}

func isCopyOut(stmt sql.Statement) bool {
	n := stmt.Tree.GetCopyStmt()
	return n != nil && !n.IsFrom
}

// changesLocal tells whether a statement changes the definition of tables, or empties them, as far as it may do so in a transaction: that
// of a shell alone must be taken back.
func changesLocal(stmt sql.Statement, local int) bool {
	n := stmt.Tree
	switch {
	case n.GetDropStmt() != nil:
		switch n.GetDropStmt().RemoveType.String() {
		case "OBJECT_TABLE", "OBJECT_INDEX", "OBJECT_TRIGGER", "OBJECT_RULE", "OBJECT_POLICY":
			return !n.GetDropStmt().Concurrent
		}
		return false
	case n.GetIndexStmt() != nil:
		return local > 0 && !n.GetIndexStmt().Concurrent
	case n.GetAlterTableStmt() != nil:
		for _, command := range n.GetAlterTableStmt().Cmds {
			if partition := command.GetAlterTableCmd().GetDef().GetPartitionCmd(); partition.GetConcurrent() {
				return false
			}
		}
		return local > 0
	}
	return local > 0 && (n.GetTruncateStmt() != nil || n.GetRenameStmt() != nil || n.GetGrantStmt() != nil || n.GetAlterObjectSchemaStmt() != nil ||
		n.GetCreateTrigStmt() != nil || n.GetRuleStmt() != nil || n.GetCreatePolicyStmt() != nil || n.GetCommentStmt() != nil)
}

// toConfirm tells whether the catalog's version must be asked for after a statement.
func (s *session) toConfirm(e *entry) bool {
	return e.readsLocal && s.env.Snapshot.Version > 0
}

// ask has the coordinator tell the catalog's version after the statement that was sent before.
func (s *session) ask(conn *backend.Conn) {
	name, known := conn.Prepared(versionKey)
	if !known {
		conn.Send(&pgproto3.Parse{Name: name, Query: versionQuery})
	}
	conn.Send(&pgproto3.Bind{PreparedStatement: name})
	conn.Send(&pgproto3.Execute{})
	conn.Sync()
}

// confirm reads the answer to ask, and plans the statement anew if the catalog has changed. It gives an error if that shows that the
// statement's result is not to be trusted: undo takes it back if it can, so that the statement may be run again.
func (s *session) confirm(ctx context.Context, conn *backend.Conn, e *entry, text string, undo func() bool) error {
	used := s.env.Snapshot.Version
	results, err := conn.Collect(ctx)
	if err != nil {
		return err
	}
	if s.tx.KeepsSnapshot() {
		// What this block sees of the catalog is as old as its first statement.
		fresh, err := s.server.pools.Acquire(ctx, s.server.coordinator, s.tx.Identity())
		if err != nil {
			return err
		}
		results, err = fresh.Exec(ctx, versionQuery)
		s.server.pools.Release(fresh)
		if err != nil {
			return err
		}
	}
	if len(results) == 1 && len(results[0].Rows) == 1 && string(results[0].Rows[0][0]) == strconv.FormatInt(used, 10) {
		return nil
	}
	if e.kind == kindDefinition {
		return s.confirmDefinition(ctx, text)
	}
	passed := e.passThrough()
	s.definitionsChanged()
	again, err := s.find(ctx, text, false, nil, false)
	if err == nil && passed && again.passThrough() {
		return nil // something else has changed
	}
	if err == nil && !passed && sameTables(e.plan, again.plan) {
		return nil
	}
	if s.tx.InBlock() || !undo() {
		return concurrentChange("A table that the statement reads was distributed meanwhile.")
	}
	return &exec.StaleError{Err: &pgconn.PgError{Severity: "ERROR", Code: "40001", Message: "a table that the statement reads was distributed meanwhile"}}
}

// confirmDefinition plans a definition that has been carried out on the coordinator for the tables as others see them: in its own
// transaction, what it has dropped is gone.
func (s *session) confirmDefinition(ctx context.Context, text string) error {
	s.definitionsChanged()
	snapshot, err := s.server.watcher.Refresh(ctx)
	if err != nil {
		return err
	}
	statements, err := sql.Parse(text)
	if err != nil {
		return err
	}
	for _, stmt := range statements {
		p, err := plan.Make(stmt, nil, snapshot, s.planSettings())
		if err != nil || !(&entry{plan: p}).passThrough() {
			return concurrentChange("A table that the statement changes was distributed meanwhile.")
		}
	}
	return nil
}

// sameTables tells whether two plans find the same tables distributed in the same way.
func sameTables(a, b *plan.Plan) bool {
	if len(a.Tables) != len(b.Tables) {
		return false
	}
	for i := range a.Tables {
		x, y := &a.Tables[i], &b.Tables[i]
		if x.Schema != y.Schema || x.Name != y.Name || x.Reference != y.Reference || x.ColocationID != y.ColocationID {
			return false
		}
	}
	return true
}

func concurrentChange(detail string) error {
	return &sql.Error{
		Code: "40001", Message: "could not serialize access due to a concurrent change of how a table is distributed",
		Detail: detail, Hint: "The transaction might succeed if retried.",
	}
}
