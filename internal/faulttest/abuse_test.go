package faulttest

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/internal/session"
)

// raw is a client that can say anything.
type raw struct {
	net.Conn
	frontend *pgproto3.Frontend
}

// dialRaw connects and logs in.
func dialRaw(t testing.TB, dsn string) *raw {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", config.Port))
	if err != nil {
		t.Fatal(err)
	}
	socket.SetDeadline(time.Now().Add(30 * time.Second))
	r := &raw{socket, pgproto3.NewFrontend(socket, socket)}
	r.frontend.Send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": config.User, "database": config.Database}})
	if err := r.frontend.Flush(); err != nil {
		t.Fatal(err)
	}
	r.until(t, func(m pgproto3.BackendMessage) bool { _, ok := m.(*pgproto3.ReadyForQuery); return ok })
	return r
}

// until receives messages up to one that is wanted.
func (r *raw) until(t testing.TB, wanted func(pgproto3.BackendMessage) bool) {
	t.Helper()
	for {
		m, err := r.frontend.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if wanted(m) {
			return
		}
	}
}

func (r *raw) query(text string) {
	r.frontend.Send(&pgproto3.Query{String: text})
	r.frontend.Flush()
}

// base waits until a gateway has no more goroutines and no more connections in use than before.
type base struct {
	server     *session.Server
	goroutines int
}

func (b *base) returned(t testing.TB) {
	t.Helper()
	used := func() (n int) {
		for _, s := range b.server.Pools().Stats() {
			n += s.InUse
		}
		return n
	}
	eventually(t, 15*time.Second, "connections go back and goroutines end", func() bool {
		return used() == 0 && runtime.NumGoroutine() <= b.goroutines
	})
	if t.Failed() {
		buffer := make([]byte, 1<<20)
		t.Logf("%d connections in use; %d goroutines, there were %d\n%s", used(), runtime.NumGoroutine(), b.goroutines, buffer[:runtime.Stack(buffer, true)])
	}
}

// abused is a lab with a gateway in this process and tables to work on.
func abused(t *testing.T, change ...func(*session.Config)) (*lab, string, *base) {
	l := sharedLab(t)
	server, dsn := inProcess(t, l.coordinator(), l.database, change...)
	l.form(dsn)
	c := l.connect(dsn)
	for _, text := range []string{
		"CREATE TABLE d (k int PRIMARY KEY, v text)", "SELECT create_distributed_table('d', 'k')", "CREATE TABLE lo (k int PRIMARY KEY, v text)",
		"INSERT INTO d SELECT g, repeat('x', 1000) FROM generate_series(1, 3000) g", "INSERT INTO lo SELECT g, repeat('x', 1000) FROM generate_series(1, 3000) g",
	} {
		l.exec(c, text)
	}
	c.Close(t.Context())
	b := &base{server: server}
	eventually(t, 5*time.Second, "the gateway is at rest", func() bool {
		n := runtime.NumGoroutine()
		time.Sleep(100 * time.Millisecond)
		return n == runtime.NumGoroutine()
	})
	b.goroutines = runtime.NumGoroutine()
	return l, dsn, b
}

