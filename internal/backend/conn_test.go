package backend_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/sql"
)

func wantCode(t testing.TB, err error, code string) {
	t.Helper()
	var own *sql.Error
	var node *pgconn.PgError
	got := ""
	switch {
	case errors.As(err, &own):
		got = own.Code
	case errors.As(err, &node):
		got = node.Code
	}
	if got != code {
		t.Fatalf("error %v has code %q, want %q", err, got, code)
	}
}

func TestExec(t *testing.T) {
	c := connect(t)
	results, err := c.Exec(t.Context(), "SELECT 1 AS a, NULL::text AS b; SELECT 'x' FROM generate_series(1,3); CREATE TEMP TABLE u(x int)")
	if err != nil {
		t.Fatal(err)
	}
	if len(results) != 3 || string(results[0].Fields[1].Name) != "b" || results[0].Rows[0][1] != nil || len(results[1].Rows) != 3 || results[2].Tag != "CREATE TABLE" {
		t.Fatalf("unexpected results %+v", results)
	}
	_, err = c.Exec(t.Context(), "SELECT 1/0")
	wantCode(t, err, "22012")
	if got := one(t, c, "SELECT 7"); got != "7" {
		t.Fatal(got)
	}
	if _, err := c.Exec(t.Context(), "COPY u FROM STDIN"); err == nil {
		t.Fatal("COPY FROM STDIN did not fail")
	}
	result, err := c.Query(t.Context(), "SELECT $1::int + 1", []byte("41"))
	if err != nil || string(result.Rows[0][0]) != "42" {
		t.Fatal(result, err)
	}
}

func TestTransactionStatus(t *testing.T) {
	c := connect(t)
	for _, step := range []struct {
		text string
		want byte
	}{{"BEGIN", 'T'}, {"SELECT 1/0", 'E'}, {"ROLLBACK", 'I'}} {
		c.Exec(t.Context(), step.text)
		if c.TxStatus() != step.want {
			t.Fatalf("after %s: status %c, want %c", step.text, c.TxStatus(), step.want)
		}
	}
}

// A message larger than the buffer, and buffers that shrink again.
func TestLargeMessages(t *testing.T) {
	c := connect(t)
	if got := one(t, c, "SELECT repeat('x', 3000000)"); len(got) != 3000000 {
		t.Fatal(len(got))
	}
	if got := one(t, c, "SELECT length('"+strings.Repeat("y", 3000000)+"')"); got != "3000000" {
		t.Fatal(got)
	}
	if got := one(t, c, "SELECT 1"); got != "1" {
		t.Fatal(got)
	}
}

// Many statements sent ahead whose answers fill every buffer in between: neither side may wait for the other for ever.
func TestPipelineLargerThanBuffers(t *testing.T) {
	c := connect(t)
	const n = 400
	for range n {
		c.Send(&pgproto3.Parse{Query: "SELECT repeat('x', 100000), $1::text"})
		c.Send(&pgproto3.Bind{Parameters: [][]byte{bytes.Repeat([]byte("y"), 100000)}})
		c.Send(&pgproto3.Execute{})
	}
	c.Send(&pgproto3.Sync{})
	results, err := c.Collect(soon(t))
	if err != nil || len(results) != n {
		t.Fatal(len(results), err)
	}
}

func TestPrefix(t *testing.T) {
	for name, send := range map[string]func(c *backend.Conn, text string){
		"simple":   func(c *backend.Conn, text string) { c.SendQuery(text) },
		"extended": func(c *backend.Conn, text string) { sendExtended(c, text) },
	} {
		t.Run(name, func(t *testing.T) {
			c := connect(t)
			c.Prefix("BEGIN ISOLATION LEVEL REPEATABLE READ")
			c.Prefix("SAVEPOINT a")
			send(c, "SELECT current_setting('transaction_isolation')")
			results, err := c.Collect(t.Context())
			if err != nil || len(results) != 1 || string(results[0].Rows[0][0]) != "repeatable read" {
				t.Fatal(results, err)
			}
			if c.TxStatus() != 'T' {
				t.Fatalf("status %c", c.TxStatus())
			}
			run(t, c, "ROLLBACK")
		})
		t.Run(name+" fails", func(t *testing.T) {
			c := connect(t)
			run(t, c, "CREATE TABLE made(x int)")
			c.Prefix("BEGIN ISOLATION LEVEL NONSENSE")
			send(c, "INSERT INTO made VALUES (1)")
			_, err := c.Collect(t.Context())
			wantCode(t, err, "42601")
			if c.TxStatus() != 'I' || c.Pending() != 0 {
				t.Fatalf("status %c, %d pending", c.TxStatus(), c.Pending())
			}
			if got := one(t, c, "SELECT count(*) FROM made"); got != "0" {
				t.Fatal("the statement ran without the BEGIN before it")
			}
		})
	}
}

