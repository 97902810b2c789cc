package backend

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Conn is one connection to a node. It is used by one goroutine at a time; Cancel alone may be called from any.
//
// What is sent is buffered until Flush or Receive. Before the first message of a round the connection may put statements of its
// own (settings, BEGIN, savepoints, closing of evicted prepared statements); their answers never reach the caller, and the error
// of one of them is received in place of the answer to what the caller sent, which the node then skips.
type Conn struct {
	// OnAsync is given each NoticeResponse, ParameterStatus and NotificationResponse as it arrives. The message is valid during
	// the call only. Pools.Release sets it to nil.
	OnAsync func(Message)

	address  Address
	identity Identity
	options  Options
	net      net.Conn
	probe    *probe

	pid        uint32
	secret     []byte
	parameters map[string]string // as the node last reported them

	in       []byte // in[r:w] has been read from the node but not been received
	r, w     int
	consumed int    // bytes of in that the last received Message occupies
	out      []byte // not yet written

	units    []byte // of what was sent and has no ReadyForQuery yet: 'Q' for a simple query, 'S' for a Sync
	unsynced bool   // messages of the extended protocol were sent since, which no Sync follows yet
	prefix   []byte // the last message of each own statement's answer that is still to come
	after    int    // this many units come before prefix
	txStatus byte
	failed   bool // an ErrorResponse was received in the current unit
	broken   error
	dirty    bool

	settings   settingsState
	statements statements

	watch    watch
	onCancel func()
	created  time.Time
	idleFrom time.Time
	pool     *pool
}

// Message is one protocol message as the node sent it. Raw is the whole message, its type byte and length included, and is valid
// until the connection is next used.
type Message struct {
	Type byte
	Raw  []byte
}

// Body is the message without its type and length.
func (m Message) Body() []byte { return m.Raw[5:] }

const (
	initialBuffer = 8 << 10
	idleBuffer    = 64 << 10 // buffers that grew larger than this are given back
	maxMessage    = 1<<30 + 1<<16
)

// ErrClosed is the reason for which a connection that was closed by its own user is unusable.
var ErrClosed = errors.New("the connection was closed")

// Address is the node this connection leads to.
func (c *Conn) Address() Address { return c.address }

// Identity is who is logged in on this connection.
func (c *Conn) Identity() Identity { return c.identity }

// PID is the node's process that serves this connection.
func (c *Conn) PID() uint32 { return c.pid }

// Parameter is a setting that the node reports, as it last reported it.
func (c *Conn) Parameter(name string) string { return c.parameters[name] }

// Parameters are all settings that the node reports. The map must not be changed.
func (c *Conn) Parameters() map[string]string { return c.parameters }

// TxStatus is the transaction status that the last ReadyForQuery carried: 'I' idle, 'T' in a transaction, 'E' in a failed one.
func (c *Conn) TxStatus() byte { return c.txStatus }

// Idle tells whether everything that was sent has been answered to its end.
func (c *Conn) Idle() bool { return len(c.units) == 0 && !c.unsynced && len(c.out) == 0 }

// Sync buffers a Sync.
func (c *Conn) Sync() {
	c.beginRound()
	c.addSync()
}

// Buffered tells whether something was sent and not yet flushed.
func (c *Conn) Buffered() bool { return len(c.out) > 0 }

// Pending is how many ReadyForQuery messages are still to come.
func (c *Conn) Pending() int { return len(c.units) }

// Running tells whether a statement is being waited for. It may be called from any goroutine.
func (c *Conn) Running() bool { return c.watch.running.Load() }

// Err says why the connection is unusable, nil while it is not.
func (c *Conn) Err() error { return c.broken }

// MarkDirty says that session state now lives on the connection (temporary tables, LISTEN, SQL-level prepared statements, …), so
// that it must be reset before another session may have it.
func (c *Conn) MarkDirty() { c.dirty = true }

// MarkClean says that whoever called MarkDirty last has removed the session state again.
func (c *Conn) MarkClean() { c.dirty = false }

// Send buffers a message.
func (c *Conn) Send(msg pgproto3.FrontendMessage) {
	c.beginRound()
	start := len(c.out)
	out, err := msg.Encode(c.out)
	if err != nil {
		c.fail(err)
		return
	}
	c.out = out
	c.noteSent(c.out[start:])
}

// SendRaw buffers whole protocol messages, of one or of several.
func (c *Conn) SendRaw(b []byte) {
	c.beginRound()
	c.out = append(c.out, b...)
	c.noteSent(b)
}

// SendQuery buffers a simple query.
func (c *Conn) SendQuery(text string) {
	c.beginRound()
	c.out = append(c.out, 'Q')
	c.out = binary.BigEndian.AppendUint32(c.out, uint32(len(text)+5))
	c.out = append(c.out, text...)
	c.out = append(c.out, 0)
	c.addUnit('Q')
}

// noteSent counts the answers that the messages in b will have.
func (c *Conn) noteSent(b []byte) {
	for len(b) >= 5 {
		switch b[0] {
		case 'Q', 'F':
			c.addUnit('Q')
		case 'S':
			c.addUnit('S')
		case 'P', 'B', 'D', 'E', 'C':
			c.unsynced = true
		}
		size := 1 + int(binary.BigEndian.Uint32(b[1:]))
		if size > len(b) {
			break
		}
		b = b[size:]
	}
}

func (c *Conn) addUnit(kind byte) {
	if len(c.units) == 0 && c.watch.asking.Load() {
		c.watch.stop(c) // a cancel request for the last statement may still be on its way
	}
	c.units = append(c.units, kind)
	c.unsynced = false
}

// beginRound puts the closing of evicted statements before the first message of a round.
func (c *Conn) beginRound() {
	if len(c.statements.evicted) == 0 || len(c.out) > 0 || len(c.units) > 0 || len(c.prefix) > 0 {
		return
	}
	for _, name := range c.statements.evicted {
		c.out, _ = (&pgproto3.Close{ObjectType: 'S', Name: name}).Encode(c.out)
		c.expect('3')
	}
	c.statements.evicted = c.statements.evicted[:0]
}

// Prefix buffers a statement of the connection's own ahead of the caller's next message, in the same transaction and without a
// round trip. Should it fail, the node skips what follows, so a statement can never run without the BEGIN that was to precede it.
// It must only be used for statements that return no rows, when the next message begins or is inside a transaction block.
func (c *Conn) Prefix(text string) {
	c.beginRound()
	c.out, _ = (&pgproto3.Parse{Query: text}).Encode(c.out)
	c.out, _ = (&pgproto3.Bind{}).Encode(c.out)
	c.out, _ = (&pgproto3.Execute{}).Encode(c.out)
	c.expect('C')
}

// expect notes that an own statement's answer, which ends with this type of message, comes after the units sent so far.
func (c *Conn) expect(last byte) {
	if len(c.prefix) == 0 {
		c.after = len(c.units)
	}
	c.prefix = append(c.prefix, last)
	c.unsynced = true
}

// inPrefix tells whether the answer to an own statement is what comes next.
func (c *Conn) inPrefix() bool { return len(c.prefix) > 0 && c.after == 0 }

// Flush writes what has been buffered.
func (c *Conn) Flush() error {
	if c.broken != nil {
		return c.broken
	}
	if len(c.out) == 0 {
		return nil
	}
	var err error
	if len(c.out) <= smallWrite {
		_, err = c.net.Write(c.out)
	} else {
		err = c.writeLarge(c.out)
	}
	if cap(c.out) > idleBuffer {
		c.out = nil
	}
	c.out = c.out[:0]
	if err != nil {
		return c.fail(err)
	}
	return nil
}

// smallWrite is what a socket's buffers surely take in, even while the node does not read.
const smallWrite = 16 << 10

