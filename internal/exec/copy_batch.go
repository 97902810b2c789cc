package exec

import (
	"context"
	"encoding/binary"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/copyfmt"
)

// copyFrame is about how long a CopyData message is to become.
const copyFrame = 32 << 10

// copyBatch is rows on their way to one target: CopyData messages, and which of the client's lines they are.
type copyBatch struct {
	target *copyTarget
	data   []byte // whole messages but for the last one's length
	frame  int    // where the last message begins
	// lines gives, for each row, the number of the line with which it ends, in this batch and in the client's data.
	lines []lineNumbers
	line  int64        // the last line's number in this batch
	users atomic.Int32 // nodes that still need it
}

type lineNumbers struct{ own, client int64 }

// begin gives the batch of a target to which a row may be added.
func (in *copyIn) begin(target *copyTarget) *copyBatch {
	b := target.batch
	if b == nil {
		b = in.pool.get(in.batch)
		b.target = target
		target.batch = b
		b.open()
		b.data = append(b.data, in.splitter.Header()...)
	} else if len(b.data)-b.frame > copyFrame {
		b.close()
		b.open()
	}
	return b
}

func (b *copyBatch) open() {
	b.frame = len(b.data)
	b.data = append(b.data, 'd', 0, 0, 0, 0)
}

func (b *copyBatch) close() {
	binary.BigEndian.PutUint32(b.data[b.frame+1:], uint32(len(b.data)-b.frame-1))
}

// end notes that a row has been added, and gives the size of the batch.
func (b *copyBatch) end(row *copyfmt.Row) int {
	if b.line == 0 {
		b.line += row.LinesAlone
	} else {
		b.line += row.Lines
	}
	b.lines = append(b.lines, lineNumbers{b.line, row.Line})
	return len(b.data)
}

// clientLine gives the number of the client's line for one of the batch's.
func (b *copyBatch) clientLine(own int64) int64 {
	i := sort.Search(len(b.lines), func(i int) bool { return b.lines[i].own >= own })
	if i == len(b.lines) {
		return own
	}
	return b.lines[i].client
}

// flush sends a target's batch off to its nodes.
func (in *copyIn) flush(ctx context.Context, target *copyTarget) error {
	b := target.batch
	if b == nil {
		return nil
	}
	target.batch = nil
	target.sent++
	b.data = append(b.data, in.splitter.Trailer()...)
	b.close()
	b.users.Store(int32(len(target.nodes)))
	for _, group := range target.nodes {
		n, err := in.node(ctx, group)
		if err != nil {
			return err
		}
		n.work <- copyWork{batch: b}
	}
	return nil
}

// batchPool keeps batches for use again.
type batchPool struct {
	mu   sync.Mutex
	free []*copyBatch
}

func (p *batchPool) get(size int) *copyBatch {
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		b := p.free[n-1]
		p.free = p.free[:n-1]
		return b
	}
	return &copyBatch{data: make([]byte, 0, min(size, 2*copyFrame))}
}

// put takes a batch back once no node needs it.
func (p *batchPool) put(b *copyBatch) {
	if b.users.Add(-1) > 0 || cap(b.data) > 4*copyBatchMax {
		return
	}
	b.data, b.lines, b.line, b.target = b.data[:0], b.lines[:0], 0, nil
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free = append(p.free, b)
}

// copyNode is the goroutine that talks to one node.
type copyNode struct {
	in    *copyIn
	group int32
	conn  *backend.Conn
	work  chan copyWork
	done  chan struct{}

	pending []*copyBatch // sent, but not yet answered
	count   int64
}

// copyWork is a batch to be sent, or something else to be done on the connection in between.
type copyWork struct {
	batch    *copyBatch
	call     func(*backend.Conn) error
	finished chan error
}

const (
	copyQueue   = 1 // batches that may wait for a node
	copyPending = 2 // batches that a node may have been sent without having answered
)

// node gives the goroutine of a node. The first time, the node joins the transaction; so, then, does every other node that has rows
// waiting. For that moment all goroutines rest, because joining looks at the state of all the transaction's connections.
func (in *copyIn) node(ctx context.Context, group int32) (*copyNode, error) {
	if n := in.nodes[group]; n != nil {
		return n, nil
	}
	for _, n := range in.nodes {
		if err := n.do(func(*backend.Conn) error { return nil }); err != nil {
			return nil, err
		}
	}
	conns := map[int32]*backend.Conn{}
	join := func(group int32) (err error) {
		if in.nodes[group] == nil && conns[group] == nil {
			conns[group], err = in.env.Tx.Conn(ctx, group)
		}
		return err
	}
	if err := join(group); err != nil {
		return nil, err
	}
	for _, target := range in.targets {
		if target.batch == nil {
			continue
		}
		for _, group := range target.nodes {
			if err := join(group); err != nil {
				return nil, err
			}
		}
	}
	for group, conn := range conns {
		in.env.Tx.MarkWrite(group)
		if group != catalog.CoordinatorGroup {
			in.restore = append(in.restore, oneAtATime(conn, &in.notices))
		}
		n := &copyNode{in: in, group: group, conn: conn, work: make(chan copyWork, copyQueue), done: make(chan struct{})}
		in.nodes[group] = n
		go n.run(ctx)
	}
	return in.nodes[group], nil
}

