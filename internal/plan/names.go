package plan

import (
	"strconv"
	"strings"

	"github.com/trunkline/trunkline/internal/sql"
)

func itoa(i int) string { return strconv.Itoa(i) }

// Names that stand in a syntax tree for slots of a Template. No user's relation can have them without quoting braces.
func intermediateName(index int) string { return "{{rows " + itoa(index) + "}}" }
func tableName(index int) string        { return "{{table " + itoa(index) + "}}" }
func typeName(index, column int) string { return "{{type " + itoa(index) + " " + itoa(column) + "}}" }

func intermediateIndex(name string) (int, bool) {
	rest, ok := strings.CutPrefix(name, "{{rows ")
	if !ok {
		return 0, false
	}
	index, err := strconv.Atoi(strings.TrimSuffix(rest, "}}"))
	return index, err == nil
}

// figureName gives the name that PostgreSQL gives to an unnamed output column (manual, chapter 7.3.2).
func figureName(e *sql.Node) string {
	if name, _ := figure(e); name != "" {
		return name
	}
	return "?column?"
}

// figure also tells how sure the name is: 2 for a real name, 1 for a fallback that a type's name may replace.
func figure(e *sql.Node) (string, int) {
	switch {
	case e == nil:
		return "", 0
	case e.GetColumnRef() != nil:
		names := sql.Strings(e.GetColumnRef().Fields)
		if last := names[len(names)-1]; last != "*" {
			return last, 2
		}
	case e.GetFuncCall() != nil:
		names := sql.Strings(e.GetFuncCall().Funcname)
		return names[len(names)-1], 2
	case e.GetAIndirection() != nil:
		names := sql.Strings(e.GetAIndirection().Indirection)
		if len(names) > 0 && names[len(names)-1] != "*" {
			return names[len(names)-1], 2
		}
		return figure(e.GetAIndirection().Arg)
	case e.GetTypeCast() != nil:
		if name, sure := figure(e.GetTypeCast().Arg); sure > 1 {
			return name, sure
		}
		if names := sql.Strings(e.GetTypeCast().GetTypeName().GetNames()); len(names) > 0 {
			return names[len(names)-1], 1
		}
	case e.GetCollateClause() != nil:
		return figure(e.GetCollateClause().Arg)
	case e.GetCaseExpr() != nil:
		if name, sure := figure(e.GetCaseExpr().Defresult); sure > 1 {
			return name, sure
		}
		return "case", 1
	case e.GetCoalesceExpr() != nil:
		return "coalesce", 2
	case e.GetMinMaxExpr() != nil:
		if e.GetMinMaxExpr().Op.Number() == 1 {
			return "greatest", 2
		}
		return "least", 2
	case e.GetAArrayExpr() != nil:
		return "array", 2
	case e.GetRowExpr() != nil:
		return "row", 2
	case e.GetGroupingFunc() != nil:
		return "grouping", 2
	case e.GetAExpr() != nil && e.GetAExpr().Kind.String() == "AEXPR_NULLIF":
		return "nullif", 2
	case e.GetSqlvalueFunction() != nil:
		op := strings.ToLower(strings.TrimPrefix(e.GetSqlvalueFunction().Op.String(), "SVFOP_"))
		return strings.TrimSuffix(op, "_n"), 2
	case e.GetSubLink() != nil:
		link := e.GetSubLink()
		switch link.SubLinkType {
		case sql.SublinkExists:
			return "exists", 2
		case sql.SublinkArray:
			return "array", 2
		case sql.SublinkExpr:
			sel := link.Subselect.GetSelectStmt()
			for sel != nil && sel.Op != sql.SetopNone {
				sel = sel.Larg
			}
			if sel != nil && len(sel.TargetList) > 0 {
				t := sel.TargetList[0].GetResTarget()
				if t.GetName() != "" {
					return t.GetName(), 2
				}
				return figure(t.GetVal())
			}
		}
	case e.GetXmlSerialize() != nil:
		return "xmlserialize", 2
	}
	return "", 0
}