func sendExtended(c *backend.Conn, text string) {
	c.Send(&pgproto3.Parse{Query: text})
	c.Send(&pgproto3.Bind{})
	c.Send(&pgproto3.Execute{})
	c.Send(&pgproto3.Sync{})
}

func TestPreparedStatements(t *testing.T) {
	c := connect(t)
	use := func(i int) (known bool) {
		key := fmt.Sprintf("SELECT %d", i)
		name, known := c.Prepared([]byte(key))
		if !known {
			c.Send(&pgproto3.Parse{Name: name, Query: key})
		}
		c.Send(&pgproto3.Bind{PreparedStatement: name})
		c.Send(&pgproto3.Execute{})
		c.Send(&pgproto3.Sync{})
		results, err := c.Collect(t.Context())
		if err != nil || string(results[0].Rows[0][0]) != fmt.Sprint(i) {
			t.Fatal(results, err)
		}
		return known
	}
	for i := range 300 {
		if use(i) {
			t.Fatalf("statement %d is known", i)
		}
	}
	if !use(299) || use(0) {
		t.Fatal("the least recently used statement is not the one that went")
	}
	if got := one(t, c, "SELECT count(*) FROM pg_prepared_statements"); got != "256" {
		t.Fatalf("%s statements are prepared on the node, want 256", got)
	}
	name, _ := c.Prepared([]byte("SELECT nonsense"))
	c.Send(&pgproto3.Parse{Name: name, Query: "SELECT nonsense"})
	c.Send(&pgproto3.Sync{})
	_, err := c.Collect(t.Context())
	wantCode(t, err, "42703")
	if _, known := c.Prepared([]byte("SELECT nonsense")); known {
		t.Fatal("a statement whose Parse failed is taken for prepared")
	}
}

func TestRecurs(t *testing.T) {
	c := connect(t)
	text := []byte("SELECT 1")
	if c.Recurs(text) || !c.Recurs(text) || c.Recurs([]byte("SELECT 2")) {
		t.Fatal("a text recurs when it comes a second time")
	}
	for i := range 100 {
		c.Recurs(fmt.Appendf(nil, "SELECT %d", i+10))
	}
	if c.Recurs(text) {
		t.Fatal("a text is remembered for ever")
	}
}

// contexts are the ways to make a context that can be cancelled.
var contexts = map[string]func(context.Context) (context.Context, context.CancelFunc){
	"plain": context.WithCancel,
	"watched": func(parent context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(parent)
		return backend.Watched(ctx), cancel
	},
	"below watched": func(parent context.Context) (context.Context, context.CancelFunc) {
		return context.WithCancel(backend.Watched(parent))
	},
}

func TestCancelByContext(t *testing.T) {
	for name, withCancel := range contexts {
		t.Run(name, func(t *testing.T) {
			c := connect(t)
			ctx, cancel := withCancel(t.Context())
			c.SendQuery("SELECT pg_sleep(60)")
			if err := c.Flush(); err != nil {
				t.Fatal(err)
			}
			cancel()
			_, err := c.Collect(ctx)
			wantCode(t, err, "57014")
			if got := one(t, c, "SELECT 1"); got != "1" {
				t.Fatal(got)
			}
		})
	}
}