// oneAtATime makes the handing on of a connection's notices wait for mu, since what takes them is the session's, which is not
// prepared for several goroutines. The returned function undoes it.
func oneAtATime(conn *backend.Conn, mu *sync.Mutex) (undo func()) {
	own := conn.OnAsync
	if own == nil {
		return nothing
	}
	conn.OnAsync = func(m backend.Message) {
		mu.Lock()
		defer mu.Unlock()
		own(m)
	}
	return func() { conn.OnAsync = own }
}

func nothing() {}

// onCoordinator runs something on the transaction's connection to the coordinator, between batches if it holds shards too.
func (in *copyIn) onCoordinator(f func(*backend.Conn) error) error {
	n := in.nodes[catalog.CoordinatorGroup]
	if n == nil {
		return f(in.coordinator)
	}
	return n.do(f)
}

// do runs something on the node's connection once all batches before it have been answered.
func (n *copyNode) do(f func(*backend.Conn) error) error {
	finished := make(chan error, 1)
	n.work <- copyWork{call: f, finished: finished}
	return <-finished
}

func (n *copyNode) run(ctx context.Context) {
	defer close(n.done)
	for w := range n.work {
		switch {
		case w.call != nil:
			for len(n.pending) > 0 {
				n.settle(ctx)
			}
			if err := n.in.errors.get(); err != nil {
				w.finished <- err
			} else {
				w.finished <- w.call(n.conn)
			}
		case n.in.errors.failed():
			n.in.pool.put(w.batch)
		default:
			n.send(w.batch)
			for len(n.pending) >= copyPending {
				n.settle(ctx)
			}
		}
	}
	for len(n.pending) > 0 {
		n.settle(ctx)
	}
}

// send sends a batch without waiting for the node to ask for data: a node that refuses the COPY ignores what comes after it up to
// the next query (manual, 55.2.6).
func (n *copyNode) send(b *copyBatch) {
	n.conn.SendRaw(b.target.statement)
	n.pending = append(n.pending, b)
	for rest := b.data; len(rest) > 0; {
		size := 1 + int(binary.BigEndian.Uint32(rest[1:]))
		n.conn.SendRaw(rest[:size])
		rest = rest[size:]
		if len(rest) > 0 {
			if n.conn.Flush() != nil {
				return // settle meets the error again
			}
		}
	}
	n.conn.SendRaw(copyDone)
	n.conn.Flush()
}

// settle reads the answer to the oldest batch.
func (n *copyNode) settle(ctx context.Context) {
	b := n.pending[0]
	n.pending = n.pending[1:]
	defer n.in.pool.put(b)
	for {
		m, err := n.conn.Receive(ctx)
		if err != nil {
			n.in.errors.add(err, b.clientLine(1))
			return
		}
		switch m.Type {
		case 'C':
			if _, number, ok := strings.Cut(internTag(m.Body()), " "); ok {
				count, _ := strconv.ParseInt(number, 10, 64)
				n.count += count
			}
		case 'E':
			err := n.in.nodeError(m)
			n.in.errors.add(err, n.in.clientContext(err, b))
		case 'Z':
			return
		}
	}
}

// clientContext puts the client's line number into a node's error, and gives it.
func (in *copyIn) clientContext(err error, b *copyBatch) int64 {
	e, ok := err.(*pgconn.PgError)
	if !ok {
		return b.clientLine(1)
	}
	line := b.clientLine(1)
	contexts := strings.Split(e.Where, "\n")
	for i, context := range contexts {
		// "COPY <table>, line <n>…", in whatever language.
		rest, ok := strings.CutPrefix(context, "COPY "+in.table.Name+", ")
		if !ok {
			continue
		}
		at := strings.IndexAny(rest, "0123456789")
		if at < 0 {
			continue
		}
		end := at
		for end < len(rest) && rest[end] >= '0' && rest[end] <= '9' {
			end++
		}
		own, err := strconv.ParseInt(rest[at:end], 10, 64)
		if err != nil {
			continue
		}
		line = b.clientLine(own)
		contexts[i] = "COPY " + in.table.Name + ", " + rest[:at] + strconv.FormatInt(line, 10) + rest[end:]
	}
	e.Where = strings.Join(contexts, "\n")
	return line
}

// copyErrors keeps the error of the earliest line.
type copyErrors struct {
	mu   sync.Mutex
	err  error
	line int64
	any  atomic.Bool
}

func (e *copyErrors) failed() bool { return e.any.Load() }

func (e *copyErrors) get() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

func (e *copyErrors) add(err error, line int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	// After its first error a node's transaction is aborted, which it says of everything that comes later.
	if e.err == nil || line < e.line && stateOf(err) != "25P02" {
		e.err, e.line = err, line
	}
	e.any.Store(true)
}
