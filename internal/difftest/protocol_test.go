package difftest

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// exchange is what a client sends before it reads, and how many ReadyForQuery it reads then.
type exchange struct {
	name     string
	messages []pgproto3.FrontendMessage
	ready    int
}

func text(values ...string) [][]byte {
	list := make([][]byte, len(values))
	for i, v := range values {
		list[i] = []byte(v)
		if v == Null {
			list[i] = nil
		}
	}
	return list
}

func parse(name, sql string, types ...uint32) pgproto3.FrontendMessage {
	return &pgproto3.Parse{Name: name, Query: sql, ParameterOIDs: types}
}

func bind(portal, statement string, values ...string) pgproto3.FrontendMessage {
	return &pgproto3.Bind{DestinationPortal: portal, PreparedStatement: statement, Parameters: text(values...)}
}

func describe(kind byte, name string) pgproto3.FrontendMessage {
	return &pgproto3.Describe{ObjectType: kind, Name: name}
}

func execute(portal string, rows uint32) pgproto3.FrontendMessage {
	return &pgproto3.Execute{Portal: portal, MaxRows: rows}
}

func closing(kind byte, name string) pgproto3.FrontendMessage {
	return &pgproto3.Close{ObjectType: kind, Name: name}
}

func query(sql string) pgproto3.FrontendMessage { return &pgproto3.Query{String: sql} }

var syncing = &pgproto3.Sync{}

// exchanges go over one connection, one after the other.
var exchanges = []exchange{
	{"parse, bind, execute", []pgproto3.FrontendMessage{parse("", "SELECT k, v FROM t WHERE k = $1"), bind("", "", "3"), describe('P', ""), execute("", 0), syncing}, 1},
	{"describe a statement", []pgproto3.FrontendMessage{parse("s1", "SELECT k, v, k + $2, $3::text FROM t WHERE k = $1"), describe('S', "s1"), syncing}, 1},
	{"its parameters by type", []pgproto3.FrontendMessage{parse("s2", "SELECT k FROM t WHERE k = $1 AND v = $2", 20, 25), describe('S', "s2"), bind("", "s2", "3", "v3"), execute("", 0), syncing}, 1},
	{"named twice", []pgproto3.FrontendMessage{parse("s1", "SELECT 1"), syncing}, 1},
	{"still there", []pgproto3.FrontendMessage{bind("", "s1", "4", "1", "x"), execute("", 0), syncing}, 1},
	{"null parameters", []pgproto3.FrontendMessage{bind("", "s1", Null, Null, Null), describe('P', ""), execute("", 0), syncing}, 1},
	{"binary results", []pgproto3.FrontendMessage{&pgproto3.Bind{PreparedStatement: "s1", Parameters: text("5", "1", "x"), ResultFormatCodes: []int16{1, 0, 1, 0}}, describe('P', ""), execute("", 0), syncing}, 1},
	{"all binary", []pgproto3.FrontendMessage{&pgproto3.Bind{PreparedStatement: "s1", Parameters: text("5", "1", "x"), ResultFormatCodes: []int16{1}}, execute("", 0), syncing}, 1},
	{"binary parameters", []pgproto3.FrontendMessage{&pgproto3.Bind{PreparedStatement: "s1", ParameterFormatCodes: []int16{1}, Parameters: [][]byte{{0, 0, 0, 5}, {0, 0, 0, 1}, []byte("x")}}, execute("", 0), syncing}, 1},
	{"mixed parameters", []pgproto3.FrontendMessage{&pgproto3.Bind{PreparedStatement: "s1", ParameterFormatCodes: []int16{1, 0, 0}, Parameters: [][]byte{{0, 0, 0, 5}, []byte("1"), []byte("x")}}, execute("", 0), syncing}, 1},
	{"bad binary parameter", []pgproto3.FrontendMessage{&pgproto3.Bind{PreparedStatement: "s1", ParameterFormatCodes: []int16{1}, Parameters: [][]byte{{0, 5}, {0, 0, 0, 1}, []byte("x")}}, execute("", 0), syncing}, 1},
	{"bad text parameter", []pgproto3.FrontendMessage{bind("", "s1", "x", "1", "x"), execute("", 0), syncing}, 1},
	{"too few parameters", []pgproto3.FrontendMessage{bind("", "s1", "1"), execute("", 0), syncing}, 1},
	{"too many formats", []pgproto3.FrontendMessage{&pgproto3.Bind{PreparedStatement: "s1", Parameters: text("5", "1", "x"), ResultFormatCodes: []int16{1, 1}}, execute("", 0), syncing}, 1},
	{"unknown statement", []pgproto3.FrontendMessage{bind("", "none"), syncing}, 1},
	{"unknown statement described", []pgproto3.FrontendMessage{describe('S', "none"), syncing}, 1},
	{"unknown portal", []pgproto3.FrontendMessage{describe('P', "none"), syncing}, 1},
	{"unknown portal executed", []pgproto3.FrontendMessage{execute("none", 0), syncing}, 1},
	{"closing what is not there", []pgproto3.FrontendMessage{closing('S', "none"), closing('P', "none"), syncing}, 1},
	{"closing", []pgproto3.FrontendMessage{closing('S', "s2"), bind("", "s2", "1", "v1"), syncing}, 1},
	{"many rows in parts", []pgproto3.FrontendMessage{parse("", "SELECT k FROM t ORDER BY k"), bind("", ""), execute("", 7), execute("", 7), execute("", 3), execute("", 0), execute("", 5), syncing}, 1},
	{"a routed query in parts", []pgproto3.FrontendMessage{parse("", "SELECT k, g FROM t, generate_series(1, 5) AS g WHERE k = 3 ORDER BY g"), bind("", ""), execute("", 2), execute("", 2), execute("", 2), syncing}, 1},
	{"exactly as many", []pgproto3.FrontendMessage{parse("", "SELECT k FROM t WHERE k IN (1, 2) ORDER BY k"), bind("", ""), execute("", 2), execute("", 2), syncing}, 1},
	{"a portal outlives no Sync", []pgproto3.FrontendMessage{parse("", "SELECT k FROM t ORDER BY k"), bind("p", ""), execute("p", 2), syncing, execute("p", 2), syncing}, 2},
	{"begin", []pgproto3.FrontendMessage{query("BEGIN")}, 1},
	{"a portal in a block", []pgproto3.FrontendMessage{parse("", "SELECT k FROM t ORDER BY k"), bind("p", ""), execute("p", 2), syncing}, 1},
	{"goes on", []pgproto3.FrontendMessage{execute("p", 3), syncing}, 1},
	{"beside another", []pgproto3.FrontendMessage{parse("", "SELECT v FROM t WHERE k = 1"), bind("", ""), execute("", 0), execute("p", 2), bind("p", ""), syncing}, 1},
	{"rollback", []pgproto3.FrontendMessage{query("ROLLBACK")}, 1},
	{"a write in parts", []pgproto3.FrontendMessage{parse("", "UPDATE t SET n = n + 1 WHERE k = 5 RETURNING k"), bind("", ""), execute("", 0), syncing}, 1},
	{"an insert", []pgproto3.FrontendMessage{parse("ins", "INSERT INTO t VALUES ($1, $2, $3)"), describe('S', "ins"), bind("", "ins", "101", "x", "1"), describe('P', ""), execute("", 0), bind("", "ins", "102", "y", Null), execute("", 0), syncing}, 1},
	{"undone together", []pgproto3.FrontendMessage{bind("", "ins", "103", "x", "1"), execute("", 0), bind("", "ins", "101", "again", "1"), execute("", 0), bind("", "ins", "104", "x", "1"), execute("", 0), syncing}, 1},
	{"was undone", []pgproto3.FrontendMessage{query("SELECT k FROM t WHERE k > 100 ORDER BY k")}, 1},
	{"two transactions", []pgproto3.FrontendMessage{bind("", "ins", "105", "x", "1"), execute("", 0), syncing, bind("", "ins", "101", "again", "1"), execute("", 0), syncing, bind("", "ins", "106", "x", "1"), execute("", 0), syncing}, 3},
	{"as it should be", []pgproto3.FrontendMessage{query("SELECT k FROM t WHERE k > 100 ORDER BY k")}, 1},
	{"begin in a pipeline", []pgproto3.FrontendMessage{parse("", "BEGIN"), bind("", ""), execute("", 0), parse("", "DELETE FROM t WHERE k > 100"), bind("", ""), execute("", 0), syncing}, 1},
	{"in the block", []pgproto3.FrontendMessage{parse("", "SELECT count(*) FROM t"), bind("", ""), execute("", 0), parse("", "SELECT nothing"), bind("", ""), execute("", 0), syncing}, 1},
	{"in the failed block", []pgproto3.FrontendMessage{parse("", "SELECT count(*) FROM t"), bind("", ""), syncing, parse("", "ROLLBACK"), bind("", ""), execute("", 0), syncing}, 2},
	{"commit in a pipeline", []pgproto3.FrontendMessage{parse("", "INSERT INTO t VALUES (107)"), bind("", ""), execute("", 0), parse("", "COMMIT"), bind("", ""), execute("", 0), parse("", "INSERT INTO t VALUES (107)"), bind("", ""), execute("", 0), syncing}, 1},
	{"committed", []pgproto3.FrontendMessage{query("SELECT k FROM t WHERE k = 107")}, 1},
	{"empty queries", []pgproto3.FrontendMessage{query(""), query("  ; "), parse("", ""), describe('S', ""), bind("", ""), describe('P', ""), execute("", 0), syncing}, 3},
	{"two statements prepared", []pgproto3.FrontendMessage{parse("", "SELECT 1; SELECT 2"), syncing}, 1},
	{"a syntax error", []pgproto3.FrontendMessage{parse("", "SELEC"), bind("", ""), execute("", 0), syncing, query("SELEC")}, 2},
	{"errors skip to Sync", []pgproto3.FrontendMessage{parse("", "SELECT 1/0"), bind("", ""), execute("", 0), parse("", "SELECT k FROM t"), bind("", ""), execute("", 0), syncing, query("SELECT 1 AS one")}, 2},
	{"no data", []pgproto3.FrontendMessage{parse("", "DELETE FROM t WHERE k = -1"), describe('S', ""), bind("", ""), describe('P', ""), execute("", 0), syncing}, 1},
	{"returning is described", []pgproto3.FrontendMessage{parse("", "DELETE FROM t WHERE k = $1 RETURNING *"), describe('S', ""), bind("", "", "107"), describe('P', ""), execute("", 0), syncing}, 1},
	{"several results", []pgproto3.FrontendMessage{query("SELECT k FROM t WHERE k = 1; UPDATE t SET n = 0 WHERE k = 1; SELECT count(*) FROM t; SELECT nothing; SELECT 1")}, 1},
	{"set and show", []pgproto3.FrontendMessage{parse("", "SET application_name = 'me'"), bind("", ""), execute("", 0), parse("", "SHOW application_name"), describe('S', ""), bind("", ""), execute("", 0), syncing}, 1},
	{"reported settings", []pgproto3.FrontendMessage{query("SET timezone = 'Asia/Tokyo'"), query("SET datestyle = 'SQL, DMY'"), query("RESET timezone"), query("RESET datestyle"), query("SET LOCAL timezone = 'UTC'")}, 5},
	{"reported and rolled back", []pgproto3.FrontendMessage{query("BEGIN"), query("SET timezone = 'Asia/Tokyo'"), query("ROLLBACK"), query("SET application_name = 'you'")}, 4},
	{"notices", []pgproto3.FrontendMessage{query("DROP TABLE IF EXISTS none"), query("COMMIT"), query("DO $$ BEGIN RAISE WARNING 'careful'; END $$")}, 3},
	{"explicit prepare", []pgproto3.FrontendMessage{query("PREPARE q (int) AS SELECT v FROM t WHERE k = $1"), bind("", "q", "2"), execute("", 0), syncing, query("EXECUTE q (3)"), describe('S', "q"), syncing, query("DEALLOCATE q"), query("EXECUTE q (1)")}, 6},
	{"executed by name", []pgproto3.FrontendMessage{query("EXECUTE s1 (1, 2, 'x')"), query("DEALLOCATE s1"), bind("", "s1", "1", "1", "x"), syncing}, 3},
	{"a cursor", []pgproto3.FrontendMessage{query("BEGIN"), query("DECLARE c CURSOR FOR SELECT k FROM t ORDER BY k"), query("FETCH 2 FROM c"), query("CLOSE c"), query("FETCH 1 FROM c"), query("ROLLBACK")}, 6},
	{"the unnamed statement goes", []pgproto3.FrontendMessage{parse("", "SELECT 1"), syncing, query("SELECT 2"), bind("", ""), syncing}, 3},
	{"a type that cannot be known", []pgproto3.FrontendMessage{parse("", "SELECT $1"), describe('S', ""), bind("", "", "x"), execute("", 0), syncing, parse("", "SELECT $1 + $2"), syncing}, 2},
	{"a parameter that is not there", []pgproto3.FrontendMessage{query("SELECT v FROM t WHERE k = $1"), parse("", "SELECT v FROM t WHERE k = $2"), syncing}, 2},
	{"flush", []pgproto3.FrontendMessage{parse("", "SELECT 1"), &pgproto3.Flush{}, bind("", ""), &pgproto3.Flush{}, execute("", 0), syncing}, 1},
	{"copy out", []pgproto3.FrontendMessage{query("COPY (SELECT k, v FROM t WHERE k < 4 ORDER BY k) TO STDOUT"), query("COPY (SELECT k FROM t WHERE k = 2) TO STDOUT WITH (FORMAT csv, HEADER)")}, 2},
	{"copy in", []pgproto3.FrontendMessage{query("COPY t FROM STDIN"), &pgproto3.CopyData{Data: []byte("201\ta\t1\n202\tb\t\\N\n")}, &pgproto3.CopyData{Data: []byte("203\tc")}, &pgproto3.CopyData{Data: []byte("\t3\n")}, &pgproto3.CopyDone{}}, 1},
	{"copy given up", []pgproto3.FrontendMessage{query("COPY t FROM STDIN"), &pgproto3.CopyData{Data: []byte("301\ta\t1\n")}, &pgproto3.CopyFail{Message: "enough"}}, 1},
	{"copy of nonsense", []pgproto3.FrontendMessage{query("COPY t FROM STDIN"), &pgproto3.CopyData{Data: []byte("302\ta\t1\nx\n")}, &pgproto3.CopyDone{}}, 1},
	{"copied", []pgproto3.FrontendMessage{query("SELECT * FROM t WHERE k > 200 ORDER BY k")}, 1},
	{"copy by the extended protocol", []pgproto3.FrontendMessage{parse("", "COPY t (k) FROM STDIN"), describe('S', ""), bind("", ""), execute("", 0), syncing, &pgproto3.CopyData{Data: []byte("401\n")}, &pgproto3.CopyDone{}, syncing}, 1},
	{"copy between statements", []pgproto3.FrontendMessage{query("SELECT 1; COPY t (k) FROM STDIN; SELECT count(*) FROM t WHERE k >= 400"), &pgproto3.CopyData{Data: []byte("402\n403\n")}, &pgproto3.CopyDone{}}, 1},
	{"copy data out of place", []pgproto3.FrontendMessage{&pgproto3.CopyData{Data: []byte("x")}, &pgproto3.CopyDone{}, query("SELECT 1")}, 1},
	{"a function call", []pgproto3.FrontendMessage{&pgproto3.FunctionCall{Function: 1404, ArgFormatCodes: []uint16{0}, Arguments: [][]byte{[]byte("-5")}, ResultFormatCode: 0}}, 1},
}

// TestProtocol sends the same messages to both sides and compares every message that comes back.
func TestProtocol(t *testing.T) {
	pair := NewPair(t, &shared, 2, 4)
	s := pair.Connect(t)
	s.Must(t, "CREATE TABLE t (k int PRIMARY KEY, v text, n int)")
	s.Distribute(t, "SELECT create_distributed_table('t', 'k')")
	s.Must(t, "INSERT INTO t SELECT i, 'v' || i, i % 4 FROM generate_series(1, 20) AS i")
	gateway, plain := talk(t, pair.Gateway), talk(t, pair.Plain)
	for _, e := range exchanges {
		g, gErr := gateway(e)
		p, pErr := plain(e)
		if gErr != nil || pErr != nil {
			t.Fatalf("%s: the gateway's connection: %v, plain PostgreSQL's: %v\n--- gateway\n%s\n--- plain\n%s", e.name, gErr, pErr, strings.Join(g, "\n"), strings.Join(p, "\n"))
		}
		if !slices.Equal(g, p) {
			t.Errorf("%s\n--- gateway\n%s\n--- plain\n%s", e.name, strings.Join(g, "\n"), strings.Join(p, "\n"))
		}
	}
}

// talk opens a connection for raw messages.
func talk(t *testing.T, dsn string) func(exchange) ([]string, error) {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := conn.Hijack()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { raw.Conn.Close() })
	return func(e exchange) ([]string, error) { return converse(t.Context(), raw.Conn, raw.Frontend, e) }
}

func converse(_ context.Context, conn net.Conn, frontend *pgproto3.Frontend, e exchange) ([]string, error) {
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return nil, err
	}
	for _, m := range e.messages {
		frontend.Send(m)
	}
	if err := frontend.Flush(); err != nil {
		return nil, err
	}
	var heard []string
	for ready := 0; ready < e.ready; {
		m, err := frontend.Receive()
		if err != nil {
			return heard, err
		}
		switch m := m.(type) {
		case *pgproto3.ReadyForQuery:
			ready++
			heard = append(heard, fmt.Sprintf("ReadyForQuery %c", m.TxStatus))
		case *pgproto3.RowDescription:
			line := "RowDescription"
			for _, f := range m.Fields {
				line += fmt.Sprintf(" %s:%d/%d", f.Name, f.DataTypeOID, f.Format)
			}
			heard = append(heard, line)
		case *pgproto3.DataRow:
			line := "DataRow"
			for _, v := range m.Values {
				if v == nil {
					line += " NULL"
				} else {
					line += fmt.Sprintf(" %q", v)
				}
			}
			heard = append(heard, line)
		case *pgproto3.ErrorResponse:
			heard = append(heard, fmt.Sprintf("Error %s %s %s %s at %d", m.Severity, m.SeverityUnlocalized, m.Code, m.Message, m.Position))
		case *pgproto3.NoticeResponse:
			heard = append(heard, fmt.Sprintf("Notice %s %s %s", m.Severity, m.Code, m.Message))
		case *pgproto3.CommandComplete:
			heard = append(heard, "CommandComplete "+string(m.CommandTag))
		case *pgproto3.ParameterDescription:
			heard = append(heard, fmt.Sprintf("ParameterDescription %v", m.ParameterOIDs))
		case *pgproto3.ParameterStatus:
			heard = append(heard, fmt.Sprintf("ParameterStatus %s=%s", m.Name, m.Value))
		case *pgproto3.CopyData:
			heard = append(heard, fmt.Sprintf("CopyData %q", m.Data))
		case *pgproto3.CopyInResponse:
			heard = append(heard, fmt.Sprintf("CopyInResponse %d %v", m.OverallFormat, m.ColumnFormatCodes))
		case *pgproto3.CopyOutResponse:
			heard = append(heard, fmt.Sprintf("CopyOutResponse %d %v", m.OverallFormat, m.ColumnFormatCodes))
		case *pgproto3.FunctionCallResponse:
			heard = append(heard, fmt.Sprintf("FunctionCallResponse %q", m.Result))
		default:
			heard = append(heard, strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgproto3."))
		}
	}
	return heard, nil
}
