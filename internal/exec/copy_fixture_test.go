package exec_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/cluster"
	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/txn"
)

// copyFixture is a cluster with tables, and one plain PostgreSQL database with the same tables.
type copyFixture struct {
	t       testing.TB
	cluster *cluster.Cluster
	tx      *txn.Tx
	snap    *catalog.Snapshot
	plain   string
	dsns    []string
}

const copyTypes = "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')"

const copyTables = `
	CREATE TABLE plain (k int NOT NULL, t text, n numeric(10,2), at timestamptz);
	CREATE TABLE nullable (t text, k bigint);
	CREATE TABLE words (k text PRIMARY KEY, v text);
	CREATE TABLE moods (m mood, v int);
	CREATE TABLE serials (id bigserial, k int, s smallserial, i int GENERATED ALWAYS AS IDENTITY, twice int GENERATED ALWAYS AS (k * 2) STORED);
	CREATE TABLE byid (id serial PRIMARY KEY, v text);
	CREATE TABLE "Odd ""name""" ("The Key" varchar(5), "select" int DEFAULT 7, CHECK ("select" > 0));
	CREATE TABLE made (k int, at timestamptz DEFAULT now(), who text DEFAULT current_user || '"\', d date DEFAULT '2000-01-01', nothing text DEFAULT NULLIF(current_user, 'postgres'));
	CREATE TABLE parts (k int, d date) PARTITION BY RANGE (d);
	CREATE TABLE parts_old PARTITION OF parts FOR VALUES FROM (MINVALUE) TO ('2024-01-01');
	CREATE TABLE parts_new PARTITION OF parts FOR VALUES FROM ('2024-01-01') TO (MAXVALUE);
	CREATE TABLE ref (id int PRIMARY KEY, name text, made timestamptz DEFAULT clock_timestamp(), r float8 DEFAULT random(), s serial);
	CREATE TABLE simpleref (id int PRIMARY KEY, name text DEFAULT 'none', s serial);
`

func newCopyFixture(t testing.TB) *copyFixture {
	t.Helper()
	nodes := pgtest.Cluster(t, 2)
	db := nodes.Database(t)
	f := &copyFixture{t: t, plain: pgtest.Database(t, nodes.Coordinator)}
	for _, s := range nodes.All() {
		f.dsns = append(f.dsns, s.DSN(db))
	}
	address, identity, options, err := backend.ParseDSN(f.dsns[0])
	if err != nil {
		t.Fatal(err)
	}
	conn, err := backend.Connect(t.Context(), address, identity, options)
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
	f.cluster = cluster.New(cluster.Config{Pools: pools, Manager: manager, ShardCount: 8})
	f.tx = manager.New(identity, func(group int32) (backend.Address, error) {
		if group == 0 {
			return address, nil
		}
		if n, ok := f.snap.Primary(group); ok {
			return backend.Address{Host: n.Host, Port: n.Port}, nil
		}
		return backend.Address{}, fmt.Errorf("there is no group %d", group)
	})
	t.Cleanup(f.tx.Close)
	f.reload()
	f.call("citus_set_coordinator_host", map[string]any{"host": address.Host, "port": address.Port})
	for _, dsn := range f.dsns[1:] {
		a, _, _, err := backend.ParseDSN(dsn)
		if err != nil {
			t.Fatal(err)
		}
		f.call("citus_add_node", map[string]any{"nodename": a.Host, "nodeport": a.Port})
	}
	for _, dsn := range append([]string{f.plain}, f.dsns...) {
		if err := pgtest.Exec(t.Context(), dsn, copyTypes); err != nil {
			t.Fatal(err)
		}
	}
	for _, dsn := range []string{f.plain, f.dsns[0]} {
		if err := pgtest.Exec(t.Context(), dsn, copyTables); err != nil {
			t.Fatal(err)
		}
	}
	f.reload()
	for table, column := range map[string]string{"plain": "k", "nullable": "k", "words": "k", "moods": "m", "serials": "k", "byid": "id", "parts": "k", "made": "k", "Odd \"name\"": "The Key"} {
		oid := f.snap.Relations[catalog.Name{Schema: "public", Name: table}].OID
		f.call("create_distributed_table", map[string]any{"table_name": oid, "distribution_column": column, "colocate_with": "none"})
	}
	for _, table := range []string{"ref", "simpleref"} {
		f.call("create_reference_table", map[string]any{"table_name": f.snap.Relations[catalog.Name{Schema: "public", Name: table}].OID})
	}
	return f
}

