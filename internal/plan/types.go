package plan

import (
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// OIDs of built-in types (pg_type.dat); they are the same on every server.
const (
	boolOID        = 16
	byteaOID       = 17
	int8OID        = 20
	int2OID        = 21
	int4OID        = 23
	textOID        = 25
	oidOID         = 26
	float4OID      = 700
	float8OID      = 701
	moneyOID       = 790
	bpcharOID      = 1042
	bitOID         = 1560
	charOID        = 18 // "char"
	varcharOID     = 1043
	dateOID        = 1082
	timeOID        = 1083
	timestampOID   = 1114
	timestamptzOID = 1184
	intervalOID    = 1186
	numericOID     = 1700
	uuidOID        = 2950
	regprocOID     = 24
)

// mergeable are the types by which Go merges sorted streams.
var mergeable = map[uint32]bool{int2OID: true, int4OID: true, int8OID: true, oidOID: true, boolOID: true, float4OID: true,
	float8OID: true, dateOID: true, timestampOID: true, timestamptzOID: true, uuidOID: true}

// numberRank orders the number types by PostgreSQL's implicit casts: an operator over two of them works in the higher.
var numberRank = map[uint32]int{int2OID: 1, int4OID: 2, int8OID: 3, numericOID: 4, float4OID: 5, float8OID: 6}

var rankNumber = [...]uint32{0, int2OID, int4OID, int8OID, numericOID, float4OID, float8OID}

func (p *planner) baseType(oid uint32) uint32 {
	for {
		t := p.catalog.Types[oid]
		if t == nil || t.Kind != 'd' {
			return oid
		}
		oid = t.Base
	}
}

// wholeRowType gives the type of a reference to a table's row as one value, 0 for any other reference.
func (p *planner) wholeRowType(b *block, e *sql.Node) uint32 {
	names := sql.Strings(e.GetColumnRef().Fields)
	r, _ := b.lookupRel(names[0])
	if _, _, column := b.lookup(names); column || len(names) > 1 || r == nil || r.table == nil {
		return 0
	}
	for oid, t := range p.catalog.Types {
		if t.Kind == 'c' && t.Schema == r.table.Schema && t.Name == r.table.Name {
			return oid
		}
	}
	return 0
}

// exprType gives the type of an expression where it is plain to see, else 0. It serves choices for which PostgreSQL cannot be
// asked, and every such choice has a correct fallback for 0.
func (p *planner) exprType(b *block, e *sql.Node) uint32 {
	switch {
	case e == nil:
		return 0
	case e.GetColumnRef() != nil:
		if id, ok := b.column(e); ok {
			return id.typ()
		}
		return p.wholeRowType(b, e)
	case e.GetAConst() != nil:
		c := e.GetAConst()
		switch {
		case c.Isnull:
			return 0
		case c.GetIval() != nil:
			return int4OID
		case c.GetBoolval() != nil:
			return boolOID
		case c.GetFval() != nil:
			if literal, _, ok := p.literalAt(c.Location); ok && p.literals[literal].Kind == sql.LiteralBigint {
				return int8OID
			}
			return numericOID
		}
	case e.GetTypeCast() != nil:
		return p.namedType(e.GetTypeCast().TypeName)
	case e.GetAExpr() != nil:
		return p.operatorType(b, e.GetAExpr())
	case e.GetFuncCall() != nil:
		return p.callType(b, e.GetFuncCall())
	case e.GetCoalesceExpr() != nil:
		return p.commonType(b, e.GetCoalesceExpr().Args)
	case e.GetMinMaxExpr() != nil:
		return p.commonType(b, e.GetMinMaxExpr().Args)
	case e.GetCaseExpr() != nil:
		c := e.GetCaseExpr()
		var results []*sql.Node
		for _, when := range c.Args {
			results = append(results, when.GetCaseWhen().GetResult())
		}
		if c.Defresult != nil {
			results = append(results, c.Defresult)
		}
		return p.commonType(b, results)
	case e.GetBoolExpr() != nil, e.GetNullTest() != nil, e.GetBooleanTest() != nil:
		return boolOID
	case e.GetSubLink() != nil && e.GetSubLink().SubLinkType == sql.SublinkExists:
		return boolOID
	}
	return 0
}

// commonType is the type of alternatives that are all of one type; NULLs adapt.
func (p *planner) commonType(b *block, exprs []*sql.Node) uint32 {
	common := uint32(0)
	for _, e := range exprs {
		if e.GetAConst() != nil && e.GetAConst().Isnull {
			continue
		}
		t := p.exprType(b, e)
		switch {
		case t == 0 || common != 0 && t != common && (numberRank[t] == 0 || numberRank[common] == 0):
			return 0
		case common == 0 || numberRank[t] > numberRank[common]:
			common = t
		}
	}
	return common
}

func (p *planner) operatorType(b *block, x *sql.AExpr) uint32 {
	names := sql.Strings(x.Name)
	op := names[len(names)-1]
	if p.catalog.Operators[op] {
		return 0
	}
	if x.Kind != sql.ExprOp {
		if x.Kind.String() == "AEXPR_NULLIF" {
			return p.exprType(b, x.Lexpr)
		}
		return boolOID
	}
	switch op {
	case "=", "<>", "<", ">", "<=", ">=":
		return boolOID
	case "+", "-", "*", "/", "%":
		if x.Lexpr == nil {
			return p.exprType(b, x.Rexpr)
		}
		l, r := p.baseType(p.exprType(b, x.Lexpr)), p.baseType(p.exprType(b, x.Rexpr))
		// An untyped string beside a number is read as that number's type; but that is rare, and 0 is safe.
		if numberRank[l] == 0 || numberRank[r] == 0 {
			return 0
		}
		if l == float4OID && r == numericOID || l == numericOID && r == float4OID {
			return float8OID
		}
		return rankNumber[max(numberRank[l], numberRank[r])]
	}
	return 0
}

// callType is the result type that all overloads of a function agree on.
func (p *planner) callType(b *block, call *sql.FuncCall) uint32 {
	names := sql.Strings(call.Funcname)
	name := names[len(names)-1]
	arg := uint32(0)
	if len(call.Args) > 0 {
		arg = p.baseType(p.exprType(b, call.Args[0]))
	}
	switch name {
	case "count":
		return int8OID
	case "sum":
		switch arg {
		case int2OID, int4OID:
			return int8OID
		case int8OID, numericOID:
			return numericOID
		}
		return arg
	case "avg":
		switch arg {
		case int2OID, int4OID, int8OID, numericOID:
			return numericOID
		case float4OID, float8OID:
			return float8OID
		}
		return arg
	case "min", "max":
		return arg
	case "date_trunc":
		if len(call.Args) > 1 {
			return p.exprType(b, call.Args[1])
		}
		return 0
	}
	result := uint32(0)
	for _, f := range p.catalog.Functions[name] {
		t := p.catalog.Types[f.Result]
		if t == nil || t.Kind == 'p' || result != 0 && result != f.Result {
			return 0
		}
		result = f.Result
	}
	return result
}

// typeAliases are SQL's names for types that the parser leaves unqualified or that catalogs know by another name.
func (p *planner) namedType(t *sql.TypeName) uint32 {
	if t == nil || len(t.ArrayBounds) > 0 || t.Setof {
		return 0
	}
	names := sql.Strings(t.Names)
	if len(names) == 0 {
		return 0
	}
	schema, name := "", names[len(names)-1]
	if len(names) > 1 {
		schema = names[len(names)-2]
	}
	wanted := catalog.Name{Schema: schema, Name: name}
	oid, known := p.types[wanted]
	if !known {
		oid = p.findType(wanted)
		if p.types == nil {
			p.types = map[catalog.Name]uint32{}
		}
		p.types[wanted] = oid
	}
	return oid
}

func (p *planner) findType(wanted catalog.Name) uint32 {
	found := uint32(0)
	for oid, known := range p.catalog.Types {
		if known.Name != wanted.Name {
			continue
		}
		if known.Schema == wanted.Schema || wanted.Schema == "" && known.Schema == "pg_catalog" {
			return oid
		}
		if wanted.Schema == "" {
			found = oid
		}
	}
	return found
}

// constant tells whether an expression has one value for the whole statement, which can be read as a distribution value of type typ.
func (p *planner) constant(e *sql.Node, typ uint32) (Value, bool) {
	base := p.baseType(typ)
	as := base
	switch {
	case integers[base]:
		as = int8OID // equal integers of any width have equal hashes
	case base == float4OID:
		as = float8OID // likewise
	}
	switch {
	case e.GetParamRef() != nil:
		return Value{Kind: ValueParam, Index: int(e.GetParamRef().Number), Type: as}, true
	case e.GetAConst() != nil:
		c := e.GetAConst()
		if c.Isnull {
			return Value{Kind: ValueNull, Type: as}, true
		}
		index, negative, ok := p.literalAt(c.Location)
		if !ok {
			if c.GetBoolval() != nil && base == boolOID {
				text := "f"
				if c.GetBoolval().Boolval {
					text = "t"
				}
				return Value{Kind: ValueConst, Text: text, Type: as}, true
			}
			return Value{}, false
		}
		kind := p.literals[index].Kind
		switch {
		case kind == sql.LiteralString,
			kind == sql.LiteralInteger && numberRank[base] > 0,
			kind == sql.LiteralBigint && numberRank[base] > 0,
			kind == sql.LiteralNumeric && (base == numericOID || base == float8OID || base == float4OID):
			return Value{Kind: ValueLiteral, Index: index, Negative: negative, Type: as}, true
		}
		return Value{}, false
	case e.GetTypeCast() != nil:
		cast := e.GetTypeCast()
		named := p.baseType(p.namedType(cast.TypeName))
		if !p.sameHash(named, typ) || len(cast.TypeName.Typmods) > 0 {
			return Value{}, false
		}
		if arg := cast.Arg; arg.GetAConst() != nil && !arg.GetAConst().Isnull || arg.GetParamRef() != nil {
			if v, ok := p.constant(arg, named); ok {
				return v, true
			}
		}
	}
	if p.dependsOnRows(e) || p.volatileBelow(e) || !p.sameHash(p.exprType(&block{}, e), typ) {
		return Value{}, false
	}
	text, err := p.template(e)
	if err != nil {
		return Value{}, false
	}
	return Value{Kind: ValueSQL, SQL: text, Type: as}, true
}

// literalAt finds the literal of the statement's text that a constant in the tree stands for. A negative number's location is
// that of its sign.
func (p *planner) literalAt(location int32) (index int, negative, ok bool) {
	if location < 0 || int(location) >= len(p.stmt.Text) {
		return 0, false, false
	}
	at := int(location)
	if p.stmt.Text[at] == '-' {
		negative = true
		at++
		for at < len(p.stmt.Text) && (p.stmt.Text[at] == ' ' || p.stmt.Text[at] == '\t' || p.stmt.Text[at] == '\n') {
			at++
		}
	}
	for i, l := range p.literals {
		if l.Start == at {
			return i, negative, true
		}
	}
	return 0, false, false
}
