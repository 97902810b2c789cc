package exec

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"unsafe"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/copyfmt"
	"github.com/trunkline/trunkline/internal/sql"
)

// copyIn is one COPY FROM STDIN to a distributed or reference table. One goroutine (the session's) reads the client's data and
// cuts it into rows; it puts each row into the batch of its shard; full batches go to one goroutine per node, which runs each as a
// COPY of its own, all in one transaction. Where a node is slow its queue fills, the session's goroutine waits, and so the client
// does.
type copyIn struct {
	*execution
	stmt    *sql.CopyStmt
	text    string
	table   *catalog.Relation
	client  CopyClient
	options copyOptions

	data     []int           // the columns of the data, as indexes into table.Columns
	fill     []int           // the columns that their sequences fill, appended to each row
	stable   []int           // the columns whose defaults are the same for all rows but not at every moment, appended after those
	extra    []copyfmt.Value // of fill and stable
	names    []string        // of data
	key      catalog.Key
	keyAt    int  // of Row.Fields, the distribution column; -1 if rows are not routed
	noKeys   bool // the data lacks the distribution column, and the table a default for it
	splitter copyfmt.Splitter
	asciiKey bool // only ASCII values of the distribution column are, byte for byte, what the nodes will store

	targets []*copyTarget // parallel to the colocation group's shard groups; one for a reference table
	groups  *catalog.Colocation
	nodes   map[int32]*copyNode
	pool    batchPool
	errors  copyErrors
	batch   int // bytes after which a batch goes off
	hold    bool
	held    heldRows

	coordinator *backend.Conn
	notices     sync.Mutex
	restore     []func() // undoes what was done to connections
	count       int64
}

// copyTarget is where rows go: a shard, or all copies of a reference table.
type copyTarget struct {
	nodes     []int32
	statement []byte // the Query message that begins its COPY
	batch     *copyBatch
	sent      int // batches
}

const (
	copyBatchMax   = 256 << 10
	copyBatchMin   = 16 << 10
	copyBatchTotal = 16 << 20 // bounds what the batches of all shards hold together
)

func newCopyIn(env *Env, stmt sql.Statement, table *catalog.Relation, client CopyClient) (*copyIn, error) {
	c := stmt.Tree.GetCopyStmt()
	in := &copyIn{execution: copyExecution(env, table), stmt: c, text: stmt.Text, table: table, client: client, keyAt: -1, nodes: map[int32]*copyNode{}}
	in.options = readCopyOptions(c)
	var err error
	if in.data, err = copyColumns(table, c); err != nil {
		return nil, err
	}
	given := make([]bool, len(table.Columns))
	for _, i := range in.data {
		in.names = append(in.names, table.Columns[i].Name)
		given[i] = true
	}
	for i := range table.Columns {
		switch column := &table.Columns[i]; {
		case given[i] || column.Generated:
		case column.Sequence != nil:
			in.fill = append(in.fill, i)
		case !column.Volatile && !constantDefault(column):
			in.stable = append(in.stable, i)
		}
	}
	return in, nil
}

// run carries the COPY out, inside a transaction block.
func (in *copyIn) run(ctx context.Context) error {
	var err error
	if in.coordinator, err = in.env.Tx.Conn(ctx, catalog.CoordinatorGroup); err != nil {
		return err
	}
	in.restore = append(in.restore, oneAtATime(in.coordinator, &in.notices))
	defer func() {
		for _, undo := range in.restore {
			undo()
		}
	}()
	if in.table.Kind == catalog.Reference {
		if err := announceReference(ctx, in.env); err != nil {
			return err
		}
	}
	response, err := in.check(ctx)
	if err != nil {
		return err
	}
	if in.table.Kind == catalog.Reference && in.needsStaging() {
		return in.stage(ctx, response)
	}
	if err := in.prepare(); err != nil {
		return err
	}
	if err := in.evaluateStable(ctx); err != nil {
		return err
	}
	if err := in.client.CopyInResponse(response); err != nil {
		return err
	}
	err = in.transfer(ctx)
	for _, n := range in.nodes {
		close(n.work)
	}
	for _, n := range in.nodes {
		<-n.done
		in.count += n.count
	}
	if in.table.Kind == catalog.Reference && len(in.nodes) > 0 {
		in.count = in.nodes[in.targets[0].nodes[0]].count
	}
	if failed := in.errors.get(); failed != nil {
		return failed
	}
	return err
}

// check has the coordinator run the client's own statement over the table's shell without any data: it checks privileges, columns
// and options, and says what the client is told. It must not be given a header that has to match, since there is none.
func (in *copyIn) check(ctx context.Context) (response []byte, err error) {
	if in.options.header == copyfmt.HeaderMatch || in.table.Kind == catalog.Reference || in.options.format == copyfmt.Binary {
		return in.checkOptions(ctx)
	}
	return in.try(ctx, in.text, nil)
}

