package exec

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
)

// home is the connection to a node that holds the temporary tables of one statement. What reads them runs on it.
type home struct {
	conn    *backend.Conn
	release func()
	tables  []string
}

// dropPatience is how long the end of a statement waits for its temporary tables to be dropped, before their connections are closed.
const dropPatience = 5 * time.Second

// home gives the connection that holds the statement's temporary tables on a node, with the session's settings.
func (x *execution) home(ctx context.Context, node int32) (*home, error) {
	h := x.homes[node]
	if h == nil {
		if x.homes == nil && x.env.Holders != nil {
			select {
			case x.env.Holders <- struct{}{}:
			case <-ctx.Done():
				return nil, context.Cause(ctx)
			}
			x.holds = true
		}
		conn, release, err := x.env.Tx.Borrow(ctx, node)
		if err != nil {
			return nil, err
		}
		h = &home{conn: conn, release: release}
		if x.homes == nil {
			x.homes = map[int32]*home{}
		}
		x.homes[node] = h
		return h, nil
	}
	return h, h.conn.Apply(ctx, x.env.Tx.Settings(), false)
}

// borrow lends a connection to a node: the one that holds the statement's temporary tables, or any.
func (x *execution) borrow(ctx context.Context, node int32, atHome bool) (*backend.Conn, func(), error) {
	if !atHome {
		return x.env.Tx.Borrow(ctx, node)
	}
	h, err := x.home(ctx, node)
	if err != nil {
		return nil, nil, err
	}
	return h.conn, func() {}, nil
}

// closeHomes drops the temporary tables, on all nodes at once, and gives the connections back. One on which that fails is reset, or
// closed if it is unfit for anything.
func (x *execution) closeHomes(ctx context.Context) {
	if x.holds {
		defer func() { <-x.env.Holders }()
		x.holds = false
	}
	if len(x.homes) == 0 {
		return
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), dropPatience)
	defer stop()
	for _, h := range x.homes {
		if h.conn.Err() == nil && h.conn.Idle() && h.conn.TxStatus() == 'I' {
			h.conn.SendQuery(unflushed + "DROP TABLE IF EXISTS " + strings.Join(h.tables, ", "))
			h.conn.Flush()
		}
	}
	for _, h := range x.homes {
		if h.conn.Err() == nil && h.conn.Pending() > 0 {
			if _, err := h.conn.Collect(ctx); err == nil && h.conn != x.env.Tx.Pinned() {
				h.conn.MarkClean()
			}
		}
		h.release()
	}
	x.homes = nil
}

// reader gives the connection on which a template has to run on a node, nil for any: where it reads large intermediate results, these
// have been brought to a temporary table there. Inside a transaction block they are written into the statements instead: a
// transaction that used temporary tables cannot be prepared for two-phase commit.
func (x *execution) reader(ctx context.Context, t plan.Template, nodes ...int32) (found bool, err error) {
	for _, index := range x.inTables(t) {
		im := x.results[index]
		found = true
		var missing []int32
		for _, node := range nodes {
			if _, there := im.tables[node]; !there && !slices.Contains(missing, node) {
				missing = append(missing, node)
			}
		}
		if im.ship != nil || len(missing) == 0 {
			continue
		}
		if err := x.copyEverywhere(ctx, im, index, missing); err != nil {
			return false, err
		}
	}
	return found, nil
}

// inTables lists the intermediate results that a template reads from temporary tables.
func (x *execution) inTables(t plan.Template) []int {
	if x.env.Tx.InBlock() {
		return nil
	}
	limit := int64(inlineLimit)
	if slices.ContainsFunc(t, func(p plan.Piece) bool { return p.Kind == plan.PieceTable }) {
		limit = inlineJoinLimit
	}
	var found []int
	for _, piece := range t {
		if piece.Kind != plan.PieceIntermediate || piece.Index >= len(x.results) {
			continue
		}
		im := x.results[piece.Index]
		if im == nil || im.ship == nil && (im.Rows == nil || im.Rows.Size() <= limit || len(im.Names) == 0) {
			continue
		}
		found = append(found, piece.Index)
	}
	return found
}

// copyEverywhere brings all rows of an intermediate result to temporary tables on some nodes.
func (x *execution) copyEverywhere(ctx context.Context, im *Intermediate, index int, nodes []int32) error {
	w, err := x.openTables(ctx, im, index, nodes)
	if err != nil {
		return err
	}
	if err := im.Rows.Each(w.everywhere); err != nil {
		w.abort()
		return err
	}
	return w.finish(ctx)
}

