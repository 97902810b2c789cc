package session

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// mayNeedRewrite is a quick look for what rewrite changes.
func mayNeedRewrite(text string) bool {
	if strings.Contains(text, "pg_") {
		for _, name := range [...]string{"pg_prepared_", "pg_cursors", "pg_export_snapshot", "pg_depend", "pg_init_privs", "pg_backend_pid", "pg_stat_activity", "pg_locks"} {
			if strings.Contains(text, name) {
				return true
			}
		}
	}
	return len(text) > 6 && strings.EqualFold(text[:6], "create") && strings.Contains(strings.ToLower(text), "execute")
}

// rewrite puts what only this session knows into a statement that asks the coordinator for it: its prepared statements, snapshots of
// all nodes, and for pg_dump that Trunkline's own objects are not the user's. Other texts are given back as they are.
func (s *session) rewrite(ctx context.Context, text string) (string, error) {
	if s.tx.Status() == 'E' {
		return text, nil
	}
	statements, err := sql.Parse(text)
	if err != nil || len(statements) != 1 {
		return text, nil // the error is found, and told, where the statement is planned
	}
	tree := statements[0].Tree
	changed := false
	if create := tree.GetCreateTableAsStmt(); create.GetQuery().GetExecuteStmt() != nil {
		query, err := s.executed(ctx, create.Query)
		if err != nil {
			return "", err
		}
		create.Query, changed = query, true
	}
	if kindOf(statements[0]) == kindQuery {
		if strings.Contains(text, "pg_backend_pid") {
			changed = s.ownPID(tree)
		}
		tables := map[string]string{}
		if strings.Contains(text, "pg_prepared_statements") {
			tables["pg_prepared_statements"] = s.listPrepared()
		}
		if strings.Contains(text, "pg_cursors") {
			tables["pg_cursors"] = s.listCursors()
		}
		if !s.catalog.foreign && strings.Contains(text, "pg_prepared_xacts") {
			tables["pg_prepared_xacts"] = preparedTransactions
		}
		s.ownProcess(text, tables)
		if s.dumps() {
			tables["pg_init_privs"] = ownRights
			if strings.Contains(text, "pg_extension") {
				tables["pg_depend"] = ownMembers
			}
		}
		replaced, err := replaceTables(tree, tables)
		if err != nil {
			return "", err
		}
		changed = changed || replaced
		if strings.Contains(text, "pg_export_snapshot") {
			exported, err := s.exportSnapshots(ctx, tree)
			if err != nil {
				return "", err
			}
			changed = changed || exported
		}
	}
	if !changed {
		return text, nil
	}
	return sql.Deparse(tree)
}

// ownPID puts the session's own process id in the place of calls of pg_backend_pid().
func (s *session) ownPID(tree *sql.Node) (changed bool) {
	isCall := func(n *sql.Node) bool {
		names := sql.Strings(n.GetFuncCall().GetFuncname())
		return len(names) > 0 && names[len(names)-1] == "pg_backend_pid" && (len(names) == 1 || names[0] == "pg_catalog")
	}
	sql.Walk(tree, func(m proto.Message) bool {
		n, ok := m.(*sql.Node)
		if !ok {
			return true
		}
		if target := n.GetResTarget(); target != nil && target.Name == "" && isCall(target.Val) {
			target.Name = "pg_backend_pid"
		}
		if isCall(n) {
			n.Node = sql.Int(int(s.pid)).Node
			changed = true
		}
		return true
	})
	return changed
}

// executed gives the query of a prepared statement, with the arguments of an EXECUTE in their places.
func (s *session) executed(ctx context.Context, execute *sql.Node) (*sql.Node, error) {
	n := execute.GetExecuteStmt()
	p := s.statements[n.Name]
	if p == nil {
		return nil, sql.Errorf("26000", "prepared statement \"%s\" does not exist", n.Name)
	}
	if err := s.fresh(ctx, p); err != nil {
		return nil, err
	}
	if p.entry == nil || p.entry.prepared == nil || !p.entry.plan.ReturnsRows {
		return nil, sql.Errorf("42809", "prepared statement is not a SELECT")
	}
	types := p.entry.prepared.Params
	values, err := s.arguments(ctx, n.Name, n.Params, types)
	if err != nil {
		return nil, err
	}
	snapshot, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	statements, err := sql.Parse(p.text)
	if err != nil {
		return nil, err
	}
	var failure error
	sql.Walk(statements[0].Tree, func(m proto.Message) bool {
		node, ok := m.(*sql.Node)
		if !ok || node.GetParamRef() == nil || failure != nil {
			return failure == nil
		}
		i := int(node.GetParamRef().Number) - 1
		value := "NULL"
		if values[i] != nil {
			value = sql.QuoteLiteral(string(values[i]))
		}
		literal, err := sql.Parse("SELECT " + value + "::" + exec.TypeSQL(snapshot, types[i]))
		if err != nil {
			failure = err
			return false
		}
		node.Node = literal[0].Tree.GetSelectStmt().TargetList[0].GetResTarget().Val.Node
		return false
	})
	return statements[0].Tree, failure
}

// listPrepared is a query for the session's prepared statements, as pg_prepared_statements has them.
func (s *session) listPrepared() string {
	var query strings.Builder
	query.WriteString("SELECT name, statement, prepare_time, parameter_types, from_sql, 0::bigint AS generic_plans, 0::bigint AS custom_plans FROM (VALUES (NULL::text, NULL::text, NULL::timestamptz, NULL::regtype[], NULL::bool)")
	for name, p := range s.statements {
		var types []string
		if p.entry != nil && p.entry.prepared != nil {
			for _, oid := range p.entry.prepared.Params {
				types = append(types, itoa(int(oid)))
			}
		}
		fromSQL := "false"
		if p.definition != "" {
			fromSQL = "true"
		}
		text := p.definition
		if text == "" {
			text = p.text
		}
		query.WriteString(", (" + sql.QuoteLiteral(name) + ", " + sql.QuoteLiteral(text) + ", '" + p.made.UTC().Format(time.RFC3339Nano) +
			"', '{" + strings.Join(types, ",") + "}'::oid[]::regtype[], " + fromSQL + ")")
	}
	query.WriteString(") AS p(name, statement, prepare_time, parameter_types, from_sql) WHERE name IS NOT NULL")
	return query.String()
}

// listCursors is a query for the session's cursors, as pg_cursors has them: those that it keeps itself, the portals of the extended
// protocol, and those of the coordinator's connection.
func (s *session) listCursors() string {
	var query strings.Builder
	query.WriteString("SELECT name, statement, is_holdable, is_binary, is_scrollable, creation_time FROM pg_catalog.pg_cursors WHERE name <> ''")
	add := func(name, statement string, holdable, binary, scrollable bool, made time.Time) {
		query.WriteString(" UNION ALL SELECT " + sql.QuoteLiteral(name) + "::pg_catalog.text, " + sql.QuoteLiteral(statement) + "::pg_catalog.text, " +
			strconv.FormatBool(holdable) + ", " + strconv.FormatBool(binary) + ", " + strconv.FormatBool(scrollable) + ", '" +
			made.UTC().Format(time.RFC3339Nano) + "'::pg_catalog.timestamptz")
	}
	for _, name := range slices.Sorted(maps.Keys(s.cursors)) {
		c := s.cursors[name]
		add(name, c.statement, c.hold, c.binary, c.scrolls, c.made)
	}
	for _, name := range slices.Sorted(maps.Keys(s.portals)) {
		if name == "" {
			continue
		}
		p := s.portals[name]
		add(name, p.prepared.text, false, false, false, p.made)
	}
	return query.String()
}

// preparedTransactions is what clients find in pg_prepared_xacts: what they have prepared, under their own ids, instead of its branches.
const preparedTransactions = `SELECT transaction, gid, prepared, owner, database FROM pg_catalog.pg_prepared_xacts WHERE gid !~ '^trunkline_[0-9a-f]{16}_[0-9]+_[0-9]+$'
UNION ALL SELECT coalesce(x.transaction, '0'::pg_catalog.xid), t.gid, t.prepared, pg_catalog.pg_get_userbyid(t.owner), pg_catalog.current_database()
FROM trunkline_internal.prepared_transaction t LEFT JOIN pg_catalog.pg_prepared_xacts x ON x.gid = t.branch`

// dumps tells whether the client is pg_dump.
func (s *session) dumps() bool {
	name, _ := s.settings.value("application_name")
	return strings.HasPrefix(name, "pg_dump")
}

// Trunkline's objects are no extension's, for servers are stock. To pg_dump, which leaves an extension's members out, they are
// presented as plpgsql's, and their rights as those they came with.
const (
	ownSchemas = `SELECT oid FROM pg_catalog.pg_namespace WHERE nspname IN ('citus', 'trunkline', 'trunkline_call', 'trunkline_internal')`

	ownMembers = `SELECT classid, objid, objsubid, refclassid, refobjid, refobjsubid, deptype FROM pg_catalog.pg_depend
UNION ALL SELECT m.classid, m.oid, 0, 'pg_catalog.pg_extension'::regclass, e.oid, 0, 'e'
FROM (SELECT 'pg_catalog.pg_namespace'::regclass::oid AS classid, oid FROM (` + ownSchemas + `) n
UNION ALL SELECT 'pg_catalog.pg_class'::regclass, oid FROM pg_catalog.pg_class WHERE relnamespace IN (` + ownSchemas + `)
UNION ALL SELECT 'pg_catalog.pg_proc'::regclass, oid FROM pg_catalog.pg_proc WHERE pronamespace IN (` + ownSchemas + `)
UNION ALL SELECT 'pg_catalog.pg_operator'::regclass, oid FROM pg_catalog.pg_operator WHERE oprnamespace IN (` + ownSchemas + `)
UNION ALL SELECT 'pg_catalog.pg_type'::regclass, oid FROM pg_catalog.pg_type WHERE typnamespace IN (` + ownSchemas + `)) m
JOIN pg_catalog.pg_extension e ON e.extname = 'plpgsql'`

	ownRights = `SELECT objoid, classoid, objsubid, privtype, initprivs FROM pg_catalog.pg_init_privs
UNION ALL SELECT oid, 'pg_catalog.pg_namespace'::regclass, 0, 'e', nspacl FROM pg_catalog.pg_namespace WHERE nspacl IS NOT NULL AND oid IN (` + ownSchemas + `)
UNION ALL SELECT oid, 'pg_catalog.pg_class'::regclass, 0, 'e', relacl FROM pg_catalog.pg_class WHERE relacl IS NOT NULL AND relnamespace IN (` + ownSchemas + `)
UNION ALL SELECT oid, 'pg_catalog.pg_proc'::regclass, 0, 'e', proacl FROM pg_catalog.pg_proc WHERE proacl IS NOT NULL AND pronamespace IN (` + ownSchemas + `)
UNION ALL SELECT oid, 'pg_catalog.pg_type'::regclass, 0, 'e', typacl FROM pg_catalog.pg_type WHERE typacl IS NOT NULL AND typnamespace IN (` + ownSchemas + `)`
)

// replaceTables puts queries in the place of system tables.
func replaceTables(tree *sql.Node, queries map[string]string) (changed bool, err error) {
	if len(queries) == 0 {
		return false, nil
	}
	sql.Walk(tree, func(m proto.Message) bool {
		node, ok := m.(*sql.Node)
		if !ok || node.GetRangeVar() == nil || err != nil {
			return err == nil
		}
		v := node.GetRangeVar()
		query, ours := queries[v.Relname]
		if !ours || v.Schemaname != "" && v.Schemaname != "pg_catalog" {
			return true
		}
		statements, failure := sql.Parse(query)
		if failure != nil {
			err = failure
			return false
		}
		alias := v.Alias
		if alias == nil {
			alias = &sql.Alias{Aliasname: v.Relname}
		}
		node.Node = sql.Subquery(statements[0].Tree.GetSelectStmt(), alias, false).Node
		changed = true
		return false
	})
	return changed, err
}

