package sql

import (
	"reflect"
	"sync"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Walk calls visit for a message and, where visit returns true, for all messages below it, in the order of the fields. A *Node
// is only a wrapper: visit sees the *Node (and may put another content into it), then the content's fields, not the content
// itself a second time.
func Walk(m proto.Message, visit func(proto.Message) bool) {
	if m == nil || reflect.ValueOf(m).IsNil() || !visit(m) {
		return
	}
	if n, ok := m.(*Node); ok {
		if n.Node != nil {
			walkFields(reflect.ValueOf(n.Node).Elem().Field(0), visit)
		}
		return
	}
	walkFields(reflect.ValueOf(m), visit)
}

// walkFields walks what is below the message that a pointer points at. It goes by Go's own reflection: protobuf's takes several times
// as long, and walking is much of what planning does.
func walkFields(pointer reflect.Value, visit func(proto.Message) bool) {
	if pointer.IsNil() {
		return
	}
	v := pointer.Elem()
	for _, i := range messageFields(v.Type()) {
		field := v.Field(i)
		switch field.Kind() {
		case reflect.Slice:
			if nodes, ok := field.Addr().Interface().(*[]*Node); ok {
				for _, n := range *nodes {
					Walk(n, visit)
				}
				continue
			}
			for j := range field.Len() {
				Walk(field.Index(j).Interface().(proto.Message), visit)
			}
		case reflect.Interface: // one of several fields
			if !field.IsNil() {
				if inner, ok := field.Elem().Elem().Field(0).Interface().(proto.Message); ok {
					Walk(inner, visit)
				}
			}
		default:
			if !field.IsNil() {
				Walk(field.Interface().(proto.Message), visit)
			}
		}
	}
}

// knownFields are the answers of messageFields, by type.
var knownFields sync.Map

var messageType = reflect.TypeFor[proto.Message]()

// messageFields lists the fields of a message's type that hold other messages.
func messageFields(t reflect.Type) []int {
	if known, ok := knownFields.Load(t); ok {
		return known.([]int)
	}
	var fields []int
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		of := f.Type
		if of.Kind() == reflect.Slice {
			of = of.Elem()
		}
		if of.Kind() == reflect.Interface || of.Kind() == reflect.Pointer && of.Implements(messageType) {
			fields = append(fields, i)
		}
	}
	knownFields.Store(t, fields)
	return fields
}

// SameKind tells whether two expressions are of one kind at their top: both function calls, say.
func SameKind(a, b *Node) bool { return reflect.TypeOf(a.GetNode()) == reflect.TypeOf(b.GetNode()) }

// Equal tells whether two expressions are written alike, wherever they stand in the text.
func Equal(a, b *Node) bool {
	return SameKind(a, b) && proto.Equal(withoutLocations(a), withoutLocations(b))
}

func withoutLocations(n *Node) *Node {
	n = Clone(n)
	Walk(n, func(m proto.Message) bool {
		if w, ok := m.(*Node); ok {
			if w.Node == nil {
				return false
			}
			w.ProtoReflect().Range(func(_ protoreflect.FieldDescriptor, v protoreflect.Value) bool {
				clearLocation(v.Message())
				return false
			})
			return true
		}
		clearLocation(m.ProtoReflect())
		return true
	})
	return n
}

func clearLocation(m protoreflect.Message) {
	if field := m.Descriptor().Fields().ByName("location"); field != nil {
		m.Clear(field)
	}
}

// Strings gives the names in a list of String nodes: a qualified name, an operator's name, a column reference's fields. A star
// comes out as "*".
func Strings(list []*Node) []string {
	names := make([]string, 0, len(list))
	for _, n := range list {
		switch {
		case n.GetString_() != nil:
			names = append(names, n.GetString_().Sval)
		case n.GetAStar() != nil:
			names = append(names, "*")
		}
	}
	return names
}

// StringNodes is the reverse of Strings, without stars.
func StringNodes(names ...string) []*Node {
	list := make([]*Node, len(names))
	for i, name := range names {
		list[i] = pg.MakeStrNode(name)
	}
	return list
}

// Column makes a column reference.
func Column(names ...string) *Node {
	return &Node{Node: &pg.Node_ColumnRef{ColumnRef: &ColumnRef{Fields: StringNodes(names...), Location: -1}}}
}

// Star makes "rel.*", or "*" when rel is empty.
func Star(rel string) *Node {
	fields := []*Node{{Node: &pg.Node_AStar{AStar: &pg.A_Star{}}}}
	if rel != "" {
		fields = append(StringNodes(rel), fields...)
	}
	return &Node{Node: &pg.Node_ColumnRef{ColumnRef: &ColumnRef{Fields: fields, Location: -1}}}
}

// Target makes an item of a target list: expr AS name.
func Target(name string, expr *Node) *Node {
	return &Node{Node: &pg.Node_ResTarget{ResTarget: &ResTarget{Name: name, Val: expr, Location: -1}}}
}

