package exec

import (
	"context"
	"encoding/binary"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
)

// Prepared is a plan with what the coordinator says of its types: what a session caches and runs. It is shared between sessions
// and never changed.
type Prepared struct {
	Plan   *plan.Plan
	Params []uint32
	Fields []pgproto3.FieldDescription
	// Row is the RowDescription message with all formats text, nil if the statement returns no rows.
	Row []byte

	oids     []*oids                                // of Fields; nil if there are none
	subplans []Intermediate                         // names and types only
	stored   map[*plan.ReferenceWrite]*Intermediate // of those with CopyRows: the rows that the coordinator stored
	emptyTag string                                 // the command tag of a statement that does nothing
}

// Describe asks a node, normally the coordinator, for the types of a statement's parameters and results. declared are the
// parameter types that the client gave, 0 where it leaves them open.
func Describe(ctx context.Context, c *backend.Conn, text string, declared []uint32) (params []uint32, fields []pgproto3.FieldDescription, err error) {
	c.Send(&pgproto3.Parse{Query: text, ParameterOIDs: declared})
	c.Send(&pgproto3.Describe{ObjectType: 'S'})
	c.Send(&pgproto3.Sync{})
	for {
		m, err := c.Receive(ctx)
		if err != nil {
			return nil, nil, err
		}
		switch m.Type {
		case 't':
			body := m.Body()
			for body = body[2:]; len(body) >= 4; body = body[4:] {
				params = append(params, binary.BigEndian.Uint32(body))
			}
		case 'T':
			var description pgproto3.RowDescription
			if err := description.Decode(append([]byte(nil), m.Body()...)); err != nil {
				return nil, nil, err
			}
			fields = append([]pgproto3.FieldDescription{}, description.Fields...) // not nil: rows may have no columns
		case 'E':
			if failure := error(backend.DecodeError(m)); err == nil {
				return nil, nil, drainError(ctx, c, failure)
			}
		case 'Z':
			return params, fields, nil
		}
	}
}

// SameTypes tells whether two results have columns of the same types.
func SameTypes(a, b []pgproto3.FieldDescription) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].DataTypeOID != b[i].DataTypeOID {
			return false
		}
	}
	return true
}

// drainError reads up to ReadyForQuery after an error and gives that error.
func drainError(ctx context.Context, c *backend.Conn, failure error) error {
	for {
		m, err := c.Receive(ctx)
		if err != nil {
			return err
		}
		if m.Type == 'Z' {
			return failure
		}
	}
}

// Prepare asks the coordinator, on c, for the types that a plan needs. verb is the statement's command tag without counts.
func Prepare(ctx context.Context, c *backend.Conn, snapshot *catalog.Snapshot, p *plan.Plan, bind *Bind, declared []uint32, verb string) (*Prepared, error) {
	prepared := &Prepared{Plan: p}
	var err error
	if prepared.Params, prepared.Fields, err = Describe(ctx, c, bind.Text, declared); err != nil {
		return nil, err
	}
	prepared.Row = RowDescription(prepared.Fields, nil)
	prepared.oids = resultOIDs(snapshot, prepared.Fields)
	switch verb {
	case "INSERT":
		prepared.emptyTag = "INSERT 0 0"
	default:
		prepared.emptyTag = verb + " 0"
	}
	full := *bind
	full.Fields = prepared.Fields
	r := renderer{plan: p, bind: &full, snapshot: snapshot}
	for i := range p.Subplans {
		g := &p.Subplans[i]
		im := &Intermediate{}
		if g.Reference != nil {
			im, err = r.describeReference(ctx, c, g.Reference, prepared)
		} else {
			im, err = r.describe(ctx, c, g.SQL, prepared.Params)
		}
		if err != nil {
			return nil, err
		}
		if n := len(im.OIDs) - g.Hidden; n >= 0 {
			im.OIDs, im.Types, im.Names = im.OIDs[:n], im.Types[:n], im.Names[:n]
		}
		if len(g.Columns) == len(im.Names) {
			im.Names = g.Columns
		}
		for j, collation := range g.Collations {
			if j < len(im.Types) && collation != "" && snapshot.Collatable(im.OIDs[j]) {
				im.collate(j, collation)
			}
		}
		r.results = append(r.results, im)
		prepared.subplans = append(prepared.subplans, *im)
	}
	if w, ok := p.Root.(*plan.ReferenceWrite); ok && w.CopyRows {
		if _, err := r.describeReference(ctx, c, w, prepared); err != nil {
			return nil, err
		}
	}
	return prepared, nil
}

// describeReference asks for the columns that a write to a reference table returns, and for those that the coordinator stores.
func (r *renderer) describeReference(ctx context.Context, c *backend.Conn, w *plan.ReferenceWrite, prepared *Prepared) (*Intermediate, error) {
	im, err := r.describe(ctx, c, w.SQL, prepared.Params)
	if err != nil || !w.CopyRows {
		return im, err
	}
	if prepared.stored == nil {
		prepared.stored = map[*plan.ReferenceWrite]*Intermediate{}
	}
	prepared.stored[w] = im
	if w.Returning == nil {
		return &Intermediate{}, nil
	}
	r.results = append(r.results, im)
	defer func() { r.results = r.results[:len(r.results)-1] }()
	return r.describe(ctx, c, w.Returning, prepared.Params)
}

// describe asks for the columns of a template, over the shells of its tables.
func (r *renderer) describe(ctx context.Context, c *backend.Conn, t plan.Template, params []uint32) (*Intermediate, error) {
	text, err := r.render(nil, t, place{types: true})
	if err != nil {
		return nil, err
	}
	_, fields, err := Describe(ctx, c, string(text), params)
	if err != nil {
		return nil, err
	}
	im := &Intermediate{}
	for _, f := range fields {
		if f.DataTypeOID == 2249 || f.DataTypeOID == 2287 {
			return nil, sql.Unsupported("a subquery that returns anonymous records cannot be distributed",
				"Column \""+string(f.Name)+"\" of an intermediate result is of type record, whose text form cannot be read back.",
				"Cast the value to a named composite type, or select its parts.")
		}
		im.Names = append(im.Names, string(f.Name))
		im.OIDs = append(im.OIDs, f.DataTypeOID)
		im.Types = append(im.Types, typeSQL(r.snapshot, f.DataTypeOID))
	}
	return im, nil
}

// RowDescription makes the message that describes a result in the given formats (as in a Bind message), nil for no columns at all.
func RowDescription(fields []pgproto3.FieldDescription, formats []int16) []byte {
	if fields == nil {
		return nil
	}
	own := make([]pgproto3.FieldDescription, len(fields))
	for i, f := range fields {
		f.Format = formatOf(formats, i)
		own[i] = f
	}
	message, err := (&pgproto3.RowDescription{Fields: own}).Encode(nil)
	if err != nil {
		return nil
	}
	return message
}

func formatOf(formats []int16, i int) int16 {
	switch len(formats) {
	case 0:
		return 0
	case 1:
		return formats[0]
	}
	if i < len(formats) {
		return formats[i]
	}
	return 0
}

// Verb gives the command tag of a statement without its counts, "" for those that have none of their own.
func Verb(stmt sql.Statement) string {
	n := stmt.Tree
	switch {
	case n.GetSelectStmt() != nil:
		return "SELECT"
	case n.GetInsertStmt() != nil:
		return "INSERT"
	case n.GetUpdateStmt() != nil:
		return "UPDATE"
	case n.GetDeleteStmt() != nil:
		return "DELETE"
	case n.GetMergeStmt() != nil:
		return "MERGE"
	}
	return ""
}
