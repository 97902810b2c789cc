// Package wire is the server side of the PostgreSQL protocol (PostgreSQL manual, chapter 55): it welcomes a client (encryption,
// startup, authentication) and then frames messages, which it does not look into, so that most bytes pass through untouched.
//
// It imports sql only. Read Accept first, then Conn.
package wire

import (
	"encoding/binary"
	"io"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/sql"
)

// Conn is the connection of a client that has been let in. It is used by one goroutine at a time.
type Conn struct {
	Startup Startup

	net  net.Conn
	in   []byte // in[r:w] has been read but not received
	r, w int
	used int    // bytes of in that the last Message occupies
	out  []byte // not yet written
	err  error  // of the first failed write

	writes uint64 // to the socket
	max    int    // largest message, lower than the protocol's own limit while the client is a stranger
}

// Message is one protocol message as the client sent it. Raw is the whole message, its type byte and length included, and is
// valid until the next Receive.
type Message struct {
	Type byte
	Raw  []byte
}

// Body is the message without its type and length.
func (m Message) Body() []byte { return m.Raw[5:] }

const (
	bufferSize   = 8 << 10
	idleBuffer   = 16 << 10  // buffers that grew larger than this are given back when all in them has been used
	smallMessage = 10_000    // the limits are those of PostgreSQL
	largeMessage = 1<<30 - 2 // bytes after the type byte
)

// newConn wraps a socket.
func newConn(socket net.Conn) *Conn { return &Conn{net: socket, max: largeMessage} }

// RemoteAddr is where the client is.
func (c *Conn) RemoteAddr() net.Addr { return c.net.RemoteAddr() }

// SetReadDeadline bounds the next Receive; the zero time means no bound.
func (c *Conn) SetReadDeadline(t time.Time) error { return c.net.SetReadDeadline(t) }

// Close closes the connection without writing what is buffered. It may be called from any goroutine.
func (c *Conn) Close() error { return c.net.Close() }

// Buffered is how many bytes of further messages the client has sent already, as far as they have been read. While there are
// any, answers need not be flushed.
func (c *Conn) Buffered() int { return c.w - c.r - c.used }

// Receive gives the next message. A malformed one is an *sql.Error of code 08P01, which ends the session; a client that went away
// is io.EOF, or io.ErrUnexpectedEOF in the middle of a message. What is buffered for the client is not flushed.
func (c *Conn) Receive() (Message, error) {
	c.r += c.used
	c.used = 0
	if c.r == c.w {
		c.r, c.w = 0, 0
		if len(c.in) > idleBuffer {
			c.in = nil
		}
	}
	if err := c.need(5); err != nil {
		return Message{}, err
	}
	kind := c.in[c.r]
	limit := min(messageLimit(kind), c.max)
	if limit == 0 {
		return Message{}, sql.Errorf("08P01", "invalid frontend message type %d", kind)
	}
	length := binary.BigEndian.Uint32(c.in[c.r+1:])
	if length < 4 || length > uint32(limit) {
		return Message{}, sql.Errorf("08P01", "invalid message length")
	}
	size := 1 + int(length)
	if err := c.need(size); err != nil {
		return Message{}, err
	}
	c.used = size
	return Message{Type: kind, Raw: c.in[c.r : c.r+size : c.r+size]}, nil
}

// messageLimit is the largest length that a message of a type may have, 0 for types that a client must not send.
func messageLimit(kind byte) int {
	switch kind {
	case 'Q', 'F', 'B', 'P', 'd', 'p':
		return largeMessage
	case 'X', 'C', 'D', 'E', 'H', 'S', 'c', 'f':
		return smallMessage
	}
	return 0
}

