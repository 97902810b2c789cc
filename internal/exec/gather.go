package exec

import (
	"context"
	"encoding/binary"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
)

// task is one statement for one node: the plan's, over some of the node's shard groups.
type task struct {
	node int32
	at   place
}

// lane is one connection with the tasks that it runs, one after the other.
type lane struct {
	conn    *backend.Conn
	release func()
	tasks   []task
}

// rootFormats is the form of the statement whose rows go to the client: its own formats, and hidden columns in binary.
func (x *execution) rootFormats(g *plan.Gather) *form {
	f := &form{formats: x.bind.ResultFormats, columns: len(x.bind.Fields), reuse: x.bind.Reuse}
	if x.bind.Fields == nil {
		f.columns = -1
	}
	if x.plan.Checks > 0 {
		f.columns = max(f.columns, 0)
		f.hide(x.plan.Checks)
		f.hidden = 0 // checkedRows cuts them off
	}
	if g != nil {
		f.hide(g.Hidden)
	}
	return f
}

// hide adds hidden columns, in binary format.
func (f *form) hide(n int) {
	if n == 0 {
		return
	}
	formats := make([]int16, 0, f.columns+n)
	for i := range f.columns {
		formats = append(formats, formatOf(f.formats, i))
	}
	for range n {
		formats = append(formats, 1)
	}
	f.formats = formats
	f.columns += n
	f.hidden = n
}

// gather runs a statement over shard groups and passes all rows on.
func (x *execution) gather(ctx context.Context, g *plan.Gather, f *form, out RowWriter) (string, error) {
	if g.Coordinator {
		return x.single(ctx, catalog.CoordinatorGroup, g.SQL, place{}, f, g.Writes, out)
	}
	groups, err := x.prune(ctx, &g.Pruning)
	if err != nil {
		return "", err
	}
	if len(groups) <= 1 && (g.Hidden == 0 || g.Ship != nil) && g.Limit == nil && g.Offset == nil {
		if len(groups) == 0 {
			return x.single(ctx, catalog.CoordinatorGroup, g.SQL, place{}, f, g.Writes, out)
		}
		return x.single(ctx, groups[0].GroupID, g.SQL, place{groups: groups}, f, g.Writes, out)
	}
	tasks := splitTasks(g, groups)
	var tag string
	run := func() error {
		tag, err = x.runTasks(ctx, g, tasks, f, out)
		return err
	}
	if g.Writes && len(tasks) > 1 {
		err = x.env.Tx.RunAtomically(ctx, run)
	} else {
		err = run()
	}
	return tag, err
}

// splitTasks makes the tasks of a statement: one per node where it is fused, else one per shard group; those of a node stand together.
func splitTasks(g *plan.Gather, groups []catalog.ShardGroup) []task {
	if len(groups) == 0 {
		return []task{{node: catalog.CoordinatorGroup}}
	}
	var nodes []int32
	byNode := map[int32][]catalog.ShardGroup{}
	for _, group := range groups {
		if byNode[group.GroupID] == nil {
			nodes = append(nodes, group.GroupID)
		}
		byNode[group.GroupID] = append(byNode[group.GroupID], group)
	}
	var tasks []task
	for _, node := range nodes {
		own := byNode[node]
		if g.Fuse == plan.FuseNone {
			for i := range own {
				tasks = append(tasks, task{node, place{groups: own[i : i+1], node: node}})
			}
			continue
		}
		tasks = append(tasks, task{node, place{groups: own, node: node}})
	}
	return tasks
}