// writeLarge writes while also reading what the node already answers: if neither side read, both would wait for ever.
func (c *Conn) writeLarge(b []byte) error {
	done := make(chan error, 1)
	go func() {
		_, err := c.net.Write(b)
		done <- err
	}()
	timer := time.NewTimer(50 * time.Millisecond)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
	}
	defer c.watch.restoreDeadline(c.net)
	for {
		select {
		case err := <-done:
			return err
		default:
		}
		if c.w-c.r > maxMessage {
			c.net.Close()
			<-done
			return errors.New("the answer to statements sent ahead is too large")
		}
		if c.w == len(c.in) {
			c.makeRoom(max(initialBuffer, c.w-c.r))
		}
		c.net.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		n, err := c.net.Read(c.in[c.w:])
		c.w += n
		var timeout net.Error
		if err != nil && !(errors.As(err, &timeout) && timeout.Timeout()) {
			c.net.Close()
			<-done
			return err
		}
	}
}

// Receive gives the next message, flushing first. Asynchronous messages go to OnAsync and are not returned. When ctx ends, the
// node is asked to cancel what it runs; Receive goes on returning the node's messages, which say so, and gives up with ctx's
// cause only if the node does not answer.
func (c *Conn) Receive(ctx context.Context) (Message, error) {
	for {
		m, err := c.next(ctx)
		if err != nil {
			return Message{}, err
		}
		if !c.handle(m) {
			return m, nil
		}
	}
}

// Peek gives the next message as Receive does, and leaves it to be received.
func (c *Conn) Peek(ctx context.Context) (Message, error) {
	for {
		m, err := c.next(ctx)
		if err != nil {
			return Message{}, err
		}
		if !c.inPrefix() && m.Type != 'N' && m.Type != 'A' && m.Type != 'S' {
			c.consumed = 0
			return m, nil
		}
		if !c.handle(m) { // an own statement has failed
			c.consumed = 0
			return m, nil
		}
	}
}

// handle keeps the connection's state up to date with a message and tells whether it was for the connection alone.
func (c *Conn) handle(m Message) bool {
	switch m.Type {
	case 'D', 'd':
		return false
	case 'N', 'A', 'S':
		c.async(m)
		return true
	case 'Z':
		c.endUnit(m)
		return false
	case 'E':
		c.failed = true
		c.settings.forgetUnsettled()
		c.forgetTentative()
		if c.inPrefix() {
			c.skipToSync()
		}
		return false
	case 'C':
		if string(m.Raw[5:]) == "ROLLBACK\x00" {
			c.settings.forgetUnsettled()
		}
	}
	if !c.inPrefix() {
		return false
	}
	if m.Type == c.prefix[0] {
		c.prefix = c.prefix[:copy(c.prefix, c.prefix[1:])]
	}
	return true
}

func (c *Conn) async(m Message) {
	if m.Type == 'S' {
		var status pgproto3.ParameterStatus
		if status.Decode(m.Body()) == nil {
			c.parameters[status.Name] = status.Value
		}
	}
	if c.OnAsync != nil && (!c.inPrefix() || m.Type == 'A') {
		c.OnAsync(m)
	}
}

func (c *Conn) endUnit(m Message) {
	if len(m.Raw) > 5 {
		c.txStatus = m.Raw[5]
	}
	if c.after > 0 {
		c.after--
	} else {
		c.prefix = c.prefix[:0]
	}
	if len(c.units) > 0 {
		c.units = c.units[:copy(c.units, c.units[1:])]
	}
	if len(c.units) == 0 {
		c.watch.running.Store(false)
	}
	if c.txStatus == 'I' && !c.failed {
		c.settings.settle()
	}
	if len(c.units) == 0 {
		c.statements.settle()
	}
	c.failed = false
}

// skipToSync is called when a statement of the connection's own failed. The node now skips everything up to a Sync; where the
// caller sent a simple query instead, a Sync takes its place, so that the caller sees the error and one ReadyForQuery.
func (c *Conn) skipToSync() {
	c.prefix = c.prefix[:0]
	for _, kind := range c.units {
		if kind == 'S' {
			return
		}
	}
	if len(c.units) > 0 {
		c.units, c.unsynced = append(c.units[:0], 'S'), false
		c.out, _ = (&pgproto3.Sync{}).Encode(c.out)
	}
}

// next gives the next message of any kind.
func (c *Conn) next(ctx context.Context) (Message, error) {
	if len(c.out) > 0 {
		if err := c.Flush(); err != nil {
			return Message{}, err
		}
	}
	if c.broken != nil {
		return Message{}, c.broken
	}
	c.r += c.consumed
	c.consumed = 0
	if c.r == c.w {
		c.r, c.w = 0, 0
		if len(c.in) > idleBuffer {
			c.in = make([]byte, initialBuffer)
		}
	}
	size, err := c.need(ctx, 5)
	if err == nil && size > 5 {
		_, err = c.need(ctx, size)
	}
	if err != nil {
		return Message{}, err
	}
	c.consumed = size
	raw := c.in[c.r : c.r+size : c.r+size]
	return Message{Type: raw[0], Raw: raw}, nil
}

// need reads until n bytes are there, and gives the size of the message they begin.
func (c *Conn) need(ctx context.Context, n int) (int, error) {
	for c.w-c.r < n {
		c.makeRoom(n - (c.w - c.r))
		if err := c.fill(ctx); err != nil {
			return 0, err
		}
	}
	length := int(int32(binary.BigEndian.Uint32(c.in[c.r+1:])))
	if length < 4 || length > maxMessage {
		return 0, c.fail(fmt.Errorf("the node sent a malformed message of type %q", c.in[c.r]))
	}
	return 1 + length, nil
}

// fill reads once from the node.
func (c *Conn) fill(ctx context.Context) error {
	for {
		c.watch.start(ctx, c)
		n, err := c.net.Read(c.in[c.w:])
		c.w += n
		if n > 0 {
			return nil
		}
		if err == nil {
			continue
		}
		cause := context.Cause(ctx)
		if cause == nil && errors.Is(err, os.ErrDeadlineExceeded) && c.watch.expired.Load() && !c.watch.gaveUp.Load() {
			continue // it was another context that ended
		}
		if cause == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return c.fail(err)
		}
		if c.watch.gaveUp.Load() {
			return c.fail(cause)
		}
		// The context ended while nothing ran. What was sent since is still to be cancelled.
		if len(c.units) == 0 {
			c.watch.stop(c)
			return cause
		}
	}
}

// makeRoom makes in[w:] at least n bytes long.
func (c *Conn) makeRoom(n int) {
	if len(c.in)-c.w >= n {
		return
	}
	if used := c.w - c.r; c.r > 0 && len(c.in)-used >= n {
		copy(c.in, c.in[c.r:c.w])
		c.r, c.w = 0, used
		return
	}
	used := c.w - c.r
	grown := make([]byte, max(used+n, min(2*len(c.in), 1<<20), initialBuffer))
	copy(grown, c.in[c.r:c.w])
	c.in, c.r, c.w = grown, 0, used
}

// fail makes the connection unusable.
func (c *Conn) fail(err error) error {
	if c.broken == nil {
		c.broken = lostError(c.address, err)
		c.net.Close()
		c.watch.running.Store(false) // or stop would wait for a canceller that waits for the answer
		c.watch.stop(c)
	}
	return c.broken
}

// Close ends the connection, telling the node.
func (c *Conn) Close() {
	if c.broken == nil {
		c.net.SetWriteDeadline(time.Now().Add(time.Second))
		c.net.Write([]byte{'X', 0, 0, 0, 4})
		c.fail(ErrClosed)
	}
}

// Abandon closes the connection's socket without a word, as the death of the gateway would.
func (c *Conn) Abandon() { c.fail(ErrClosed) }