func (f *copyFixture) reload() {
	f.t.Helper()
	conn, release, err := f.tx.Borrow(f.t.Context(), 0)
	if err != nil {
		f.t.Fatal(err)
	}
	defer release()
	if f.snap, err = catalog.Load(f.t.Context(), conn); err != nil {
		f.t.Fatal(err)
	}
}

func (f *copyFixture) call(name string, args map[string]any) {
	f.t.Helper()
	raw, err := json.Marshal(args)
	if err != nil {
		f.t.Fatal(err)
	}
	if _, err := f.cluster.Call(f.t.Context(), f.tx, f.snap, name, raw); err != nil {
		f.t.Fatalf("%s: %+v", name, err)
	}
	f.reload()
}

// fakeClient is a client that sends data in chunks and keeps what it is sent.
type fakeClient struct {
	data   []byte
	chunk  int
	fail   string // sent as CopyFail at the end of data
	in     bool
	out    bytes.Buffer
	buffer []byte
}

func (c *fakeClient) CopyInResponse(raw []byte) error { c.in = true; return nil }

func (c *fakeClient) CopyData(context.Context) ([]byte, error) {
	if len(c.data) == 0 && c.fail != "" {
		return nil, &exec.CopyFailed{Message: c.fail}
	}
	if len(c.data) == 0 {
		return nil, io.EOF
	}
	n := len(c.data)
	if c.chunk > 0 {
		n = min(n, c.chunk)
	}
	for i := range c.buffer { // what was given before is no longer valid
		c.buffer[i] = '#'
	}
	c.buffer = append(c.buffer[:0], c.data[:n]...)
	c.data = c.data[n:]
	return c.buffer, nil
}

func (c *fakeClient) Write(p []byte) (int, error) { return c.out.Write(p) }

// received gives the content of all CopyData messages.
func (c *fakeClient) received(t testing.TB) string {
	t.Helper()
	var text []byte
	rest := c.out.Bytes()
	if len(rest) == 0 || rest[0] != 'H' {
		t.Fatalf("no CopyOutResponse: %q", rest)
	}
	for len(rest) > 0 {
		kind, size := rest[0], 1+int(binary.BigEndian.Uint32(rest[1:]))
		if kind == 'd' {
			text = append(text, rest[5:size]...)
		}
		rest = rest[size:]
		if (kind == 'c') != (len(rest) == 0) {
			t.Fatalf("message %q with %d bytes to come", kind, len(rest))
		}
	}
	return string(text)
}

func (f *copyFixture) env() *exec.Env {
	return &exec.Env{Tx: f.tx, Snapshot: f.snap, Hashes: exec.NewHashes(), Sequences: exec.NewSequences(), Settle: func(context.Context) {}}
}

func (f *copyFixture) run(text string, client *fakeClient) (string, error) {
	f.t.Helper()
	return f.runWith(text, client)
}

func (f *copyFixture) runWith(text string, client exec.CopyClient) (string, error) {
	f.t.Helper()
	statements, err := sql.Parse(text)
	if err != nil {
		f.t.Fatalf("%s: %v", text, err)
	}
	return exec.Copy(f.t.Context(), f.env(), statements[0], plan.Settings{SearchPath: []string{"public"}}, client)
}

// onPlain runs the same on the plain database.
func (f *copyFixture) onPlain(text string, data []byte) (tag, out string, err error) {
	f.t.Helper()
	conn, err := pgconn.Connect(f.t.Context(), f.plain)
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(f.t.Context()))
	if data == nil {
		var b bytes.Buffer
		result, err := conn.CopyTo(f.t.Context(), &b, text)
		return result.String(), b.String(), err
	}
	result, err := conn.CopyFrom(f.t.Context(), bytes.NewReader(data), text)
	return result.String(), "", err
}

