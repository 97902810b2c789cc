package sql

import (
	"fmt"
	"strconv"
	"strings"

	pg "github.com/pganalyze/pg_query_go/v6"
	"google.golang.org/protobuf/proto"
)

// parserVersion is the version of PostgreSQL that the parser's trees are of; deparsing refuses others.
const parserVersion = 170007

// Deparse writes a tree as SQL text. The parser's own deparser leaves out parentheses that some operands need ("(a OR b) IS NULL"
// would become "a OR b IS NULL"), so such operands are written on their own and put in afterwards, in parentheses.
func Deparse(tree *Node) (string, error) {
	if treeTooDeep(tree) {
		return "", errTooDeep
	}
	if !liftable(tree) {
		return deparse(tree)
	}
	tree = Clone(tree)
	operands := lift(tree)
	text, err := deparse(tree)
	if err != nil {
		return "", err
	}
	written := make([]string, len(operands))
	for i, operand := range operands {
		inner, err := Deparse(SelectNode(Select([]*Node{Target("", operand)}, nil, nil)))
		if err != nil {
			return "", err
		}
		written[i] = "(" + strings.TrimPrefix(inner, "SELECT ") + ")"
	}
	return putIn(text, written)
}

// putIn puts each operand in place of its name, which the text must have once. It goes over the text once, however many there are.
func putIn(text string, operands []string) (string, error) {
	head, tail, _ := strings.Cut(operandName(0), "0")
	head, tail = `"`+head, tail+`"`
	var b strings.Builder
	missing := len(operands)
	for {
		before, after, found := strings.Cut(text, head)
		b.WriteString(before)
		if !found {
			break
		}
		number, rest, _ := strings.Cut(after, tail)
		i, err := strconv.Atoi(number)
		if err != nil || i >= len(operands) { // a name of the statement's own
			b.WriteString(head)
			text = after
			continue
		}
		if operands[i] == "" {
			return "", errOperands
		}
		b.WriteString(operands[i])
		operands[i], text = "", rest
		missing--
	}
	if missing > 0 {
		return "", errOperands
	}
	return b.String(), nil
}

var errOperands = &Error{Code: "XX000", Message: "could not write an expression as text"}

func deparse(tree *Node) (string, error) {
	whole := true
	Walk(tree, func(m proto.Message) bool {
		if a, ok := m.(*Alias); ok && a.Aliasname == "" {
			whole = false // the parser's library would end the process
		}
		return whole
	})
	if !whole {
		return "", Errorf("XX000", "could not write a table's alias as text")
	}
	return pg.Deparse(&pg.ParseResult{Version: parserVersion, Stmts: []*pg.RawStmt{{Stmt: tree}}})
}

// operandName is a column name that stands for an operand. No statement is likely to have it, and none is misread if it does.
func operandName(i int) string { return fmt.Sprintf("{{operand %d}}", i) }

// liftable tells whether any operand needs parentheses of its own.
func liftable(tree *Node) bool {
	found := false
	Walk(tree, func(m proto.Message) bool {
		visitOperands(m, func(*Node) { found = true })
		return !found
	})
	return found
}

// lift takes the outermost operands that need parentheses out of a tree.
func lift(tree *Node) []*Node {
	var operands []*Node
	Walk(tree, func(m proto.Message) bool {
		visitOperands(m, func(n *Node) {
			operands = append(operands, &Node{Node: n.Node})
			n.Node = Column(operandName(len(operands) - 1)).Node
		})
		return true
	})
	return operands
}

// visitOperands calls visit for those operands of an expression that need parentheses of their own.
func visitOperands(m proto.Message, visit func(*Node)) {
	n, ok := m.(*Node)
	if !ok {
		return
	}
	each := func(operands ...*Node) {
		for _, o := range operands {
			if !binds(o) {
				visit(o)
			}
		}
	}
	switch {
	case n.GetAExpr() != nil:
		x := n.GetAExpr()
		if x.Kind == pg.A_Expr_Kind_AEXPR_OP {
			for _, o := range []*Node{x.Lexpr, x.Rexpr} {
				if inner := o.GetAExpr(); inner == nil || inner.Kind != pg.A_Expr_Kind_AEXPR_OP {
					each(o)
				}
			}
			return
		}
		each(x.Lexpr)
		if x.Kind == pg.A_Expr_Kind_AEXPR_SIMILAR {
			each(x.Rexpr.GetFuncCall().GetArgs()...) // written without the call
			return
		}
		if list := x.Rexpr.GetList(); list == nil {
			each(x.Rexpr)
		} else if x.Kind != pg.A_Expr_Kind_AEXPR_IN {
			each(list.Items...)
		}
	case n.GetNullTest() != nil:
		each(n.GetNullTest().Arg)
	case n.GetBooleanTest() != nil:
		each(n.GetBooleanTest().Arg)
	case n.GetCollateClause() != nil:
		each(n.GetCollateClause().Arg)
	case n.GetTypeCast() != nil:
		each(n.GetTypeCast().Arg)
	case n.GetSubLink() != nil:
		each(n.GetSubLink().Testexpr)
	case n.GetJsonIsPredicate() != nil:
		each(n.GetJsonIsPredicate().Expr)
	case n.GetXmlExpr() != nil:
		if n.GetXmlExpr().Op == pg.XmlExprOp_IS_DOCUMENT {
			each(n.GetXmlExpr().Args...)
		}
	case n.GetFuncCall() != nil:
		if n.GetFuncCall().Funcformat == pg.CoercionForm_COERCE_SQL_SYNTAX {
			each(n.GetFuncCall().Args...)
		}
	case n.GetAIndirection() != nil:
		arg := n.GetAIndirection().Arg
		fields := arg.GetColumnRef().GetFields()
		if named := len(fields) > 0 && fields[len(fields)-1].GetAStar() == nil; !named && arg.GetParamRef() == nil {
			visit(arg)
		}
	case n.GetConstraint() != nil:
		if n.GetConstraint().Contype == pg.ConstrType_CONSTR_DEFAULT {
			each(n.GetConstraint().RawExpr)
		}
	}
}

// binds tells whether an expression is written so that any operator may stand beside it.
func binds(n *Node) bool {
	switch {
	case n == nil, n.Node == nil, n.GetColumnRef() != nil, n.GetParamRef() != nil, n.GetAConst() != nil, n.GetCaseExpr() != nil, n.GetRowExpr() != nil,
		n.GetAArrayExpr() != nil, n.GetCoalesceExpr() != nil, n.GetMinMaxExpr() != nil, n.GetList() != nil:
		return true
	case n.GetFuncCall() != nil:
		return n.GetFuncCall().Funcformat != pg.CoercionForm_COERCE_SQL_SYNTAX
	case n.GetSubLink() != nil:
		return n.GetSubLink().Testexpr == nil
	case n.GetTypeCast() != nil:
		return true
	}
	return false
}
