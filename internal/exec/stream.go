package exec

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strconv"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
)

// errStop is what a row function returns when it wants no more rows; receive then reads on without it.
var errStop = errors.New("no more rows are wanted")

// drainQuietly is how many bytes of unwanted rows are read before the node is asked to stop sending.
const drainQuietly = 256 << 10

// form is how one statement is sent to nodes.
type form struct {
	formats []int16 // result formats as in a Bind message
	columns int     // the number of columns its rows must have, -1 if it is not known
	hidden  int     // how many of them, the last, are hidden
	exact   bool    // the statement is for the coordinator, whose types those of the parameters are
	reuse   bool    // worth preparing by name: its text will come again
	costly  bool    // planned over many tables: worth preparing by name if its text comes again
	early   bool    // the node is to say at once that it has bound the statement, which is when it has taken its snapshot
}

func allText(formats []int16) bool {
	for _, f := range formats {
		if f != 0 {
			return false
		}
	}
	return true
}

// send buffers a statement on a connection. Its answer ends with one ReadyForQuery.
func (x *execution) send(c *backend.Conn, text []byte, f *form) {
	reuse := !x.bind.Once && (f.reuse || f.costly && c.Recurs(text))
	if !reuse && !f.early && !x.bind.Extended && len(x.bind.Params) == 0 && allText(f.formats) {
		x.env.message = appendQuery(x.env.message[:0], text)
		c.SendRaw(x.env.message)
		return
	}
	m := x.env.message[:0]
	var name string
	known := false
	if reuse {
		x.env.key = x.statementKey(x.env.key[:0], text)
		name, known = c.Prepared(x.env.key)
	}
	if !known {
		m = x.appendParse(m, name, text, f.exact)
	}
	m = x.appendBind(m, name, f.formats)
	if f.early {
		m = append(m, 'H', 0, 0, 0, 4)
	}
	if !known {
		m = append(m, 'D', 0, 0, 0, 6, 'P', 0) // so that the number of columns is seen once
	}
	m = append(m, 'E', 0, 0, 0, 9, 0, 0, 0, 0, 0, 'S', 0, 0, 0, 4)
	c.SendRaw(m)
	x.env.message = m
}

// statementKey appends what names a statement on a connection: its text and the types of all of the client's parameters, which tasks of other
// statements with the same text need not share, whether they use them or not. When definitions have changed it is another one: a prepared statement whose result
// would have other columns than it had cannot be run.
func (x *execution) statementKey(key, text []byte) []byte {
	key = append(append(key, text...), 0)
	for _, oid := range x.prepared.Params {
		key = binary.BigEndian.AppendUint32(key, oid)
	}
	return binary.BigEndian.AppendUint64(key, x.snapshot.Fingerprint)
}

func appendQuery(m, text []byte) []byte {
	m = append(m, 'Q')
	m = binary.BigEndian.AppendUint32(m, uint32(len(text)+5))
	m = append(m, text...)
	return append(m, 0)
}

func (x *execution) appendParse(m []byte, name string, text []byte, exact bool) []byte {
	start := len(m)
	m = append(m, 'P', 0, 0, 0, 0)
	m = append(m, name...)
	m = append(m, 0)
	if exact {
		m = append(m, text...)
	} else {
		m = x.appendTyped(m, text)
	}
	m = append(m, 0)
	oids := x.prepared.Params
	m = binary.BigEndian.AppendUint16(m, uint16(len(oids)))
	for i, oid := range oids {
		if !exact {
			oid = nodeType(oid, i+1, text)
		}
		m = binary.BigEndian.AppendUint32(m, oid)
	}
	binary.BigEndian.PutUint32(m[start+1:], uint32(len(m)-start-1))
	return m
}

// firstUserOID is PostgreSQL's FirstNormalObjectId: types below it have the same OID on every node, others need not.
const firstUserOID = 16384

// nodeType is the type that a node is told for a parameter: the coordinator's where nodes agree on its OID. A user's type the text
// names (appendTyped), unless it does not use the parameter, which then may be anything.
func nodeType(oid uint32, number int, text []byte) uint32 {
	if oid < firstUserOID {
		return oid
	}
	if !usesParam(text, number) {
		return 25
	}
	return 0
}

