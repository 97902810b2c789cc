package wire

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/sql"
)

// script is a connection that reads from a reader and keeps what is written.
type script struct {
	io.Reader
	written bytes.Buffer
	writes  int
}

func (s *script) Write(b []byte) (int, error) { s.writes++; return s.written.Write(b) }

func (s *script) Close() error                     { return nil }
func (s *script) LocalAddr() net.Addr              { return nil }
func (s *script) RemoteAddr() net.Addr             { return nil }
func (s *script) SetDeadline(time.Time) error      { return nil }
func (s *script) SetReadDeadline(time.Time) error  { return nil }
func (s *script) SetWriteDeadline(time.Time) error { return nil }

func encode(t testing.TB, messages ...pgproto3.FrontendMessage) []byte {
	t.Helper()
	var b []byte
	var err error
	for _, m := range messages {
		if b, err = m.Encode(b); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func TestReceive(t *testing.T) {
	big := strings.Repeat("x", 100_000)
	sent := encode(t, &pgproto3.Query{String: "a"}, &pgproto3.Parse{Name: "n", Query: big}, &pgproto3.Sync{}, &pgproto3.Query{String: big}, &pgproto3.Terminate{})
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"at once": func(r io.Reader) io.Reader { return r }, "byte by byte": iotest.OneByteReader, "in halves": iotest.HalfReader,
	} {
		t.Run(name, func(t *testing.T) {
			c := newConn(&script{Reader: wrap(bytes.NewReader(sent))})
			var got []byte
			var types string
			for {
				m, err := c.Receive()
				if err == io.EOF {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, m.Raw...)
				types += string(m.Type)
			}
			if !bytes.Equal(got, sent) || types != "QPSQX" {
				t.Fatalf("%s, %d of %d bytes", types, len(got), len(sent))
			}
			if len(c.in) > idleBuffer {
				t.Fatalf("an idle connection keeps %d bytes", len(c.in))
			}
		})
	}
}

func TestReceiveMalformed(t *testing.T) {
	for _, test := range []struct{ sent, code string }{
		{"z\x00\x00\x00\x04", "08P01"}, {"Q\x00\x00\x00\x03", "08P01"}, {"Q\x7f\xff\xff\xff", "08P01"}, {"Q\xff\xff\xff\xff", "08P01"}, {"S\x00\x01\x00\x00", "08P01"},
	} {
		_, err := newConn(&script{Reader: strings.NewReader(test.sent)}).Receive()
		var own *sql.Error
		if !errors.As(err, &own) || own.Code != test.code {
			t.Errorf("%q: %v", test.sent, err)
		}
	}
	if _, err := newConn(&script{Reader: strings.NewReader("Q\x00\x00\x00\x10ab")}).Receive(); err != io.ErrUnexpectedEOF {
		t.Error(err)
	}
	// What is announced but does not come must cost no memory.
	c := newConn(&script{Reader: strings.NewReader("Q\x3f\xff\xff\x00ab")})
	if _, err := c.Receive(); err != io.ErrUnexpectedEOF || len(c.in) > bufferSize {
		t.Error(err, len(c.in))
	}
}

func TestWrite(t *testing.T) {
	s := &script{}
	c := newConn(s)
	var want []byte
	for _, size := range []int{1, 100, 8000, 200, 8192, 9000, 3, 50_000, 7} {
		piece := bytes.Repeat([]byte{byte('a' + size%26)}, size)
		want = append(want, piece...)
		if n, err := c.Write(piece); err != nil || n != size {
			t.Fatal(n, err)
		}
	}
	c.Flush()
	if !bytes.Equal(s.written.Bytes(), want) {
		t.Fatal("what was written is not what was sent")
	}
	if s.writes > 12 {
		t.Fatalf("%d writes", s.writes)
	}
}

func TestSendError(t *testing.T) {
	for _, test := range []struct {
		err      error
		severity string
		want     pgproto3.ErrorResponse
	}{
		{&sql.Error{Code: "42P01", Message: "m", Detail: "D.", Hint: "H.", Position: 3}, "",
			pgproto3.ErrorResponse{Severity: "ERROR", SeverityUnlocalized: "ERROR", Code: "42P01", Message: "m", Detail: "D.", Hint: "H.", Position: 3}},
		{&pgconn.PgError{Severity: "FATAL", Code: "23505", Message: "m", ConstraintName: "c", TableName: "t", Where: "w"}, "",
			pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "23505", Message: "m", ConstraintName: "c", TableName: "t", Where: "w"}},
		{errors.New("x"), "FATAL", pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "XX000", Message: "x"}},
	} {
		s := &script{}
		c := newConn(s)
		c.SendError(test.err, test.severity)
		c.Flush()
		m, err := pgproto3.NewFrontend(&s.written, nil).Receive()
		if err != nil {
			t.Fatal(err)
		}
		got := *m.(*pgproto3.ErrorResponse)
		if got.Code != test.want.Code || got.Severity != test.want.Severity || got.SeverityUnlocalized != test.want.SeverityUnlocalized || got.Message != test.want.Message || got.Detail != test.want.Detail ||
			got.Hint != test.want.Hint || got.Position != test.want.Position || got.ConstraintName != test.want.ConstraintName || got.Where != test.want.Where {
			t.Errorf("got %+v, want %+v", got, test.want)
		}
	}
}