// renderTask writes a task's statement.
func (x *execution) renderTask(dst []byte, g *plan.Gather, t *task) ([]byte, error) {
	if g.Fuse != plan.FuseArms || len(t.at.groups) < 2 {
		return x.render(dst, g.SQL, t.at)
	}
	dst, err := x.shareRows(dst, g.SQL, t.at)
	if err != nil {
		return nil, err
	}
	for i := range t.at.groups {
		if i > 0 {
			dst = append(dst, " UNION ALL "...)
		}
		dst = append(dst, '(')
		if dst, err = x.render(dst, g.SQL, place{groups: t.at.groups[i : i+1], node: t.node, shared: true, explain: t.at.explain}); err != nil {
			return nil, err
		}
		dst = append(dst, ')')
	}
	for i, k := range g.Merge {
		// Each arm is sorted, their union is not yet.
		if i == 0 {
			dst = append(dst, " ORDER BY "...)
		} else {
			dst = append(dst, ", "...)
		}
		dst = appendIdentifier(dst, plan.SortColumn(k.Column))
		if k.Descending {
			dst = append(dst, " DESC"...)
		}
		if k.NullsFirst {
			dst = append(dst, " NULLS FIRST"...)
		} else {
			dst = append(dst, " NULLS LAST"...)
		}
	}
	return dst, nil
}

// shareRows begins a statement of several arms with the intermediate results that all of them read, so that each is written and made
// only once.
func (x *execution) shareRows(dst []byte, t plan.Template, at place) ([]byte, error) {
	var shared []int
	for _, piece := range t {
		if piece.Kind != plan.PieceIntermediate || slices.Contains(shared, piece.Index) {
			continue
		}
		result, err := x.result(piece.Index)
		if err != nil {
			return nil, err
		}
		if !result.sharable(at) {
			continue
		}
		if shared = append(shared, piece.Index); len(shared) == 1 {
			dst = append(dst, "WITH "...)
		} else {
			dst = append(dst, ", "...)
		}
		dst = appendIdentifier(dst, sharedName(piece.Index))
		dst = append(dst, " AS MATERIALIZED "...)
		if dst, err = result.appendSQL(dst, place{node: at.node, explain: at.explain}); err != nil {
			return nil, err
		}
		dst = append(dst, ' ')
	}
	return dst, nil
}

// sharedName is what the arms of a statement call an intermediate result that they share.
func sharedName(index int) string { return "trunkline rows " + strconv.Itoa(index) }

// open takes connections for tasks and sends all of them off, so that nodes work side by side. Inside a block a node has one
// connection; outside, a read of several tasks per node may use more, unless it locks rows: its tasks would wait for each other.
func (x *execution) open(ctx context.Context, g *plan.Gather, tasks []task, f *form) ([]*lane, error) {
	f.reuse = f.reuse && recurs(g.SQL)
	f.costly = g.Fuse != plan.FuseNone && !g.Writes && recurs(g.SQL)
	perNode := 1
	nodes := make([]int32, len(tasks))
	for i := range tasks {
		nodes[i] = tasks[i].node
	}
	atHome, err := x.reader(ctx, g.SQL, nodes...)
	if err != nil {
		return nil, err
	}
	if !x.env.Tx.InBlock() && !g.Writes && !x.plan.Writes && !atHome {
		perNode = max(1, min(x.env.PoolSize, lanesPerNode))
	}
	var lanes []*lane
	for start := 0; start < len(tasks); {
		end := start
		for end < len(tasks) && tasks[end].node == tasks[start].node {
			end++
		}
		own := tasks[start:end]
		n := min(perNode, len(own))
		for i := range n {
			l := &lane{tasks: own[i*len(own)/n : (i+1)*len(own)/n]}
			if l.conn, l.release, err = x.borrow(ctx, l.tasks[0].node, atHome); err != nil {
				x.closeLanes(ctx, lanes, true)
				return nil, err
			}
			lanes = append(lanes, l)
		}
		start = end
	}
	for _, l := range lanes {
		if err := x.start(ctx, g, l, f); err != nil {
			x.closeLanes(ctx, lanes, true)
			return nil, err
		}
	}
	return lanes, nil
}

// lanesPerNode bounds the connections that one statement of several tasks per node opens to it.
const lanesPerNode = 2

// start sends a lane's tasks.
func (x *execution) start(ctx context.Context, g *plan.Gather, l *lane, f *form) error {
	for i := range l.tasks {
		text, err := x.renderTask(x.env.text[:0], g, &l.tasks[i])
		if err != nil {
			return err
		}
		x.env.text = text[:0]
		if g.Writes {
			x.env.Tx.MarkWrite(l.tasks[i].node)
		}
		x.send(l.conn, text, f)
	}
	return l.conn.Flush()
}

// drainPatience is how long unwanted answers are waited for before their statements are cancelled, which costs a connection each.
const drainPatience = 20 * time.Millisecond

// closeLanes gives connections back, when the answers on them have been read to the end. If the statement failed, what still runs is
// cancelled at once; if its rows are just not wanted any more, after a while. Inside a block only failure cancels, because a
// cancelled statement fails the block.
func (x *execution) closeLanes(ctx context.Context, lanes []*lane, failed bool) {
	patience := drainPatience
	if failed {
		patience = 0
	}
	draining, stop := ctx, context.CancelFunc(func() {})
	for _, l := range lanes {
		if l.conn.Err() == nil && l.conn.Pending() > 0 && (failed || !x.env.Tx.InBlock()) {
			draining, stop = context.WithTimeout(ctx, patience)
			break
		}
	}
	defer stop()
	for _, l := range lanes {
		unwanted := 0
		for l.conn.Err() == nil && l.conn.Pending() > 0 {
			m, err := l.conn.Receive(draining)
			if err != nil {
				break
			}
			if unwanted += len(m.Raw); unwanted > drainQuietly {
				stop()
			}
		}
		l.release()
	}
}

// runTasks runs tasks and passes on their rows: in the order of the tasks, or merged.
func (x *execution) runTasks(ctx context.Context, g *plan.Gather, tasks []task, f *form, out RowWriter) (tag string, err error) {
	limit, offset, err := x.bounds(ctx, g)
	if err != nil {
		return "", err
	}
	instant, err := x.enterInstant(ctx, g, tasks, f)
	if err != nil {
		return "", err
	}
	lanes, err := x.open(ctx, g, tasks, f)
	if err == nil && instant != nil {
		if err = x.allBound(ctx, lanes, instant); err != nil {
			x.closeLanes(ctx, lanes, true)
		}
	} else if instant != nil {
		instant.Leave()
	}
	if err != nil {
		return "", err
	}
	w := &window{out: out, limit: limit, skip: offset, hidden: g.Hidden}
	if g.Ship != nil {
		w.hidden = 0 // whoever places the rows goes by their hash
	}
	defer func() { x.closeLanes(ctx, lanes, err != nil) }()
	if x.snapshot.Moving && len(lanes) > 1 {
		if err = x.allPresent(ctx, lanes); err != nil {
			return "", err
		}
	}
	if len(g.Merge) > 0 && len(tasks) > 1 {
		tag, err = x.merge(ctx, g, lanes, f, w)
	} else {
		tag, err = x.concat(ctx, g, lanes, f, w)
	}
	if err != nil {
		return "", err
	}
	if g.Writes {
		return tag, nil
	}
	return "SELECT " + strconv.FormatInt(w.sent, 10), nil
}

// concat passes the lanes' rows on one lane after the other: while the client is slow, the nodes wait, and nothing piles up here.
func (x *execution) concat(ctx context.Context, g *plan.Gather, lanes []*lane, f *form, w *window) (string, error) {
	raw, direct := w.out.(io.Writer)
	direct = direct && w.hidden == 0 && w.limit < 0 && w.skip == 0
	var total tagSum
	for _, l := range lanes {
		for range l.tasks {
			var tag string
			var err error
			if direct {
				tag, err = x.relay(ctx, l.conn, f, raw)
				w.sent += tagCount(tag)
			} else {
				tag, err = x.receive(ctx, l.conn, f, w.row)
			}
			if err != nil {
				return "", err
			}
			total.add(tag)
			if w.done() {
				return total.String(), nil
			}
		}
	}
	return total.String(), nil
}

// window passes rows on within LIMIT and OFFSET, without hidden columns.
type window struct {
	out    RowWriter
	limit  int64 // -1 for none
	skip   int64
	hidden int
	sent   int64
}

func (w *window) done() bool { return w.limit >= 0 && w.sent >= w.limit }

func (w *window) row(raw []byte) error {
	if w.done() {
		return errStop
	}
	if w.skip > 0 {
		w.skip--
		return nil
	}
	raw, err := cutRow(raw, w.hidden)
	if err != nil {
		return err
	}
	w.sent++
	if err := w.out.Row(raw); err != nil {
		return err
	}
	if w.done() {
		return errStop
	}
	return nil
}

// tagSum adds up the row counts of command tags.
type tagSum struct {
	verb  string
	count int64
}

func (s *tagSum) add(tag string) {
	s.verb = tag
	if i := strings.LastIndexByte(tag, ' '); i >= 0 {
		s.verb = tag[:i]
	}
	s.count += tagCount(tag)
}

func (s *tagSum) String() string {
	if s.verb == "" {
		return ""
	}
	return s.verb + " " + strconv.FormatInt(s.count, 10)
}

// tagCount is the row count that a command tag ends with.
func tagCount(tag string) int64 {
	n, _ := strconv.ParseInt(tag[strings.LastIndexByte(tag, ' ')+1:], 10, 64)
	return n
}

// bounds evaluates LIMIT and OFFSET. limit is -1 for none.
func (x *execution) bounds(ctx context.Context, g *plan.Gather) (limit, offset int64, err error) {
	limit = -1
	if g.Limit != nil {
		n, null, err := x.integer(ctx, g.Limit)
		if err != nil {
			return 0, 0, err
		}
		if !null && n < 0 {
			return 0, 0, sql.Errorf("2201W", "LIMIT must not be negative")
		}
		if !null {
			limit = n
		}
	}
	if g.Offset != nil {
		n, null, err := x.integer(ctx, g.Offset)
		if err != nil {
			return 0, 0, err
		}
		if !null && n < 0 {
			return 0, 0, sql.Errorf("2201X", "OFFSET must not be negative")
		}
		if !null {
			offset = n
		}
	}
	return limit, offset, nil
}

// integer evaluates a value as a bigint.
func (x *execution) integer(ctx context.Context, v *plan.Value) (n int64, null bool, err error) {
	switch v.Kind {
	case plan.ValueNull:
		return 0, true, nil
	case plan.ValueLiteral:
		text := x.literal(v)
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, false, nil
		}
		return x.integerSQL(ctx, []byte(sql.QuoteLiteral(text)+"::numeric"))
	case plan.ValueConst:
		if n, err := strconv.ParseInt(v.Text, 10, 64); err == nil {
			return n, false, nil
		}
		return x.integerSQL(ctx, []byte(sql.QuoteLiteral(v.Text)+"::numeric"))
	case plan.ValueParam:
		if v.Index < 1 || v.Index > len(x.bind.Params) {
			return 0, false, sql.Errorf("08P01", "bind message supplies %d parameters, but the statement requires %d", len(x.bind.Params), v.Index)
		}
		value := x.bind.Params[v.Index-1]
		if value == nil {
			return 0, true, nil
		}
		format := formatOf(x.bind.ParamFormats, v.Index-1)
		if n, ok := integerOf(value, format, x.paramType(v.Index)); ok {
			return n, false, nil
		}
		if format == 1 && len(value) == 8 && x.paramType(v.Index) == 0 {
			return int64(binary.BigEndian.Uint64(value)), false, nil
		}
		return x.integerSQL(ctx, []byte("$"+strconv.Itoa(v.Index)))
	case plan.ValueSQL:
		text, err := x.render(nil, v.SQL, place{})
		if err != nil {
			return 0, false, err
		}
		return x.integerSQL(ctx, text)
	}
	return 0, false, sql.Errorf("XX000", "a value of kind %d cannot bound a result", v.Kind)
}

func (x *execution) integerSQL(ctx context.Context, expression []byte) (n int64, null bool, err error) {
	rows, err := x.ask(ctx, append(append([]byte("SELECT (("), expression...), ")::bigint)::text"...))
	if err != nil {
		return 0, false, err
	}
	if len(rows) != 1 || rows[0][0] == nil {
		return 0, true, nil
	}
	n, err = strconv.ParseInt(string(rows[0][0]), 10, 64)
	return n, false, err
}