// Several connections that wait under one context are all cancelled.
func TestCancelSeveral(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ctx = backend.Watched(ctx)
	var conns []*backend.Conn
	for range 3 {
		c := connect(t)
		conns = append(conns, c)
		if _, err := c.Exec(ctx, "SELECT 1"); err != nil {
			t.Fatal(err)
		}
		c.SendQuery("SELECT pg_sleep(60)")
		if err := c.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	failures := make(chan error)
	for _, c := range conns {
		go func() {
			_, err := c.Collect(ctx)
			failures <- err
		}()
	}
	cancel()
	for range conns {
		wantCode(t, <-failures, "57014")
	}
}

// The end of a statement's context must not hit a later statement, however close they come.
func TestCancelHitsNoLaterStatement(t *testing.T) {
	for name, withCancel := range contexts {
		t.Run(name, func(t *testing.T) {
			c := connect(t)
			for range 1000 {
				ctx, cancel := withCancel(t.Context())
				if _, err := c.Exec(ctx, "SELECT 1"); err != nil {
					t.Fatal(err)
				}
				go cancel()
			}
			ctx, cancel := withCancel(t.Context())
			run(t, c, "SELECT 1")
			if _, err := c.Exec(ctx, "SELECT 1"); err != nil {
				t.Fatal(err)
			}
			cancel()
			for range 20 {
				_, err := c.Exec(ctx, "SELECT pg_sleep(60)")
				wantCode(t, err, "57014")
			}
		})
	}
}

func TestNodeGone(t *testing.T) {
	c, other := connect(t), connect(t)
	run(t, other, fmt.Sprintf("SELECT pg_terminate_backend(%d)", c.PID()))
	_, err := c.Exec(t.Context(), "SELECT 1")
	if err == nil {
		t.Fatal("no error")
	}
	_, err = c.Exec(t.Context(), "SELECT 1")
	wantCode(t, err, "08006")
	if !strings.Contains(err.Error(), c.Address().String()) {
		t.Fatalf("error %q does not name the node", err)
	}
	_, err = backend.Connect(t.Context(), backend.Address{Host: "127.0.0.1", Port: 1}, backend.Identity{User: "x"}, backend.Options{})
	wantCode(t, err, "08001")
}

func TestAsync(t *testing.T) {
	c, other := connect(t), connect(t)
	var got []byte
	c.OnAsync = func(m backend.Message) { got = append(got, m.Type) }
	run(t, c, "LISTEN ch; DO $$BEGIN RAISE NOTICE 'n'; END$$; SET application_name = 'x'")
	if string(got) != "NS" {
		t.Fatalf("got %q", got)
	}
	run(t, other, "SELECT 1")
	run(t, c, "NOTIFY ch") // to itself, as the other is on another database
	ctx, stop := context.WithTimeout(t.Context(), time.Millisecond)
	defer stop()
	if err := c.Wait(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	if string(got) != "NSA" {
		t.Fatalf("got %q", got)
	}
	if got := one(t, c, "SELECT 1"); got != "1" {
		t.Fatal("unusable after Wait ended")
	}
	if c.Parameter("application_name") != "x" {
		t.Fatal(c.Parameters())
	}
}

func TestRelay(t *testing.T) {
	c := connect(t)
	for _, size := range []int{1, 100, 8000, 100_000, 5_000_000} {
		c.SendQuery(fmt.Sprintf("SELECT repeat('x', %d) FROM generate_series(1, 5)", size))
		var out bytes.Buffer
		var seen []byte
		err := c.Relay(t.Context(), &out, func(m backend.Message) backend.Verdict {
			seen = append(seen, m.Type)
			if m.Type == 'T' {
				return backend.Drop
			}
			return backend.Forward
		})
		if err != nil || string(seen) != "TCZ" {
			t.Fatal(string(seen), err)
		}
		frontend := pgproto3.NewFrontend(&out, nil)
		for range 5 {
			m, err := frontend.Receive()
			row, ok := m.(*pgproto3.DataRow)
			if err != nil || !ok || len(row.Values[0]) != size {
				t.Fatalf("size %d: %T %v", size, m, err)
			}
		}
		for _, want := range []string{"*pgproto3.CommandComplete", "*pgproto3.ReadyForQuery"} {
			if m, err := frontend.Receive(); err != nil || fmt.Sprintf("%T", m) != want {
				t.Fatalf("%T %v, want %s", m, err, want)
			}
		}
		if out.Len() != 0 || c.Pending() != 0 {
			t.Fatal("something is left")
		}
	}
}

func BenchmarkRelayRouterSelect(b *testing.B) {
	c := connect(b)
	var out bytes.Buffer
	b.ReportAllocs()
	for b.Loop() {
		c.SendQuery("SELECT 1")
		out.Reset()
		if err := c.Relay(b.Context(), &out, nil); err != nil {
			b.Fatal(err)
		}
	}
}
