package exec

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"sync/atomic"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/copyfmt"
	"github.com/trunkline/trunkline/internal/sql"
)

// copyOut is a COPY TO STDOUT made of one COPY per shard. What surrounds the rows (the header line, the binary header and trailer)
// comes from the coordinator, which runs the client's own statement over empty shells.
type copyOut struct {
	*execution
	client  CopyClient
	options copyOptions
	trailer []byte // CopyData message for after the rows
}

// copyTable runs COPY table TO STDOUT for a distributed table.
func copyTable(ctx context.Context, env *Env, stmt sql.Statement, table *catalog.Relation, client CopyClient) (string, error) {
	c := stmt.Tree.GetCopyStmt()
	out := &copyOut{execution: copyExecution(env, table), client: client, options: readCopyOptions(c)}
	colocation := env.Snapshot.Colocations[table.ColocationID]
	if colocation == nil || len(colocation.Groups) == 0 {
		return "", noShards(table)
	}
	columns, err := copyColumns(table, c)
	if err != nil {
		return "", err
	}
	names := make([]string, len(columns))
	for i, column := range columns {
		names[i] = table.Columns[column].Name
	}
	var tasks []copyTask
	for _, group := range colocation.Groups {
		text := copyText(string(out.shardName(nil, &out.plan.Tables[0], group.ID)), names, " TO STDOUT"+out.options.shared)
		tasks = append(tasks, copyTask{group.GroupID, text})
	}
	return out.run(ctx, stmt.Text, tasks)
}

// copyTask is one COPY TO STDOUT on one node.
type copyTask struct {
	node int32
	text string
}

// run sends the client the rows of all tasks. text is the statement that the coordinator answers with no rows.
func (out *copyOut) run(ctx context.Context, text string, tasks []copyTask) (string, error) {
	if err := out.begin(ctx, text); err != nil {
		return "", err
	}
	byNode := map[int32][]string{}
	var nodes []int32
	for _, t := range tasks {
		if byNode[t.node] == nil {
			nodes = append(nodes, t.node)
		}
		byNode[t.node] = append(byNode[t.node], t.text)
	}
	// All connections are taken first, because taking one looks at the state of the others.
	conns := make([]*backend.Conn, len(nodes))
	for i, node := range nodes {
		conn, release, err := out.env.Tx.Borrow(ctx, node)
		if err != nil {
			return "", err
		}
		defer release()
		conns[i] = conn
	}
	var mu sync.Mutex // of the client and count
	var count int64
	inBlock := out.env.Tx.InBlock()
	var failed atomic.Bool
	var first error // of the node that failed before the others were stopped
	var group sync.WaitGroup
	for i, conn := range conns {
		group.Go(func() {
			defer oneAtATime(conn, &mu)()
			w := &copyWriter{mu: &mu, client: out.client}
			n, err := out.node(ctx, conn, byNode[nodes[i]], w, &failed)
			if failure := w.flush(); err == nil {
				err = failure
			}
			if err != nil && !failed.Swap(true) {
				first = err
				for _, other := range conns {
					if other != conn {
						other.Cancel(ctx)
					}
				}
			}
			if err != nil {
				drainCopy(ctx, conn, inBlock || conn == out.env.Tx.Pinned())
			}
			mu.Lock()
			defer mu.Unlock()
			count += n
		})
	}
	if group.Wait(); first != nil {
		return "", first
	}
	if _, err := out.client.Write(append(out.trailer, copyDone...)); err != nil {
		return "", err
	}
	return "COPY " + string(appendInt(nil, count)), nil
}

// begin sends the client what precedes the rows.
func (out *copyOut) begin(ctx context.Context, text string) error {
	conn, release, err := out.env.Tx.Borrow(ctx, catalog.CoordinatorGroup)
	if err != nil {
		return err
	}
	defer release()
	conn.SendQuery(text)
	var failure error
	var head, data []byte
	for {
		m, err := conn.Receive(ctx)
		if err != nil {
			return err
		}
		switch m.Type {
		case 'H':
			head = append(head, m.Raw...)
		case 'd':
			data = append(data, m.Body()...)
		case 'E':
			failure = backend.DecodeError(m)
		case 'Z':
			if failure != nil {
				return failure
			}
			if out.options.format == copyfmt.Binary {
				end := max(0, len(data)-2)
				out.trailer = appendCopyData(nil, data[end:])
				data = data[:end]
			}
			if len(data) > 0 {
				head = appendCopyData(head, data)
			}
			_, err := out.client.Write(head)
			return err
		}
	}
}

// node runs a node's tasks, all sent at once, and passes their rows on.
func (out *copyOut) node(ctx context.Context, conn *backend.Conn, texts []string, w *copyWriter, failed *atomic.Bool) (count int64, err error) {
	for _, text := range texts {
		conn.SendQuery(text)
	}
	for range texts {
		tag, err := out.task(ctx, conn, w)
		if err != nil {
			return count, err
		}
		if failed.Load() {
			return count, errStop // another node's error is the one to report
		}
		count += tagCount(tag)
	}
	return count, nil
}