// checkOptions is check with a statement that stands for the client's.
func (in *copyIn) checkOptions(ctx context.Context) ([]byte, error) {
	text := in.text
	if in.options.header == copyfmt.HeaderMatch {
		var columns []string
		if len(in.stmt.Attlist) > 0 {
			columns = in.names
		}
		where, err := copyWhere(in.stmt)
		if err != nil {
			return nil, err
		}
		text = copyText(string(appendName(nil, in.table.Schema, in.table.Name)), columns, " FROM STDIN"+in.options.shared+where)
	}
	var data []byte
	if in.options.format == copyfmt.Binary {
		s := copyfmt.New(copyfmt.Options{Format: copyfmt.Binary})
		data = append(s.Header(), s.Trailer()...)
	}
	return in.try(ctx, text, data)
}

// announced is what lets a COPY without rows through to a shell (trunkline_internal.refuse_shell).
const announced = "SET LOCAL trunkline.checking = on; "

// try runs a COPY FROM STDIN of no rows on the coordinator with the given data and returns its CopyInResponse.
func (in *copyIn) try(ctx context.Context, text string, data []byte) (response []byte, err error) {
	in.coordinator.SendQuery(announced + text + "\n; SET LOCAL trunkline.checking = off")
	var frames []byte
	if len(data) > 0 {
		frames = appendCopyData(frames, data)
	}
	in.coordinator.SendRaw(append(frames, copyDone...))
	for {
		m, failed := in.coordinator.Receive(ctx)
		if failed != nil {
			return nil, failed
		}
		switch m.Type {
		case 'G':
			response = append([]byte(nil), m.Raw...)
		case 'E':
			err = ShiftPosition(backend.DecodeError(m), -len(announced))
		case 'Z':
			if err == nil && response == nil {
				err = sql.Errorf("XX000", "the coordinator did not accept COPY data")
			}
			return response, err
		}
	}
}

// prepare makes the splitter and the targets.
func (in *copyIn) prepare() error {
	if err := in.checkEncoding(); err != nil {
		return err
	}
	var wanted []int
	if in.table.Kind == catalog.Distributed {
		if err := in.checkMarker(); err != nil {
			return err
		}
		if in.groups = in.snapshot.Colocations[in.table.ColocationID]; in.groups == nil || len(in.groups.Groups) == 0 {
			return noShards(in.table)
		}
		if err := in.findKey(&wanted); err != nil {
			return err
		}
	}
	options := in.options.data(in.names, wanted)
	if version := in.coordinator.Parameter("server_version"); len(version) > 2 && version[0] == '1' && version >= "18" || len(version) > 1 && version[0] >= '2' {
		options.NoMarkerInCSV = true
	}
	in.splitter = copyfmt.New(options)
	if err := in.makeTargets(); err != nil {
		return err
	}
	in.batch = min(copyBatchMax, max(copyBatchMin, copyBatchTotal/len(in.targets)))
	in.hold = len(in.fill) > 0 || in.keyAt >= 0 && !in.hashedHere()
	return nil
}

// findKey finds the distribution column among the data's columns.
func (in *copyIn) findKey(wanted *[]int) error {
	key, ok := in.table.Key()
	if !ok {
		return nil // the table has a single shard
	}
	in.key = key
	for at, column := range in.data {
		if column == in.table.DistColumn {
			*wanted = append(*wanted, at)
			in.keyAt = 0
			return nil
		}
	}
	column := &in.table.Columns[in.table.DistColumn]
	if column.Sequence != nil {
		return nil // routed by the value drawn
	}
	if column.Default == "" {
		in.noKeys = true
		return nil
	}
	return sql.Unsupported("cannot COPY into a distributed table without its distribution column",
		fmt.Sprintf("Column \"%s\" of table \"%s\" would get its default, which decides on the shard.", column.Name, in.table.Name),
		"Give the column's values in the data.")
}

// checkMarker refuses the option DEFAULT where shards do not have the default.
func (in *copyIn) checkMarker() error {
	if in.options.marker == nil {
		return nil
	}
	for _, i := range in.data {
		if c := &in.table.Columns[i]; c.Sequence != nil {
			return sql.Unsupported("cannot COPY with option DEFAULT into a distributed table with a column that a sequence fills",
				fmt.Sprintf("Shards do not have the sequence of column \"%s\" of table \"%s\".", c.Name, in.table.Name),
				"Leave the column out of the list of columns.")
		}
	}
	return nil
}

// limit is the size at which a target's batch goes off. The first ones are small, so that nodes soon have something to do.
func (in *copyIn) limit(target *copyTarget) int {
	return min(in.batch, copyBatchMin<<min(target.sent, 8))
}