// appendTyped appends a statement's text with a cast around each parameter of a type that users made, whose OID differs by node. Left
// to infer the type, a node would take a composite value for an anonymous record, and find no function for a polymorphic argument.
func (x *execution) appendTyped(m, text []byte) []byte {
	if !slices.ContainsFunc(x.prepared.Params, func(oid uint32) bool { return oid >= firstUserOID }) {
		return append(m, text...)
	}
	var scanned sql.Scanned
	if !sql.Scan(string(text), &scanned) {
		return append(m, text...)
	}
	end := 0
	for _, p := range scanned.Parameters {
		name := x.typeOnNodes(p.Number)
		if name == "" {
			continue
		}
		m = append(append(m, text[end:p.Start]...), '(')
		m = append(append(m, text[p.Start:p.End]...), "::"+name+")"...)
		end = p.End
	}
	return append(m, text[end:]...)
}

// typeOnNodes names a parameter's type if users made it and every node has it. The row type of a table is left out: on nodes it
// goes by the shard's name.
func (x *execution) typeOnNodes(number int) string {
	oid := x.paramType(number)
	t := x.snapshot.Types[oid]
	if oid < firstUserOID || t == nil {
		return ""
	}
	of := t
	for of != nil && of.Category == 'A' && of.Element != 0 {
		of = x.snapshot.Types[of.Element]
	}
	if of == nil {
		return ""
	}
	if r := x.snapshot.Relations[catalog.Name{Schema: of.Schema, Name: of.Name}]; of.Kind == 'c' && (r == nil || r.RelKind != 'c') {
		return ""
	}
	return t.SQL
}

func usesParam(text []byte, number int) bool {
	want := strconv.Itoa(number)
	for i := 0; i+len(want) < len(text); i++ {
		if text[i] != '$' || string(text[i+1:i+1+len(want)]) != want {
			continue
		}
		if end := i + 1 + len(want); end == len(text) || text[end] < '0' || text[end] > '9' {
			return true
		}
	}
	return false
}

func (x *execution) appendBind(m []byte, name string, formats []int16) []byte {
	start := len(m)
	m = append(m, 'B', 0, 0, 0, 0, 0)
	m = append(m, name...)
	m = append(m, 0)
	m = binary.BigEndian.AppendUint16(m, uint16(len(x.bind.ParamFormats)))
	for _, f := range x.bind.ParamFormats {
		m = binary.BigEndian.AppendUint16(m, uint16(f))
	}
	m = binary.BigEndian.AppendUint16(m, uint16(len(x.bind.Params)))
	for _, v := range x.bind.Params {
		if v == nil {
			m = append(m, 0xff, 0xff, 0xff, 0xff)
			continue
		}
		m = binary.BigEndian.AppendUint32(m, uint32(len(v)))
		m = append(m, v...)
	}
	m = binary.BigEndian.AppendUint16(m, uint16(len(formats)))
	for _, f := range formats {
		m = binary.BigEndian.AppendUint16(m, uint16(f))
	}
	binary.BigEndian.PutUint32(m[start+1:], uint32(len(m)-start-1))
	return m
}

// receive reads the answer to one statement up to ReadyForQuery and gives its command tag. When row fails, reading ends at once
// and the connection is left unfit for use, unless it failed with errStop.
func (x *execution) receive(ctx context.Context, c *backend.Conn, f *form, row func(raw []byte) error) (string, error) {
	var tag string
	var failure error
	stopped, unwanted, bound := false, 0, false
	for {
		m, err := c.Receive(ctx)
		if err != nil {
			return "", err
		}
		switch m.Type {
		case 'D':
			if stopped || failure != nil {
				if unwanted += len(m.Raw); unwanted > drainQuietly && !x.env.Tx.InBlock() {
					// Cheaper than reading on; and a cancel request might hit a later statement.
					c.Close()
					return tag, failure
				}
				continue
			}
			if f.columns >= 0 && len(m.Raw) >= 7 && int(binary.BigEndian.Uint16(m.Raw[5:])) != f.columns {
				failure = columnsDiffer(f.columns, int(binary.BigEndian.Uint16(m.Raw[5:])))
				continue
			}
			if err := row(m.Raw); err != nil {
				if !errors.Is(err, errStop) {
					return "", err
				}
				stopped = true
			}
		case 'C':
			tag = internTag(m.Body())
		case 'T':
			if n := int(binary.BigEndian.Uint16(m.Raw[5:])); f.columns >= 0 && n != f.columns && failure == nil {
				failure = columnsDiffer(f.columns, n)
			}
		case '2':
			bound = true
		case 'E':
			if failure == nil && !stopped {
				failure = x.bindError(bound, x.taskError(c, m))
			}
		case 'G', 'H', 'W':
			return "", sql.Errorf("0A000", "COPY cannot be used here")
		case 'Z':
			return tag, failure
		}
	}
}