// exportSnapshots has every node export the open block's snapshot, for a statement that calls pg_export_snapshot. The client gets
// them all as one: the coordinator's, then each other node's after its group.
func (s *session) exportSnapshots(ctx context.Context, tree *sql.Node) (changed bool, err error) {
	if !s.tx.InBlock() || s.catalog.foreign {
		return false, nil
	}
	if err := s.fixInstant(ctx); err != nil {
		return false, err
	}
	snapshot, err := s.snapshot(ctx)
	if err != nil {
		return false, err
	}
	var more strings.Builder
	for _, group := range nodeGroups(snapshot) {
		conn, err := s.tx.Conn(ctx, group)
		if err != nil {
			return false, err
		}
		results, err := conn.Exec(ctx, "SELECT pg_catalog.pg_export_snapshot()")
		if err != nil {
			return false, err
		}
		more.WriteString(";" + itoa(int(group)) + "=" + string(results[0].Rows[0][0]))
	}
	sql.Walk(tree, func(m proto.Message) bool {
		node, ok := m.(*sql.Node)
		if !ok || node.GetResTarget() == nil {
			return true
		}
		target := node.GetResTarget()
		names := sql.Strings(target.GetVal().GetFuncCall().GetFuncname())
		if len(names) > 0 && names[len(names)-1] == "pg_export_snapshot" {
			if target.Name == "" {
				target.Name = "pg_export_snapshot"
			}
			target.Val = sql.Operator(target.Val, "||", sql.Text(more.String()))
			changed = true
		}
		return true
	})
	return changed, nil
}

// importSnapshots runs SET TRANSACTION SNAPSHOT with what exportSnapshots gave: each node takes its own.
func (s *session) importSnapshots(ctx context.Context, coordinator *backend.Conn, exported string) (tag string, err error) {
	take := func(conn *backend.Conn, id string) error {
		results, err := conn.Exec(ctx, "SET TRANSACTION SNAPSHOT "+sql.QuoteLiteral(id))
		if err == nil {
			tag = results[0].Tag
		}
		return err
	}
	parts := strings.Split(exported, ";")
	snapshot, err := s.snapshot(ctx)
	if err != nil {
		return "", err
	}
	if len(parts) != len(nodeGroups(snapshot))+1 {
		if err := take(coordinator, exported); err != nil {
			return "", err // in PostgreSQL's words
		}
		s.tx.Fail()
		return "", &sql.Error{Code: "22023", Message: "invalid snapshot identifier: \"" + exported + "\"",
			Hint: "Take the result of SELECT pg_export_snapshot() as a gateway gives it."}
	}
	for _, part := range parts[1:] {
		name, id, _ := strings.Cut(part, "=")
		var conn *backend.Conn
		for _, group := range nodeGroups(snapshot) {
			if itoa(int(group)) == name {
				if conn, err = s.tx.Conn(ctx, group); err != nil {
					return "", err
				}
			}
		}
		if conn == nil {
			return "", sql.Errorf("22023", "invalid snapshot identifier: \"%s\"", exported)
		}
		if err := take(conn, id); err != nil {
			return "", err
		}
	}
	return tag, take(coordinator, parts[0])
}

// nodeGroups gives the groups of a cluster's nodes but the coordinator's.
func nodeGroups(snapshot *catalog.Snapshot) []int32 {
	var groups []int32
	for _, n := range snapshot.Nodes {
		if n.GroupID != catalog.CoordinatorGroup && n.Active && !n.Secondary {
			groups = append(groups, n.GroupID)
		}
	}
	return groups
}