// rows gives all rows of a table as text, sorted: on the cluster those of its shards.
func (f *copyFixture) rows(table, columns string) (distributed, plain []string) {
	f.t.Helper()
	relation := f.snap.Relations[catalog.Name{Schema: "public", Name: table}]
	read := func(dsn, name string) []string {
		var rows []string
		for _, row := range pgtest.Rows(f.t, dsn, "SELECT ("+columns+")::text FROM "+name) {
			rows = append(rows, row[0])
		}
		return rows
	}
	quoted := `"` + strings.ReplaceAll(table, `"`, `""`) + `"`
	plain = read(f.plain, "public."+quoted)
	if relation.Kind == catalog.Reference {
		distributed = read(f.dsns[0], "public."+quoted)
		slices.Sort(distributed)
		for _, dsn := range f.dsns[1:] {
			other := read(dsn, "public."+quoted)
			slices.Sort(other)
			if !slices.Equal(other, distributed) {
				f.t.Errorf("%s differs between nodes:\n%v\n%v", table, distributed, other)
			}
		}
	} else {
		column := relation.Columns[relation.DistColumn].Name
		for _, group := range f.snap.Colocations[relation.ColocationID].Groups {
			shard := catalog.ShardSchema("public", group.ID) + "." + quoted
			dsn := f.dsns[group.GroupID]
			distributed = append(distributed, read(dsn, shard)...)
			if table == "moods" {
				continue // an enum value's hash is made of its OID, which differs between nodes: the coordinator's counts
			}
			for _, row := range pgtest.Rows(f.t, dsn, fmt.Sprintf(`SELECT count(*) FROM %s WHERE hash_record(ROW("%s")) NOT BETWEEN %d AND %d`, shard, column, group.Min, group.Max)) {
				if row[0] != "0" {
					f.t.Errorf("%s rows of %s are in the wrong shard", row[0], table)
				}
			}
		}
	}
	slices.Sort(distributed)
	slices.Sort(plain)
	return distributed, plain
}

func (f *copyFixture) compare(table, columns string) {
	f.t.Helper()
	if distributed, plain := f.rows(table, columns); !slices.Equal(distributed, plain) {
		f.t.Errorf("%s differs (%d rows, %d in plain PostgreSQL)", table, len(distributed), len(plain))
		for i := range max(len(distributed), len(plain)) {
			if i >= len(distributed) || i >= len(plain) || distributed[i] != plain[i] {
				f.t.Errorf("first at %d:\n%v\n%v", i, distributed[i:min(i+3, len(distributed))], plain[i:min(i+3, len(plain))])
				break
			}
		}
	}
}

// both runs a COPY FROM on both sides, expecting the same tag or the same error.
func (f *copyFixture) both(text, data string, chunk int) {
	f.t.Helper()
	client := &fakeClient{data: []byte(data), chunk: chunk}
	tag, err := f.run(text, client)
	if f.tx.InBlock() {
		f.t.Fatal("left in a transaction")
	}
	wantTag, _, wantErr := f.onPlain(text, append([]byte{}, data...))
	if describe(err) != describe(wantErr) || err == nil && tag != wantTag {
		f.t.Errorf("%s of %.200q:\n got %q %s\nwant %q %s", text, data, tag, describe(err), wantTag, describe(wantErr))
	}
}

func describe(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return fmt.Sprintf("%s: %s | %s | %s | %s | %d", e.Code, e.Message, e.Detail, e.Hint, e.Where, e.Position)
	}
	var own *sql.Error
	if errors.As(err, &own) {
		return fmt.Sprintf("%s: %s | %s | %s |  | %d", own.Code, own.Message, own.Detail, own.Hint, own.Position)
	}
	return fmt.Sprint(err)
}

// empty truncates a table on both sides and restarts its sequences.
func (f *copyFixture) empty(table string) {
	f.t.Helper()
	quoted := `"` + strings.ReplaceAll(table, `"`, `""`) + `"`
	relation := f.snap.Relations[catalog.Name{Schema: "public", Name: table}]
	run := func(dsn, text string) {
		if err := pgtest.Exec(f.t.Context(), dsn, text); err != nil {
			f.t.Fatal(err)
		}
	}
	run(f.plain, "TRUNCATE public."+quoted+" RESTART IDENTITY")
	run(f.dsns[0], "TRUNCATE public."+quoted+" RESTART IDENTITY")
	if relation.Kind == catalog.Reference {
		for _, dsn := range f.dsns[1:] {
			run(dsn, "TRUNCATE public."+quoted)
		}
		return
	}
	for _, group := range f.snap.Colocations[relation.ColocationID].Groups {
		run(f.dsns[group.GroupID], "TRUNCATE "+catalog.ShardSchema("public", group.ID)+"."+quoted)
	}
}