// repartition runs a subplan and sends each of its rows to the node where the shard group of its hash is, as they come: unless it reads
// temporary tables, whose connections cannot take rows while they give some. Then the rows are kept in between.
func (x *execution) repartition(ctx context.Context, g *plan.Gather, im *Intermediate, index int, f *form) error {
	var nodes []int32
	for _, group := range im.spread.Groups {
		if !slices.Contains(nodes, group.GroupID) {
			nodes = append(nodes, group.GroupID)
		}
	}
	each := func(row func(raw []byte) error) error {
		_, err := x.gather(ctx, g, f, rowFunc(row))
		return err
	}
	if len(x.inTables(g.SQL)) > 0 {
		kept := NewSpool(x.env.MaxIntermediate)
		defer kept.Close()
		if err := each(kept.Add); err != nil {
			return err
		}
		each = kept.Each
	}
	w, err := x.openTables(ctx, im, index, nodes)
	if err != nil {
		return err
	}
	err = each(func(raw []byte) error {
		im.count, im.bytes = im.count+1, im.bytes+int64(len(raw))
		if x.env.MaxIntermediate > 0 && im.bytes > x.env.MaxIntermediate {
			return errTooLarge
		}
		return w.byHash(raw)
	})
	if err != nil {
		w.abort()
		return err
	}
	return w.finish(ctx)
}

// tableWriter fills the temporary tables that hold one intermediate result, on several nodes side by side.
type tableWriter struct {
	im     *Intermediate
	tables []*nodeTable
	values [][]byte
}

// nodeTable is the table on one node, with the rows for it that have not been sent yet, as a CopyData message.
type nodeTable struct {
	node int32
	conn *backend.Conn
	data []byte
}

// copyChunk is about how many bytes one CopyData message holds.
const copyChunk = 64 << 10

// Temporary tables are lost with their session anyway, so nobody waits for their definitions to reach the disk; and a sample of some
// thousand rows (300 times the statistics target) tells enough of what is in them.
const (
	unflushed     = "SET LOCAL synchronous_commit TO off; "
	sampleLightly = "SET LOCAL default_statistics_target TO 20; "
)

// openTables makes the tables and begins to fill them. Columns are numbered, as results may have several of one name; the table of a
// repartitioned result has the number of the shard group in column g.
func (x *execution) openTables(ctx context.Context, im *Intermediate, index int, nodes []int32) (*tableWriter, error) {
	name := "trunkline_result_" + strconv.Itoa(index)
	text := []byte(unflushed + sampleLightly + "CREATE TEMPORARY TABLE " + name + " (")
	for i := range im.Names {
		if i > 0 {
			text = append(text, ", "...)
		}
		text = append(text, 'c')
		text = appendInt(text, int64(i+1))
		text = append(text, ' ')
		text = im.appendType(text, i)
	}
	if im.ship != nil {
		text = append(text, ", g integer"...)
	}
	text = append(text, "); COPY pg_temp."+name+" FROM STDIN; "...)
	if im.ship != nil && im.ship.Index {
		text = append(text, "CREATE INDEX ON pg_temp."+name+" (c"+strconv.Itoa(im.ship.Column+1)+"); "...)
	}
	text = append(text, "ANALYZE pg_temp."+name...)
	w := &tableWriter{im: im}
	for _, node := range nodes {
		h, err := x.home(ctx, node)
		if err != nil {
			w.abort()
			return nil, err
		}
		h.conn.MarkDirty()
		h.conn.SendQuery(string(text))
		if err := h.conn.Flush(); err != nil {
			w.abort()
			return nil, err
		}
		h.tables = append(h.tables, "pg_temp."+name)
		w.tables = append(w.tables, &nodeTable{node: node, conn: h.conn, data: append(make([]byte, 0, copyChunk+copyChunk/4), 'd', 0, 0, 0, 0)})
	}
	for _, t := range w.tables {
		if err := t.begin(ctx); err != nil {
			w.abort()
			return nil, err
		}
	}
	if im.tables == nil {
		im.tables = map[int32]string{}
	}
	for _, node := range nodes {
		im.tables[node] = "pg_temp." + name
	}
	return w, nil
}

// begin waits until the node takes rows.
func (t *nodeTable) begin(ctx context.Context) error {
	for {
		m, err := t.conn.Receive(ctx)
		if err != nil {
			return err
		}
		switch m.Type {
		case 'G':
			return nil
		case 'E':
			return drainError(ctx, t.conn, backend.DecodeError(m))
		}
	}
}