// TestGarbage sends nonsense in every state of the protocol. The gateway answers or hangs up, and goes on serving others.
func TestGarbage(t *testing.T) {
	l, dsn, b := abused(t)
	random := rand.New(rand.NewPCG(7, 7))
	noise := func(n int) []byte {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(random.Uint32())
		}
		return p
	}
	announce := func(kind byte, length uint32, body ...byte) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{kind}, length), body...)
	}
	parse := func(text string) []byte {
		m, _ := (&pgproto3.Parse{Name: "p", Query: text}).Encode(nil)
		m, _ = (&pgproto3.Bind{PreparedStatement: "p", DestinationPortal: "q"}).Encode(m)
		return m
	}
	states := map[string]func(r *raw){
		"idle":        func(*raw) {},
		"transaction": func(r *raw) { r.query("BEGIN; UPDATE d SET v = 'y' WHERE k < 10") },
		"failed":      func(r *raw) { r.query("BEGIN; SELECT 1/0") },
		"copy":        func(r *raw) { r.query("COPY d FROM STDIN") },
		"local copy":  func(r *raw) { r.query("COPY lo FROM STDIN") },
		"bound":       func(r *raw) { r.Write(parse("SELECT * FROM d")) },
		"result":      func(r *raw) { r.query("SELECT * FROM d") },
		"skipping":    func(r *raw) { r.Write(parse("SELECT nonsense FROM d")) },
	}
	mess := map[string][]byte{
		"noise":             noise(500),
		"huge length":       announce('Q', 1<<31-1),
		"negative length":   announce('Q', 0xffffffff),
		"short length":      announce('B', 3),
		"long sync":         announce('S', 1<<30),
		"half a query":      announce('Q', 100, []byte("SELECT")...),
		"no terminator":     announce('Q', 9, []byte("SELEC")...),
		"broken parse":      announce('P', 7, 'a', 0, 'b'),
		"many parameters":   announce('P', 8+4, 'a', 0, 'S', 0, 0xff, 0xff, 0, 0),
		"bind of nothing":   announce('B', 12, 0, 0, 0, 0, 0, 1, 0x7f, 0xff),
		"bind, long value":  announce('B', 4+2+2+2+4+2, 0, 0, 0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff, 0, 0),
		"describe what":     announce('D', 6, 'X', 0),
		"close what":        announce('C', 6, 'X', 0),
		"execute, no end":   announce('E', 8, 'q', 'q', 'q', 'q'),
		"unknown type":      announce('!', 8, 1, 2, 3, 4),
		"function call":     announce('F', 12, 0, 0, 0, 0, 0, 0, 0xff, 0xff),
		"copy data astray":  announce('d', 8, 1, 2, 3, 4),
		"password astray":   announce('p', 8, 1, 2, 3, 0),
		"query in mid-copy": announce('Q', 14, []byte("SELECT 1;\x00")...),
	}
	for state, enter := range states {
		for what, bytes := range mess {
			r := dialRaw(t, dsn)
			enter(r)
			r.Write(bytes)
			if random.IntN(2) == 0 {
				r.Conn.(*net.TCPConn).CloseWrite()
				r.SetReadDeadline(time.Now().Add(10 * time.Second))
				if _, err := io.Copy(io.Discard, r); err != nil && strings.Contains(err.Error(), "timeout") {
					t.Errorf("%s, %s: the gateway neither answers nor hangs up", state, what)
				}
			}
			r.Close()
		}
	}
	// Before the login.
	for _, bytes := range [][]byte{noise(8), noise(300), {0, 0, 0, 4}, {0, 0, 0, 8, 0, 3, 0, 0}, {0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0}, {0, 0, 0, 9, 0, 3, 0, 0, 'x'}, {0, 0, 0, 16, 4, 0xd2, 0x16, 0x2e, 0, 0, 0, 1, 0, 0, 0, 1}, {0x16, 3, 1, 2, 0, 1}} {
		config, _ := pgx.ParseConfig(dsn)
		socket, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", config.Port))
		if err != nil {
			t.Fatal(err)
		}
		socket.Write(bytes)
		socket.(*net.TCPConn).CloseWrite()
		socket.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.Copy(io.Discard, socket); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%v before the login: the gateway neither answers nor hangs up", bytes)
		}
		socket.Close()
	}
	b.returned(t)
	l.settled(10 * time.Second)
	c := l.connect(dsn)
	defer c.Close(context.Background())
	if got := l.one(c, "SELECT count(*) || ' ' || count(*) FILTER (WHERE v = 'y') FROM d"); got != "3000 0" {
		t.Errorf("afterwards the table has %s rows", got)
	}
}

// TestVanishingClients has clients disappear without a word in the middle of things.
func TestVanishingClients(t *testing.T) {
	l, dsn, b := abused(t)
	data := func(r *raw, n int) {
		for i := range n {
			r.frontend.Send(&pgproto3.CopyData{Data: fmt.Appendf(nil, "%d\tx\n", 100_000+i)})
		}
		r.frontend.Flush()
	}
	for name, act := range map[string]func(r *raw){
		"in a transaction":       func(r *raw) { r.query("BEGIN; UPDATE d SET v = 'z'; UPDATE lo SET v = 'z'") },
		"in a statement":         func(r *raw) { r.query("SELECT pg_sleep(60) FROM d") },
		"in a local statement":   func(r *raw) { r.query("SELECT pg_sleep(60) FROM lo") },
		"in a result":            func(r *raw) { r.query("SELECT a.v, b.v FROM d a, generate_series(1, 1000) b(v)") },
		"in a local result":      func(r *raw) { r.query("SELECT a.v, b.v FROM lo a, generate_series(1, 1000) b(v)") },
		"in a sorted result":     func(r *raw) { r.query("SELECT a.k, a.v, b.v FROM d a, generate_series(1, 1000) b(v) ORDER BY a.k") },
		"in a COPY":              func(r *raw) { r.query("COPY d FROM STDIN"); data(r, 50_000) },
		"in a local COPY":        func(r *raw) { r.query("COPY lo FROM STDIN"); data(r, 50_000) },
		"in a COPY TO":           func(r *raw) { r.query("COPY (SELECT a.v, b FROM d a, generate_series(1, 1000) b) TO STDOUT") },
		"in a COPY in a block":   func(r *raw) { r.query("BEGIN"); r.query("COPY d FROM STDIN"); data(r, 10) },
		"waiting for a lock":     func(r *raw) { r.query("LOCK TABLE d") },
		"in an insert of many":   func(r *raw) { r.query("INSERT INTO d SELECT g, 'x' FROM generate_series(200000, 260000) g") },
		"between the statements": func(r *raw) { r.query("BEGIN"); r.query("DELETE FROM d WHERE k = 5"); r.query("SELECT 1") },
	} {
		for way := range 4 {
			r := dialRaw(t, dsn)
			act(r)
			if way&1 == 0 {
				buffer := make([]byte, 100)
				r.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
				r.Read(buffer)
			}
			if way&2 == 0 {
				r.Conn.(*net.TCPConn).SetLinger(0) // a reset instead of a farewell
			}
			r.Close()
		}
		started := time.Now()
		l.settled(20 * time.Second)
		b.returned(t)
		if t.Failed() {
			t.Fatalf("%s (waited %s)", name, time.Since(started))
		}
	}
	c := l.connect(dsn)
	defer c.Close(context.Background())
	if got := l.one(c, "SELECT count(*) FROM d WHERE v = 'z' OR k BETWEEN 100000 AND 199999"); got != "0" {
		t.Errorf("%s rows of unfinished work are there", got)
	}
}

// TestCancels has requests to cancel arrive at random moments. None may hit another statement than the client's own, and connections
// stay usable.
func TestCancels(t *testing.T) {
	l, dsn, b := abused(t)
	var running sync.WaitGroup
	for i := range 4 {
		running.Go(func() {
			random := rand.New(rand.NewPCG(uint64(i), 3))
			c := l.connect(dsn)
			defer c.Close(context.Background())
			cancelled := 0
			for n := range 60 {
				key := make(chan struct{})
				go func() {
					defer close(key)
					time.Sleep(time.Duration(random.IntN(15000)) * time.Microsecond)
					c.PgConn().CancelRequest(context.Background())
				}()
				text := []string{
					"SELECT count(*) FROM d a JOIN d b USING (k)", "SELECT pg_sleep(0.01) FROM d WHERE k = 7", fmt.Sprintf("UPDATE d SET v = v WHERE k BETWEEN %d AND %d", i*100+1, i*100+50),
					"SELECT sum(length(v)) FROM lo, generate_series(1, 20)", fmt.Sprintf("INSERT INTO d SELECT g, '' FROM generate_series(%d, %d) g ON CONFLICT DO NOTHING", 10000+i*100, 10099+i*100),
				}[random.IntN(5)]
				_, err := c.Exec(t.Context(), text)
				<-key
				if sqlState(err) == "57014" {
					cancelled++
				} else if err != nil && sqlState(err) != "40P01" {
					t.Errorf("%s: %v", text, err)
				}
				// The request is over; what comes now is nobody's to cancel. (It was sent before, so it may arrive late, once.)
				if _, err := c.Exec(t.Context(), "SELECT 1 FROM d WHERE k = 1"); err != nil && sqlState(err) != "57014" {
					t.Errorf("after %d: %v", n, err)
				}
			}
			t.Logf("client %d was cancelled %d times", i, cancelled)
		})
	}
	running.Wait()
	l.settled(10 * time.Second)
	b.returned(t)
}

// TestTimeouts: the time limits of a session hold whichever nodes its statements run on.
func TestTimeouts(t *testing.T) {
	l, dsn, b := abused(t)
	c, other := l.connect(dsn), l.connect(dsn)
	gives := func(what, want, text string) {
		t.Helper()
		if _, err := c.Exec(t.Context(), text); sqlState(err) != want {
			t.Errorf("%s: %v, want %s", what, err, want)
		}
	}
	for _, text := range []string{"SELECT pg_sleep(600) FROM d WHERE k = 1", "SELECT pg_sleep(600) FROM d", "SELECT pg_sleep(600)"} {
		l.exec(c, "BEGIN")
		l.exec(c, "SET LOCAL statement_timeout = '200ms'")
		gives(text, "57014", text)
		l.exec(c, "ROLLBACK")
	}
	l.exec(c, "SET lock_timeout = '200ms'")
	l.exec(other, "BEGIN")
	l.exec(other, "UPDATE d SET v = 'w' WHERE k = 3")
	gives("a locked row", "55P03", "UPDATE d SET v = 'v' WHERE k = 3")
	gives("a locked row among many", "55P03", "UPDATE d SET v = 'v'")
	l.exec(other, "ROLLBACK")
	l.exec(other, "BEGIN")
	l.exec(other, "UPDATE d SET v = 'w' WHERE k < 100")
	l.exec(other, "SET idle_in_transaction_session_timeout = '300ms'")
	l.exec(c, "SET lock_timeout = 0")
	gives("a row whose owner sleeps", "", "UPDATE d SET v = v WHERE k < 100")
	if _, err := other.Exec(t.Context(), "COMMIT"); err == nil {
		t.Error("a transaction that timed out was committed")
	}
	if got := l.one(c, "SELECT count(*) FROM d WHERE v = 'w'"); got != "0" {
		t.Errorf("%s rows of a transaction that timed out are there", got)
	}
	c.Close(t.Context())
	other.Close(t.Context())
	l.settled(5 * time.Second)
	b.returned(t)
}

// TestCrowd: too many clients, and too few connections for those that are there.
func TestCrowd(t *testing.T) {
	l, dsn, b := abused(t, func(c *session.Config) { c.MaxConnections, c.PoolSize = 20, 3 })
	var clients []*pgx.Conn
	for {
		c, err := connect(t.Context(), dsn)
		if err != nil {
			if sqlState(err) != "53300" {
				t.Errorf("client %d: %v", len(clients), err)
			}
			break
		}
		clients = append(clients, c)
	}
	if len(clients) != 20 {
		t.Errorf("%d clients were let in", len(clients))
	}
	var running sync.WaitGroup
	for i, c := range clients {
		running.Go(func() {
			for n := range 20 {
				if _, err := c.Exec(t.Context(), "UPDATE d SET v = $1 WHERE k = $2", "x", 1+(i*20+n)%3000); err != nil {
					t.Errorf("client %d: %v", i, err)
				}
				if _, err := c.Exec(t.Context(), "SELECT count(*) FROM d"); err != nil {
					t.Errorf("client %d: %v", i, err)
				}
			}
		})
	}
	running.Wait()
	for _, c := range clients {
		c.Close(t.Context())
	}
	b.returned(t)
	c := l.connect(dsn)
	l.exec(c, "SELECT 1")
	c.Close(t.Context())
	if got := pgtest.Rows(t, l.coordinator(), "SELECT count(*) < 20 FROM pg_stat_activity WHERE datname = current_database()")[0][0]; got != "t" {
		t.Error("the gateway opened more connections than it may")
	}
}
