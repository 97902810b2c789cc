package backend

import (
	"context"
	"encoding/binary"
	"io"
)

// Verdict says what Relay does with a message.
type Verdict byte

const (
	Forward Verdict = iota // copy it to the destination
	Drop                   // leave it out
	Stop                   // leave it out and return
)

// Relay copies what the node answers to dst, up to and including ReadyForQuery, in runs as large as they arrive. Rows (DataRow)
// and CopyData are copied unseen, however large, without being held as a whole; of every other message filter decides, which may
// be nil to forward all. Asynchronous messages go to OnAsync. An error of dst is returned as a *WriteError; the rest of the
// answer is then still to be received.
func (c *Conn) Relay(ctx context.Context, dst io.Writer, filter func(Message) Verdict) error {
	for {
		if len(c.out) == 0 && c.broken == nil && !c.inPrefix() {
			if err := c.relayRows(ctx, dst); err != nil {
				return err
			}
		}
		m, err := c.next(ctx)
		if err != nil {
			return err
		}
		if c.handle(m) {
			continue
		}
		verdict := Forward
		if filter != nil && m.Type != 'D' && m.Type != 'd' {
			verdict = filter(m)
		}
		if verdict == Forward {
			if _, err := dst.Write(m.Raw); err != nil {
				return &WriteError{err}
			}
		}
		if verdict == Stop || m.Type == 'Z' {
			return nil
		}
	}
}

// WriteError is a failure of the destination of Relay, not of the node.
type WriteError struct{ err error }

func (e *WriteError) Error() string { return e.err.Error() }
func (e *WriteError) Unwrap() error { return e.err }

// relayRows copies the rows that stand at the front of what the node has sent.
func (c *Conn) relayRows(ctx context.Context, dst io.Writer) error {
	c.r += c.consumed
	c.consumed = 0
	for {
		end, missing := c.r, 0
		for c.w-end >= 5 && (c.in[end] == 'D' || c.in[end] == 'd') {
			length := int(int32(binary.BigEndian.Uint32(c.in[end+1:])))
			if length < 4 || length > maxMessage {
				break // next reports it
			}
			if end+1+length > c.w {
				if 1+length > len(c.in) {
					missing = end + 1 + length - c.w
					end = c.w
				}
				break
			}
			end += 1 + length
		}
		if end == c.r {
			return nil
		}
		_, err := dst.Write(c.in[c.r:end])
		c.r = end
		for err == nil && missing > 0 {
			c.r, c.w = 0, 0
			if err := c.fill(ctx); err != nil {
				return err
			}
			c.r = min(missing, c.w)
			missing -= c.r
			_, err = dst.Write(c.in[:c.r])
		}
		if err != nil {
			if missing > 0 {
				c.fail(err) // the rest of the message cannot be told from messages
			}
			return &WriteError{err}
		}
	}
}