func (t *nodeTable) flush() error {
	if len(t.data) == 5 {
		return nil
	}
	binary.BigEndian.PutUint32(t.data[1:], uint32(len(t.data)-1))
	t.conn.SendRaw(t.data)
	t.data = t.data[:5]
	return t.conn.Flush()
}

// everywhere adds a row to all tables.
func (w *tableWriter) everywhere(raw []byte) error {
	var err error
	if w.values, err = splitRow(raw, w.values); err != nil {
		return err
	}
	first := w.tables[0]
	start := len(first.data)
	first.data = appendCopyRow(first.data, w.values)
	for _, t := range w.tables[1:] {
		t.data = append(t.data, first.data[start:]...)
	}
	return w.flushFull()
}

// byHash adds a row, whose last value is its hash, to the table of the node where its shard group is.
func (w *tableWriter) byHash(raw []byte) error {
	var err error
	if w.values, err = splitRow(raw, w.values); err != nil {
		return err
	}
	group, err := w.im.groupOf(w.values)
	if err != nil {
		return err
	}
	node := w.im.spread.Groups[group].GroupID
	for _, t := range w.tables {
		if t.node == node {
			w.values[len(w.values)-1] = strconv.AppendInt(nil, int64(group), 10)
			t.data = appendCopyRow(t.data, w.values)
			if len(t.data) >= copyChunk {
				return t.flush()
			}
			return nil
		}
	}
	return sql.Errorf("XX000", "shard group %d is on none of the nodes that were asked", group)
}

func (w *tableWriter) flushFull() error {
	for _, t := range w.tables {
		if len(t.data) >= copyChunk {
			if err := t.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// abort closes the connections: a COPY under way cannot be ended without waiting for the node.
func (w *tableWriter) abort() {
	for _, t := range w.tables {
		t.conn.Close()
	}
}

// finish sends what is left and waits until all nodes have all rows. If one node fails, the others' answers are read all the same.
func (w *tableWriter) finish(ctx context.Context) error {
	for _, t := range w.tables {
		err := t.flush()
		if err == nil {
			t.conn.Send(&pgproto3.CopyDone{})
			err = t.conn.Flush()
		}
		if err != nil {
			w.abort()
			return err
		}
	}
	var failure error
	for _, t := range w.tables {
		if _, err := t.conn.Collect(ctx); err != nil {
			failure = errors.Join(failure, err)
		}
	}
	return failure
}

// groupOf gives the index of the shard group that a row, whose last value is its hash in binary, goes to.
func (im *Intermediate) groupOf(values [][]byte) (int, error) {
	if len(values) != len(im.Names)+1 || len(values[len(values)-1]) != 4 {
		return 0, sql.Errorf("XX000", "a row to be repartitioned has no hash")
	}
	return im.spread.GroupFor(int32(binary.BigEndian.Uint32(values[len(values)-1]))), nil
}

// bucketed makes the places that rows are sent to where no colocation group says them: one per node that may hold shards.
func bucketed(snapshot *catalog.Snapshot) *catalog.Colocation {
	var nodes []int32
	for _, n := range snapshot.ActivePrimaries() {
		if n.ShouldHaveShards {
			nodes = append(nodes, n.GroupID)
		}
	}
	if len(nodes) == 0 {
		nodes = []int32{catalog.CoordinatorGroup}
	}
	c := &catalog.Colocation{ShardCount: len(nodes)}
	for i, node := range nodes {
		step := int64(1<<32) / int64(len(nodes))
		g := catalog.ShardGroup{ID: int64(-1 - i), GroupID: node, Min: int32(-1<<31 + int64(i)*step), Max: int32(-1<<31 + int64(i+1)*step - 1)}
		if i == len(nodes)-1 {
			g.Max = 1<<31 - 1
		}
		c.Groups = append(c.Groups, g)
	}
	return c
}

// colocation gives a colocation group, or the buckets that stand for one.
func (x *execution) colocation(id int32) *catalog.Colocation {
	if id >= 0 {
		return x.snapshot.Colocations[id]
	}
	if x.buckets == nil {
		x.buckets = bucketed(x.snapshot)
	}
	return x.buckets
}

// appendCopyRow writes a row in COPY's text format.
func appendCopyRow(dst []byte, values [][]byte) []byte {
	for i, v := range values {
		if i > 0 {
			dst = append(dst, '\t')
		}
		if v == nil {
			dst = append(dst, '\\', 'N')
			continue
		}
		for _, c := range v {
			switch c {
			case '\\':
				dst = append(dst, '\\', '\\')
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, c)
			}
		}
	}
	return append(dst, '\n')
}