func columnsDiffer(want, have int) error {
	return &sql.Error{
		Code:    "XX000",
		Message: "a node's answer does not have the columns that the coordinator describes",
		Detail:  "Expected " + strconv.Itoa(want) + " columns and got " + strconv.Itoa(have) + ".",
		Hint:    "The definitions of a table may differ between nodes.",
	}
}

// relay is receive for rows that go to the client as they are.
func (x *execution) relay(ctx context.Context, c *backend.Conn, f *form, out io.Writer) (string, error) {
	var tag string
	var failure error
	bound := false
	err := c.Relay(ctx, out, func(m backend.Message) backend.Verdict {
		switch m.Type {
		case '2':
			bound = true
		case 'C':
			tag = internTag(m.Body())
		case 'T':
			if n := int(binary.BigEndian.Uint16(m.Raw[5:])); f.columns >= 0 && n != f.columns && failure == nil {
				failure = columnsDiffer(f.columns, n)
				return backend.Stop
			}
		case 'E':
			if failure == nil {
				failure = x.bindError(bound, x.taskError(c, m))
			}
		case 'G', 'H', 'W':
			failure = sql.Errorf("0A000", "COPY cannot be used here")
			return backend.Stop
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

// internTag gives a CommandComplete's text, the frequent ones without allocating.
func internTag(body []byte) string {
	if len(body) > 0 {
		body = body[:len(body)-1]
	}
	switch string(body) {
	case "SELECT 1":
		return "SELECT 1"
	case "SELECT 0":
		return "SELECT 0"
	case "INSERT 0 1":
		return "INSERT 0 1"
	case "UPDATE 1":
		return "UPDATE 1"
	case "UPDATE 0":
		return "UPDATE 0"
	case "DELETE 1":
		return "DELETE 1"
	case "BEGIN":
		return "BEGIN"
	case "COMMIT":
		return "COMMIT"
	}
	return string(body)
}

// single runs a template as one statement on one node, its rows going straight on.
func (x *execution) single(ctx context.Context, node int32, t plan.Template, at place, f *form, writes bool, out RowWriter) (string, error) {
	at.node = node
	atHome, err := x.reader(ctx, t, node)
	if err != nil {
		return "", err
	}
	text, err := x.render(x.env.text[:0], t, at)
	if err != nil {
		return "", err
	}
	x.env.text = text[:0]
	f.reuse = f.reuse && recurs(t)
	c, release, err := x.borrow(ctx, node, atHome)
	if err != nil {
		return "", err
	}
	defer release()
	return x.on(ctx, c, node, text, f, writes, out)
}

// recurs tells whether a template gives the same text again for the same statement: it must not hold rows or values of its own.
func recurs(t plan.Template) bool {
	for i := range t {
		if t[i].Kind == plan.PieceIntermediate || t[i].Kind == plan.PieceSequence {
			return false
		}
	}
	return true
}

// one runs a text on one node.
func (x *execution) one(ctx context.Context, node int32, text []byte, f *form, writes bool, out RowWriter) (string, error) {
	c, release, err := x.env.Tx.Borrow(ctx, node)
	if err != nil {
		return "", err
	}
	defer release()
	return x.on(ctx, c, node, text, f, writes, out)
}

// on runs a text on a connection to a node.
func (x *execution) on(ctx context.Context, c *backend.Conn, node int32, text []byte, f *form, writes bool, out RowWriter) (string, error) {
	if writes {
		x.env.Tx.MarkWrite(node)
	}
	f.exact = node == catalog.CoordinatorGroup
	x.send(c, text, f)
	if w, ok := out.(io.Writer); ok {
		return x.relay(ctx, c, f, w)
	}
	return x.receive(ctx, c, f, out.Row)
}

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }
