package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/localpg"
	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/txn"
)

var shared pgtest.Shared

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

// fixture is a cluster of a coordinator and two workers, in a database of the test's own, and one client session on it.
type fixture struct {
	*Cluster
	t       testing.TB
	servers []*localpg.Server
	db      string
	tx      *txn.Tx
	path    []string
	manager *txn.Manager
	super   backend.Identity
	snap    *catalog.Snapshot
	nodes   map[int32]backend.Address
}

func newFixture(t testing.TB) *fixture { return newFixtureOf(t, 2) }

// newFixtureOf makes a cluster with that many workers; with none the coordinator holds the shards.
func newFixtureOf(t testing.TB, workers int) *fixture {
	t.Helper()
	nodes := shared.Cluster(t, 2)
	f := &fixture{t: t, servers: nodes.All(), db: nodes.Database(t), path: []string{"public"}, nodes: map[int32]backend.Address{}}
	address, identity, options, err := backend.ParseDSN(f.servers[0].DSN(f.db))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := backend.Connect(context.WithoutCancel(t.Context()), address, identity, options)
	if err != nil {
		t.Fatal(err)
	}
	if err := catalog.Bootstrap(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	pools := backend.NewPools(backend.PoolOptions{Options: options})
	t.Cleanup(pools.Close)
	manager := txn.NewManager(txn.Config{Pools: pools, Admin: identity})
	t.Cleanup(manager.Close)
	f.Cluster = New(Config{Pools: pools, Manager: manager, Admin: identity, Coordinator: address, ShardCount: 4})
	f.nodes[0] = address
	f.manager, f.super = manager, identity
	f.as(identity)
	f.reload()
	f.call("citus_set_coordinator_host", "host", address.Host, "port", address.Port)
	if workers == 0 {
		f.call("citus_set_node_property", "nodename", address.Host, "nodeport", address.Port, "property", "shouldhaveshards", "value", true)
	}
	for _, s := range f.servers[1 : workers+1] {
		f.addServer(s)
	}
	return f
}

// addServer adds one of the fixture's servers as a worker.
func (f *fixture) addServer(s *localpg.Server) {
	f.t.Helper()
	a, _, _, err := backend.ParseDSN(s.DSN(f.db))
	if err != nil {
		f.t.Fatal(err)
	}
	f.call("citus_add_node", "nodename", a.Host, "nodeport", a.Port)
}

// as starts a new session for a user.
func (f *fixture) as(identity backend.Identity) {
	f.tx = f.manager.New(identity, func(group int32) (backend.Address, error) {
		if a, ok := f.nodes[group]; ok {
			return a, nil
		}
		if n, ok := f.snap.Primary(group); ok {
			return backend.Address{Host: n.Host, Port: n.Port}, nil
		}
		return backend.Address{}, fmt.Errorf("there is no group %d", group)
	})
	f.t.Cleanup(f.tx.Close)
}

// reload loads the snapshot as the session does after each change.
func (f *fixture) reload() {
	f.t.Helper()
	conn, release, err := f.tx.Borrow(f.ctx(), 0)
	if err != nil {
		f.t.Fatal(err)
	}
	defer release()
	if f.snap, err = catalog.Load(f.ctx(), conn); err != nil {
		f.t.Fatal(err)
	}
}

// tryCall calls a function with arguments given as name, value, …; tables are given by name.
func (f *fixture) tryCall(name string, args ...any) (CallResult, error) {
	f.t.Helper()
	object := map[string]any{}
	for i := 0; i < len(args); i += 2 {
		key, value := args[i].(string), args[i+1]
		if strings.HasPrefix(key, "table_name") {
			value = json.Number(f.one("SELECT " + sql.QuoteLiteral(value.(string)) + "::regclass::oid::bigint"))
		}
		object[key] = value
	}
	raw, err := json.Marshal(object)
	if err != nil {
		f.t.Fatal(err)
	}
	result, err := f.Call(f.ctx(), f.tx, f.snap, name, raw)
	if err == nil && result.Changed {
		f.reload()
	}
	return result, err
}

func (f *fixture) call(name string, args ...any) [][]string {
	f.t.Helper()
	result, err := f.tryCall(name, args...)
	if err != nil {
		f.t.Fatalf("%s: %v", name, describeError(err))
	}
	var rows [][]string
	for _, r := range result.Rows {
		var row []string
		for _, v := range r {
			if v == nil {
				row = append(row, "NULL")
			} else {
				row = append(row, *v)
			}
		}
		rows = append(rows, row)
	}
	return rows
}

func describeError(err error) string {
	if e, ok := err.(*sql.Error); ok {
		return fmt.Sprintf("%s: %s / %s / %s", e.Code, e.Message, e.Detail, e.Hint)
	}
	return fmt.Sprintf("%v", err)
}

// exec runs SQL on the coordinator as the session does what passes through.
func (f *fixture) exec(text string) [][]string {
	f.t.Helper()
	conn, release, err := f.tx.Borrow(f.ctx(), 0)
	if err != nil {
		f.t.Fatal(err)
	}
	defer release()
	if _, err := conn.Exec(f.ctx(), "SET trunkline.checking = on"); err != nil { // tests look at shells, which nobody else may
		f.t.Fatal(err)
	}
	rows, err := query(f.ctx(), conn, text)
	conn.Exec(f.ctx(), "SET trunkline.checking = off")
	if err != nil {
		f.t.Fatalf("%s: %v", text, err)
	}
	f.tx.MarkWrite(0)
	f.reload()
	return texts(rows)
}

func (f *fixture) one(text string) string {
	f.t.Helper()
	rows := f.exec(text)
	if len(rows) != 1 || len(rows[0]) != 1 {
		f.t.Fatalf("%s: %v is not one value", text, rows)
	}
	return rows[0][0]
}

// on runs a query on one server, outside the session: 0 is the coordinator.
func (f *fixture) on(server int, text string) [][]string {
	f.t.Helper()
	return pgtest.Rows(f.t, f.servers[server].DSN(f.db), text)
}

// everywhere gives the rows of a query on all servers together.
func (f *fixture) everywhere(text string) [][]string {
	f.t.Helper()
	var rows [][]string
	for i := range f.servers {
		rows = append(rows, f.on(i, text)...)
	}
	return rows
}

// shards gives the rows of a query, in which %s stands for the table, over all of a table's shards.
func (f *fixture) shards(table, text string) [][]string {
	f.t.Helper()
	schema, name, ok := strings.Cut(table, ".")
	if !ok {
		schema, name = "public", table
	}
	r := f.snap.Relations[catalog.Name{Schema: schema, Name: name}]
	if r == nil || r.Kind != catalog.Distributed {
		f.t.Fatalf("%s is not a distributed table", table)
	}
	var rows [][]string
	for _, g := range f.snap.Colocations[r.ColocationID].Groups {
		rows = append(rows, f.on(int(g.GroupID), strings.ReplaceAll(text, "%s", qualify(catalog.ShardSchema(schema, g.ID), name)))...)
	}
	return rows
}

// ddl carries a statement out as the session does.
func (f *fixture) tryDDL(text string) (string, error) {
	f.t.Helper()
	statements, err := sql.Parse(text)
	if err != nil {
		f.t.Fatalf("%s: %v", text, err)
	}
	tag, err := f.DDL(f.ctx(), f.tx, f.snap, f.path, statements[0])
	if err == nil {
		f.reload()
	}
	return tag, err
}

func (f *fixture) ddl(text string) {
	f.t.Helper()
	if _, err := f.tryDDL(text); err != nil {
		f.t.Fatalf("%s: %v", text, describeError(err))
	}
}

// fails asserts that an error has a SQLSTATE and a text in its message or detail.
func fails(t testing.TB, err error, code, text string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want %s %q", code, text)
		return
	}
	if got := codeOf(err); got != code || !strings.Contains(describeError(err), text) {
		t.Errorf("error is %s (%s), want %s %q", describeError(err), got, code, text)
	}
}

func (f *fixture) begin()    { f.tx.Begin("BEGIN") }
func (f *fixture) rollback() { f.tx.Rollback(f.ctx()); f.reload() }
func (f *fixture) commit() {
	f.t.Helper()
	if tag, err := f.tx.Commit(f.ctx()); err != nil || tag != "COMMIT" {
		f.t.Fatalf("commit: %s %v", tag, err)
	}
	f.reload()
}

func texts(rows []row) [][]string {
	var all [][]string
	for _, r := range rows {
		var one []string
		for i := range r {
			if r.null(i) {
				one = append(one, "NULL")
			} else {
				one = append(one, r.text(i))
			}
		}
		all = append(all, one)
	}
	return all
}

// codeOf gives an error's SQLSTATE, "" if it has none.
func codeOf(err error) string {
	var ours *sql.Error
	var theirs *pgconn.PgError
	switch {
	case errors.As(err, &ours):
		return ours.Code
	case errors.As(err, &theirs):
		return theirs.Code
	}
	return ""
}

// ctx lasts through the test's clean-up.
func (f *fixture) ctx() context.Context { return context.WithoutCancel(f.t.Context()) }

func (f *fixture) oid(table string) uint32 {
	f.t.Helper()
	n, err := strconv.ParseUint(f.one("SELECT "+sql.QuoteLiteral(table)+"::regclass::oid"), 10, 32)
	if err != nil {
		f.t.Fatal(err)
	}
	return uint32(n)
}