// drawnKey tells whether the distribution column is one that a sequence fills, and as which of them.
func (in *copyIn) drawnKey() int {
	if in.groups != nil && in.keyAt < 0 {
		for i, column := range in.fill {
			if column == in.table.DistColumn {
				return i
			}
		}
	}
	return -1
}

// hashedHere tells whether most values of the distribution column can be hashed without asking a node.
func (in *copyIn) hashedHere() bool {
	for _, probe := range []string{"1", "00000000-0000-0000-0000-000000000000", "2000-01-01", "2000-01-01 00:00:00", "2000-01-01 00:00:00+00", "t", `\x00`} {
		if _, ok := in.snapshot.HashText(in.key, probe); ok {
			return true
		}
	}
	return in.options.format == copyfmt.Binary
}

// checkEncoding finds out whether values arrive in the encoding in which they are hashed.
func (in *copyIn) checkEncoding() error {
	client := plainEncoding(in.coordinator.Parameter("client_encoding"))
	server := plainEncoding(in.coordinator.Parameter("server_encoding"))
	own := client
	if in.options.encoding != "" {
		own = plainEncoding(in.options.encoding)
	}
	if unsplittable[own] && in.options.format != copyfmt.Binary {
		return sql.Unsupported("cannot COPY data in encoding "+own+" into a table that is spread over several servers",
			"In this encoding, parts of characters look like delimiters and line ends.", "Set client_encoding to UTF8 and convert the data.")
	}
	in.asciiKey = own != server && own != "SQLASCII" && server != "SQLASCII"
	return nil
}

// makeTargets writes each shard's COPY.
func (in *copyIn) makeTargets() error {
	where, err := copyWhere(in.stmt)
	if err != nil {
		return err
	}
	columns := in.names
	for _, i := range slices.Concat(in.fill, in.stable) {
		columns = append(columns[:len(columns):len(columns)], in.table.Columns[i].Name)
	}
	tail := " FROM STDIN" + in.options.shared + where
	if in.table.Kind == catalog.Reference {
		target := &copyTarget{statement: appendQuery(nil, []byte(copyText(string(appendName(nil, in.table.Schema, in.table.Name)), columns, tail)))}
		for _, node := range in.snapshot.ActivePrimaries() {
			target.nodes = append(target.nodes, node.GroupID)
		}
		in.targets = []*copyTarget{target}
		return nil
	}
	ref := &in.plan.Tables[0]
	for _, group := range in.groups.Groups {
		text := copyText(string(in.shardName(nil, ref, group.ID)), columns, tail)
		in.targets = append(in.targets, &copyTarget{nodes: []int32{group.GroupID}, statement: appendQuery(nil, []byte(text))})
	}
	return nil
}

// transfer reads all of the client's data and sends it on.
func (in *copyIn) transfer(ctx context.Context) error {
	for done := false; !done; {
		data, err := in.client.CopyData(ctx)
		var failed *CopyFailed
		switch {
		case err == io.EOF:
			done = true
			in.splitter.Finish()
		case errors.As(err, &failed):
			return in.where(&pgconn.PgError{Severity: "ERROR", Code: "57014", Message: failed.Error()}, in.splitter.Line()+1, "")
		case err != nil:
			return err
		default:
			in.splitter.Feed(data)
		}
		if err := in.rows(ctx); err != nil {
			return err
		}
		if in.errors.failed() {
			return nil
		}
		if ctx.Err() != nil {
			return in.where(cancelled(ctx), in.splitter.Line()+1, "")
		}
	}
	if err := in.routeHeld(ctx); err != nil {
		return err
	}
	for _, target := range in.targets {
		if err := in.flush(ctx, target); err != nil {
			return err
		}
	}
	return nil
}

// cancelled is why a context ended, as an error for the client.
func cancelled(ctx context.Context) error {
	cause := context.Cause(ctx)
	if stateOf(cause) != "" {
		return cause
	}
	return sql.Errorf("57014", "canceling statement due to user request")
}

// rows takes all whole rows of what has been fed.
func (in *copyIn) rows(ctx context.Context) error {
	var row copyfmt.Row
	for {
		ok, err := in.splitter.Next(&row)
		if err != nil {
			what := ""
			var line *copyfmt.LineError
			if errors.As(err, &line) {
				what = ": \"" + shorten(string(line.Line)) + "\""
			}
			return in.where(err, in.splitter.Line(), what)
		}
		if !ok {
			return nil
		}
		if in.hold {
			in.held.add(&row)
			if in.held.full() {
				if err := in.routeHeld(ctx); err != nil {
					return err
				}
			}
			continue
		}
		at, err := in.route(ctx, &row)
		if err != nil {
			return err
		}
		target := in.targets[at]
		batch := in.begin(target)
		if len(in.extra) > 0 {
			batch.data = in.splitter.Append(batch.data, &row, in.extra)
		} else {
			batch.data = append(batch.data, row.Data...)
		}
		if batch.end(&row) >= in.limit(target) {
			if err := in.flush(ctx, target); err != nil {
				return err
			}
		}
	}
}

// route gives the index of the target of a row.
func (in *copyIn) route(ctx context.Context, row *copyfmt.Row) (int, error) {
	if in.keyAt < 0 {
		return in.unkeyed(), nil
	}
	field := &row.Fields[in.keyAt]
	if missing, err := in.judge(field, row); missing || err != nil {
		return in.groups.GroupFor(catalog.NullHash), err
	}
	if hash, ok, err := in.hash(field.Value); err != nil {
		return 0, in.where(err, row.Line, in.columnContext(field.Value))
	} else if ok {
		return in.groups.GroupFor(hash), nil
	}
	hashes, valid, err := in.askHashes(ctx, [][]byte{field.Value})
	if err != nil {
		return 0, in.where(err, row.Line, in.columnContext(field.Value))
	}
	if !valid[0] {
		return 0, nil
	}
	return in.groups.GroupFor(hashes[0]), nil
}

// unkeyed gives the index of the one target of all rows that are not routed by a value.
func (in *copyIn) unkeyed() int {
	if in.noKeys {
		return in.groups.GroupFor(catalog.NullHash)
	}
	return 0
}

// judge looks for rows that have no distribution value.
func (in *copyIn) judge(field *copyfmt.Field, row *copyfmt.Row) (missing bool, err error) {
	column := &in.table.Columns[in.table.DistColumn]
	switch {
	case field.Missing:
		return false, in.where(sql.Errorf("22P04", "missing data for column \"%s\"", column.Name), row.Line, in.rowContext(row))
	case field.Default:
		return false, in.where(sql.Unsupported("cannot COPY a default of the distribution column into a distributed table",
			fmt.Sprintf("Column \"%s\" of table \"%s\" decides on the shard.", column.Name, in.table.Name), "Give the column's values in the data."),
			row.Line, in.columnContext(nil))
	}
	return field.Null, nil
}

// hash hashes a value of the distribution column if Go can.
func (in *copyIn) hash(value []byte) (int32, bool, error) {
	if in.options.format == copyfmt.Binary {
		if in.asciiKey && !isASCII(value) {
			return 0, false, nil
		}
		hash, ok, err := in.snapshot.HashBinary(in.key, value)
		if err != nil {
			return 0, false, sql.Errorf("22P03", "incorrect binary data format")
		}
		return hash, ok, nil
	}
	if in.asciiKey && !isASCII(value) {
		return 0, false, nil
	}
	// HashText does not keep the string, which saves a copy per row.
	hash, ok := in.snapshot.HashText(in.key, unsafe.String(unsafe.SliceData(value), len(value)))
	return hash, ok, nil
}

func isASCII(b []byte) bool {
	for _, c := range b {
		if c >= 0x80 {
			return false
		}
	}
	return true
}

// where adds the context of an error, as PostgreSQL gives it: line, then what in the line.
func (in *copyIn) where(err error, line int64, what string) error {
	if IsStale(err) || line == 0 {
		return err
	}
	var node *pgconn.PgError
	if !errors.As(err, &node) {
		var own *sql.Error
		if !errors.As(err, &own) {
			return err
		}
		node = &pgconn.PgError{Severity: "ERROR", Code: own.Code, Message: own.Message, Detail: own.Detail, Hint: own.Hint}
	}
	full := *node
	full.Position = 0
	full.Where = "COPY " + in.table.Name + ", line " + string(appendInt(nil, line)) + what
	return &full
}

// rowContext shows a row as PostgreSQL does in the context of an error.
func (in *copyIn) rowContext(row *copyfmt.Row) string {
	if in.options.format == copyfmt.Binary {
		return ""
	}
	return ": \"" + shorten(string(row.Data[:row.Content])) + "\""
}

// columnContext shows a value of the distribution column.
func (in *copyIn) columnContext(value []byte) string {
	what := ", column " + in.table.Columns[in.table.DistColumn].Name
	if in.options.format == copyfmt.Binary || value == nil {
		return what
	}
	return what + ": \"" + shorten(string(value)) + "\""
}

// shorten cuts a text after 100 bytes, at a character's end.
func shorten(s string) string {
	const most = 100 // MAX_COPY_DATA_DISPLAY
	if len(s) <= most {
		return s
	}
	end := most
	for end > 0 && s[end]&0xC0 == 0x80 {
		end--
	}
	return strings.Clone(s[:end]) + "..."
}