// drainCopy deals with what a failure leaves unread. Unless the session goes on with the connection it is given up, which also ends
// the node's work.
func drainCopy(ctx context.Context, conn *backend.Conn, keep bool) {
	if conn.Err() != nil || conn.Pending() == 0 {
		return
	}
	if !keep {
		conn.Abandon()
		return
	}
	ctx = context.WithoutCancel(ctx)
	for conn.Pending() > 0 && conn.Err() == nil {
		conn.Cancel(ctx)
		for unit := conn.Pending(); conn.Pending() == unit && conn.Err() == nil; {
			if _, err := conn.Receive(ctx); err != nil {
				return
			}
		}
	}
}

// task passes the rows of one task on.
func (out *copyOut) task(ctx context.Context, conn *backend.Conn, w *copyWriter) (tag string, failure error) {
	if out.options.format == copyfmt.Binary {
		return out.binaryTask(ctx, conn, w)
	}
	err := conn.Relay(ctx, w, func(m backend.Message) backend.Verdict {
		switch m.Type {
		case 'C':
			tag = internTag(m.Body())
		case 'E':
			failure = out.nodeError(m)
		}
		return backend.Drop
	})
	var writing *backend.WriteError
	if errors.As(err, &writing) {
		return "", writing.Unwrap()
	}
	if err != nil {
		return "", err
	}
	return tag, failure
}

// binaryTask passes on the rows of one task in binary format, without the header (which stands in one message with the first row)
// and the trailer.
func (out *copyOut) binaryTask(ctx context.Context, conn *backend.Conn, w *copyWriter) (tag string, failure error) {
	headed := false
	for {
		m, err := conn.Receive(ctx)
		if err != nil {
			return "", err
		}
		switch m.Type {
		case 'd':
			raw := m.Raw
			if !headed {
				headed = true
				const flags, header = 11, 19
				if body := m.Body(); len(body) >= header {
					rest := body[header+int(binary.BigEndian.Uint32(body[flags+4:])):]
					raw = appendCopyData(nil, rest)
				}
			}
			if body := raw[5:]; failure != nil || len(body) == 0 || bytes.Equal(body, []byte{0xff, 0xff}) {
				continue
			}
			_, failure = w.Write(raw)
		case 'C':
			tag = internTag(m.Body())
		case 'E':
			failure = out.nodeError(m)
		case 'Z':
			return tag, failure
		}
	}
}

// copyWriter gathers one node's CopyData messages and writes them to the client, which several nodes share, in pieces that are
// whole messages. The rest of a message too large to be kept is written as it comes, while the other nodes wait.
type copyWriter struct {
	mu     *sync.Mutex
	client io.Writer

	buffer  []byte
	whole   int // of buffer, how much consists of whole messages
	through int // bytes of a large message still to be passed on, with mu held
}

const (
	copyWriteSize = 64 << 10
	copyKeepMost  = 1 << 20
)

// Write implements io.Writer.
func (w *copyWriter) Write(p []byte) (int, error) {
	n := len(p)
	if w.through > 0 {
		part := min(w.through, len(p))
		_, err := w.client.Write(p[:part])
		w.through -= part
		if w.through == 0 || err != nil {
			w.through = 0
			w.mu.Unlock()
		}
		if err != nil {
			return 0, err
		}
		p = p[part:]
	}
	w.buffer = append(w.buffer, p...)
	missing := 0
	for len(w.buffer)-w.whole >= 5 {
		size := 1 + int(binary.BigEndian.Uint32(w.buffer[w.whole+1:]))
		if missing = size - (len(w.buffer) - w.whole); missing > 0 {
			break
		}
		w.whole += size
		missing = 0
	}
	if missing > 0 && missing+len(w.buffer)-w.whole > copyKeepMost {
		w.mu.Lock()
		if _, err := w.client.Write(w.buffer); err != nil {
			w.mu.Unlock()
			return 0, err
		}
		w.buffer, w.whole, w.through = w.buffer[:0], 0, missing
		return n, nil
	}
	if w.whole >= copyWriteSize {
		if err := w.flush(); err != nil {
			return 0, err
		}
	}
	return n, nil
}

// flush writes the whole messages gathered.
func (w *copyWriter) flush() error {
	if w.through > 0 { // the node failed within a message; so will the client's connection
		w.through = 0
		w.mu.Unlock()
		return nil
	}
	if w.whole == 0 {
		return nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	_, err := w.client.Write(w.buffer[:w.whole])
	w.buffer = w.buffer[:copy(w.buffer, w.buffer[w.whole:])]
	w.whole = 0
	return err
}