// Call makes a function call.
func Call(names []string, args ...*Node) *Node {
	return &Node{Node: &pg.Node_FuncCall{FuncCall: &FuncCall{Funcname: StringNodes(names...), Args: args,
		Funcformat: pg.CoercionForm_COERCE_EXPLICIT_CALL, Location: -1}}}
}

// Cast makes arg::name.
func Cast(arg *Node, names ...string) *Node {
	return &Node{Node: &pg.Node_TypeCast{TypeCast: &TypeCast{Arg: arg, Location: -1,
		TypeName: &TypeName{Names: StringNodes(names...), Typemod: -1, Location: -1}}}}
}

// Operator makes "left op right".
func Operator(left *Node, op string, right *Node) *Node {
	return &Node{Node: &pg.Node_AExpr{AExpr: &AExpr{Kind: ExprOp, Name: StringNodes(op), Lexpr: left, Rexpr: right, Location: -1}}}
}

// NotDistinct makes left IS NOT DISTINCT FROM right.
func NotDistinct(left, right *Node) *Node {
	n := Operator(left, "=", right)
	n.GetAExpr().Kind = pg.A_Expr_Kind_AEXPR_NOT_DISTINCT
	return n
}

// And joins conditions; nil for none.
func And(conditions ...*Node) *Node {
	switch len(conditions) {
	case 0:
		return nil
	case 1:
		return conditions[0]
	}
	return &Node{Node: &pg.Node_BoolExpr{BoolExpr: &BoolExpr{Boolop: BoolAnd, Args: conditions, Location: -1}}}
}

// Table makes an item of a FROM clause. An empty alias leaves it out.
func Table(schema, name, alias string) *Node {
	v := &RangeVar{Schemaname: schema, Relname: name, Inh: true, Relpersistence: "p", Location: -1}
	if alias != "" {
		v.Alias = &Alias{Aliasname: alias}
	}
	return &Node{Node: &pg.Node_RangeVar{RangeVar: v}}
}

// Subquery makes an item of a FROM clause of a SELECT.
func Subquery(sel *SelectStmt, alias *Alias, lateral bool) *Node {
	return &Node{Node: &pg.Node_RangeSubselect{RangeSubselect: &RangeSubselect{Lateral: lateral, Subquery: SelectNode(sel), Alias: alias}}}
}

// SelectNode wraps a SELECT.
func SelectNode(sel *SelectStmt) *Node {
	return &Node{Node: &pg.Node_SelectStmt{SelectStmt: sel}}
}

// Select makes a plain SELECT.
func Select(targets, from []*Node, where *Node) *SelectStmt {
	return &SelectStmt{TargetList: targets, FromClause: from, WhereClause: where, LimitOption: LimitDefault, Op: SetopNone}
}

// Param makes $n.
func Param(n int) *Node {
	return &Node{Node: &pg.Node_ParamRef{ParamRef: &ParamRef{Number: int32(n), Location: -1}}}
}

// Integer makes an integer constant.
func Integer(i int) *Node { return pg.MakeAConstIntNode(int64(i), -1) }

// Text makes a string constant.
func Text(s string) *Node { return pg.MakeAConstStrNode(s, -1) }

// Int makes an integer constant.
func Int(n int) *Node { return pg.MakeAConstIntNode(int64(n), -1) }

// Coalesce makes COALESCE(args…).
func Coalesce(args ...*Node) *Node {
	return &Node{Node: &pg.Node_CoalesceExpr{CoalesceExpr: &pg.CoalesceExpr{Args: args, Location: -1}}}
}

// NullIf makes NULLIF(a, b).
func NullIf(a, b *Node) *Node {
	return &Node{Node: &pg.Node_AExpr{AExpr: &AExpr{Kind: pg.A_Expr_Kind_AEXPR_NULLIF, Name: StringNodes("="), Lexpr: a, Rexpr: b, Location: -1}}}
}

// IsDistinct makes "a IS DISTINCT FROM b".
func IsDistinct(a, b *Node) *Node {
	return &Node{Node: &pg.Node_AExpr{AExpr: &AExpr{Kind: pg.A_Expr_Kind_AEXPR_DISTINCT, Name: StringNodes("="), Lexpr: a, Rexpr: b, Location: -1}}}
}

// Field makes "(row).name".
func Field(row *Node, name string) *Node {
	return &Node{Node: &pg.Node_AIndirection{AIndirection: &pg.A_Indirection{Arg: row, Indirection: StringNodes(name)}}}
}

// Collate makes expr COLLATE collation, which is a quoted name.
func Collate(expr *Node, collation string) *Node {
	stmts, err := Parse("SELECT NULL COLLATE " + collation)
	if err != nil {
		return expr
	}
	clause := stmts[0].Tree.GetSelectStmt().TargetList[0].GetResTarget().Val
	clause.GetCollateClause().Arg = expr
	return clause
}

// SortByNode wraps an ORDER BY item's content.
func SortByNode(by *SortBy) *pg.Node_SortBy { return &pg.Node_SortBy{SortBy: by} }

// CallNode wraps a function call.
func CallNode(call *FuncCall) *Node { return &Node{Node: &pg.Node_FuncCall{FuncCall: call}} }

// RangeVarNode wraps a relation's name.
func RangeVarNode(v *RangeVar) *pg.Node_RangeVar { return &pg.Node_RangeVar{RangeVar: v} }

// ValuesNode makes VALUES of one row.
func ValuesNode(row []*Node) *Node {
	return SelectNode(&SelectStmt{ValuesLists: []*Node{ListNode(row)}, LimitOption: LimitDefault, Op: SetopNone})
}

// ListNode makes a list of expressions.
func ListNode(items []*Node) *Node { return &Node{Node: &pg.Node_List{List: &pg.List{Items: items}}} }

// InsertNode wraps an INSERT.
func InsertNode(insert *InsertStmt) *pg.Node_InsertStmt {
	return &pg.Node_InsertStmt{InsertStmt: insert}
}

// Null makes the constant NULL.
func Null() *Node {
	return &Node{Node: &pg.Node_AConst{AConst: &AConst{Isnull: true, Location: -1}}}
}

// Boolean makes the constant true or false.
func Boolean(b bool) *Node {
	return &Node{Node: &pg.Node_AConst{AConst: &AConst{Val: &pg.A_Const_Boolval{Boolval: &pg.Boolean{Boolval: b}}, Location: -1}}}
}

// OnConflictReplace makes ON CONFLICT (key) DO UPDATE SET column = EXCLUDED.column for all columns.
func OnConflictReplace(key, columns []string) *OnConflictClause {
	infer := &pg.InferClause{Location: -1}
	for _, name := range key {
		infer.IndexElems = append(infer.IndexElems, &Node{Node: &pg.Node_IndexElem{IndexElem: &pg.IndexElem{Name: name,
			Ordering: SortDefault, NullsOrdering: NullsDefault}}})
	}
	clause := &OnConflictClause{Action: OnConflictUpdate, Infer: infer, Location: -1}
	for _, name := range columns {
		clause.TargetList = append(clause.TargetList, Target(name, Column("excluded", name)))
	}
	return clause
}

// ScalarSubquery makes (SELECT …) as an expression.
func ScalarSubquery(sel *SelectStmt) *Node {
	return &Node{Node: &pg.Node_SubLink{SubLink: &SubLink{SubLinkType: SublinkExpr, Subselect: SelectNode(sel), Location: -1}}}
}

// ForUpdate makes FOR UPDATE OF a FROM item.
func ForUpdate(alias string) *Node {
	return &Node{Node: &pg.Node_LockingClause{LockingClause: &pg.LockingClause{LockedRels: []*Node{Table("", alias, "")},
		Strength: pg.LockClauseStrength_LCS_FORUPDATE, WaitPolicy: pg.LockWaitPolicy_LockWaitBlock}}}
}

// RowNumber makes row_number() OVER ().
func RowNumber() *Node {
	call := Call([]string{"pg_catalog", "row_number"})
	call.GetFuncCall().Over = &WindowDef{FrameOptions: 1058, Location: -1} // FRAMEOPTION_DEFAULTS of parsenodes.h
	return call
}

// Row makes ROW(…) of the expressions of targets.
func Row(targets []*Node) *Node {
	row := &pg.RowExpr{RowFormat: pg.CoercionForm_COERCE_EXPLICIT_CALL, Location: -1}
	for _, t := range targets {
		row.Args = append(row.Args, t.GetResTarget().Val)
	}
	return &Node{Node: &pg.Node_RowExpr{RowExpr: row}}
}

// TableNode wraps a relation's name.
func TableNode(v *RangeVar) *Node { return &Node{Node: RangeVarNode(v)} }

// DeleteNode makes a DELETE.
func DeleteNode(from *RangeVar, using []*Node, where *Node, returning []*Node, with *WithClause) *Node {
	return &Node{Node: &pg.Node_DeleteStmt{DeleteStmt: &DeleteStmt{Relation: from, UsingClause: using, WhereClause: where,
		ReturningList: returning, WithClause: with}}}
}

// Or joins conditions by OR.
func Or(conditions ...*Node) *Node {
	return &Node{Node: &pg.Node_BoolExpr{BoolExpr: &pg.BoolExpr{Boolop: BoolOr, Args: conditions, Location: -1}}}
}

// In makes "test IN (query)".
func In(test *Node, query *SelectStmt) *Node {
	return &Node{Node: &pg.Node_SubLink{SubLink: &pg.SubLink{SubLinkType: pg.SubLinkType_ANY_SUBLINK, Testexpr: test, Subselect: SelectNode(query)}}}
}