// need reads until n bytes are there. The buffer grows with what arrives and not with what was announced, so a client cannot make
// the gateway reserve memory by announcing much.
func (c *Conn) need(n int) error {
	for c.w-c.r < n {
		c.makeRoom(n)
		got, err := c.net.Read(c.in[c.w:])
		c.w += got
		if got > 0 || err == nil {
			continue
		}
		if err == io.EOF && c.w > c.r {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	return nil
}

// makeRoom makes room behind w for some of a message of n bytes that begins at r.
func (c *Conn) makeRoom(n int) {
	used := c.w - c.r
	switch {
	case c.w < len(c.in) && c.r+n <= len(c.in):
		return
	case n <= len(c.in):
		copy(c.in, c.in[c.r:c.w])
	case c.w < len(c.in) && c.r == 0:
		return
	default:
		grown := make([]byte, max(bufferSize, min(n, 2*used)))
		copy(grown, c.in[c.r:c.w])
		c.in = grown
	}
	c.r, c.w = 0, used
}

// Write buffers raw protocol bytes for the client. Large pieces are written through.
func (c *Conn) Write(b []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if len(c.out)+len(b) > bufferSize {
		if len(c.out) > 0 && len(b) < bufferSize {
			room := bufferSize - len(c.out)
			if room > 0 {
				c.out = append(c.out, b[:room]...)
				if err := c.Flush(); err != nil {
					return 0, err
				}
				c.out = append(c.out, b[room:]...)
				return len(b), nil
			}
		}
		if err := c.Flush(); err != nil {
			return 0, err
		}
		if len(b) >= bufferSize {
			return c.write(b)
		}
	}
	if c.out == nil {
		c.out = make([]byte, 0, bufferSize)
	}
	c.out = append(c.out, b...)
	return len(b), nil
}

// Mark is a place in what is written to the client.
type Mark struct {
	writes uint64
	length int
}

// Mark gives the place at which the next Write goes on.
func (c *Conn) Mark() Mark { return Mark{c.writes, len(c.out)} }

// Rewind takes back what was written since a mark, and tells whether it could: nothing of it may have been flushed.
func (c *Conn) Rewind(m Mark) bool {
	if c.writes != m.writes || len(c.out) < m.length {
		return false
	}
	c.out = c.out[:m.length]
	return true
}

func (c *Conn) write(b []byte) (int, error) {
	c.writes++
	n, err := c.net.Write(b)
	if err != nil && c.err == nil {
		c.err = err
	}
	return n, err
}

// Flush writes what is buffered.
func (c *Conn) Flush() error {
	if c.err != nil {
		return c.err
	}
	if len(c.out) == 0 {
		return nil
	}
	_, err := c.write(c.out)
	if cap(c.out) > idleBuffer {
		c.out = nil
	}
	c.out = c.out[:0]
	return err
}

// Send buffers a message.
func (c *Conn) Send(m pgproto3.BackendMessage) error {
	if c.err != nil {
		return c.err
	}
	out, err := m.Encode(c.out)
	if err != nil {
		return err
	}
	c.out = out
	if len(c.out) >= bufferSize {
		return c.Flush()
	}
	return nil
}

// SendReadyForQuery buffers a ReadyForQuery with a transaction status: 'I', 'T' or 'E'.
func (c *Conn) SendReadyForQuery(status byte) error {
	_, err := c.Write([]byte{'Z', 0, 0, 0, 5, status})
	return err
}

// SendParameterStatus buffers a ParameterStatus.
func (c *Conn) SendParameterStatus(name, value string) error {
	return c.Send(&pgproto3.ParameterStatus{Name: name, Value: value})
}

// SendCommandComplete buffers a CommandComplete.
func (c *Conn) SendCommandComplete(tag string) error {
	if c.err != nil {
		return c.err
	}
	c.out = append(c.out, 'C')
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(len(tag)+5))
	c.out = append(append(c.out, tag...), 0)
	if len(c.out) >= bufferSize {
		return c.Flush()
	}
	return nil
}

// Err is why nothing more can be written to the client, nil if nothing failed yet.
func (c *Conn) Err() error { return c.err }

// Peek waits until the client has sent at least the beginning of a message, which it leaves to Receive.
func (c *Conn) Peek() error {
	c.r += c.used
	c.used = 0
	return c.need(1)
}
