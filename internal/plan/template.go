package plan

import (
	"sort"
	"strconv"
	"strings"

	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// literalSlots is the first number of the parameters that stand for literals in a tree on its way to a template. No statement
// can have that many parameters of its own: the protocol counts them in 16 bits.
const literalSlots = 1_000_000

// template writes a tree as SQL with slots: its table markers, intermediate results, and the constants of the client's text.
func (p *planner) template(tree *sql.Node) (Template, error) {
	tree = sql.Clone(tree)
	negative := map[int]bool{}
	numbers := map[*sql.Node]bool{} // output columns' numbers: they are no values
	sql.Walk(tree, func(m proto.Message) bool {
		if sel := selectOf(m); sel != nil {
			notePositions(numbers, sel.GroupClause)
			notePositions(numbers, sel.DistinctClause)
			notePositions(numbers, sel.SortClause)
		}
		if v, ok := rangeVar(m); ok {
			showTable(v)
		}
		n, ok := m.(*sql.Node)
		if !ok {
			_, isType := m.(*sql.TypeName)
			return !isType // the constants of type modifiers are part of the type
		}
		switch {
		case numbers[n]:
			return false
		case n.GetColumnRef() != nil:
			dropSchema(n.GetColumnRef())
		case n.GetAConst() != nil && !n.GetAConst().Isnull:
			if index, minus, ok := p.literalAt(n.GetAConst().Location); ok {
				n.Node = sql.Param(literalSlots + index).Node
				negative[index] = minus
			}
		}
		return true
	})
	text, err := deparse(tree)
	if err != nil {
		return nil, err
	}
	return p.cut(text, negative), nil
}

func selectOf(m proto.Message) *sql.SelectStmt {
	switch m := m.(type) {
	case *sql.Node:
		return m.GetSelectStmt()
	case *sql.SelectStmt:
		return m
	}
	return nil
}

// notePositions notes the integer constants that number output columns in GROUP BY, DISTINCT ON or ORDER BY.
func notePositions(numbers map[*sql.Node]bool, list []*sql.Node) {
	for _, n := range list {
		if by := n.GetSortBy(); by != nil {
			n = by.Node
		}
		if set := n.GetGroupingSet(); set != nil {
			notePositions(numbers, set.Content)
		}
		if row := n.GetRowExpr(); row != nil {
			notePositions(numbers, row.Args)
		}
		if isPosition(n) {
			numbers[n] = true
		}
	}
}

// modifierLiterals gives the literals of the text that stand in type modifiers, as 10 in varchar(10). They are part of the types
// that the client is told, so plans are not shared between texts that differ in them.
func (p *planner) modifierLiterals(tree proto.Message) []int {
	var found []int
	sql.Walk(tree, func(m proto.Message) bool {
		t, ok := m.(*sql.TypeName)
		if !ok {
			return true
		}
		for _, n := range t.Typmods {
			if c := n.GetAConst(); c != nil {
				if index, _, ok := p.literalAt(c.Location); ok {
					found = append(found, index)
				}
			}
		}
		return false
	})
	return found
}

func isPosition(e *sql.Node) bool {
	_, ok := position(e)
	return ok
}

// deparse writes any tree: statements as they are, expressions by way of a SELECT.
func deparse(tree *sql.Node) (string, error) {
	if isStatement(tree) {
		return sql.Deparse(tree)
	}
	text, err := sql.Deparse(sql.SelectNode(sql.Select([]*sql.Node{sql.Target("", tree)}, nil, nil)))
	return strings.TrimPrefix(text, "SELECT "), err
}

func isStatement(n *sql.Node) bool {
	return n.GetSelectStmt() != nil || n.GetInsertStmt() != nil || n.GetUpdateStmt() != nil || n.GetDeleteStmt() != nil ||
		n.GetMergeStmt() != nil || n.GetCreateTableAsStmt() != nil
}

// showTable turns the marker that binding left in a reference's catalog name into the slot's name, and keeps the name that the
// statement knows the table by.
func showTable(v *sql.RangeVar) {
	if !strings.HasPrefix(v.Catalogname, "{{table ") {
		return
	}
	if v.Alias == nil {
		v.Alias = &sql.Alias{Aliasname: v.Relname}
	}
	v.Relname, v.Catalogname, v.Schemaname = v.Catalogname, "", ""
}

// dropSchema turns schema.table.column into table.column: on a node the table has another schema.
func dropSchema(ref *sql.ColumnRef) {
	if len(ref.Fields) > 2 {
		ref.Fields = ref.Fields[len(ref.Fields)-2:]
	}
}

// cut finds the slots in deparsed text.
func (p *planner) cut(text string, negative map[int]bool) Template {
	var t Template
	flush := func(s string) {
		if s != "" {
			t = append(t, Piece{Kind: PieceText, Text: s})
		}
	}
	rest := text
	for i := 0; i < len(rest); {
		switch {
		case strings.HasPrefix(rest[i:], `"{{`):
			end := strings.Index(rest[i:], `}}"`)
			fields := strings.Fields(rest[i+3 : i+end])
			piece := Piece{Index: atoi(fields[1])}
			switch fields[0] {
			case "table":
				piece.Kind = PieceTable
			case "rows":
				piece.Kind = PieceIntermediate
			case "type":
				piece.Kind, piece.Column = PieceType, atoi(fields[2])
			case "sequence":
				piece.Kind, piece.Text = PieceSequence, p.sequences[piece.Index]
				piece.Index = 0
			}
			flush(rest[:i])
			t = append(t, piece)
			rest, i = rest[i+end+3:], 0
		case rest[i] == '\'' || rest[i] == '"':
			i += quoted(rest[i:])
		case rest[i] == '$' && i+7 < len(rest) && isDigits(rest[i+1:i+8]):
			j := i + 1
			for j < len(rest) && rest[j] >= '0' && rest[j] <= '9' {
				j++
			}
			index := atoi(rest[i+1:j]) - literalSlots
			if negative[index] { // in parentheses, whatever binds closer than a sign
				flush(rest[:i] + "(-")
				t = append(t, Piece{Kind: PieceLiteral, Index: index})
				rest, i = ")"+rest[j:], 0
				continue
			}
			flush(rest[:i])
			t = append(t, Piece{Kind: PieceLiteral, Index: index})
			rest, i = rest[j:], 0
		default:
			i++
		}
	}
	flush(rest)
	return t
}

// quoted gives the length of the quoted thing that s starts with. The deparser doubles quotes, and writes backslashes only in
// E'…' constants, where a doubled one cannot end the constant.
func quoted(s string) int {
	quote := s[0]
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '\\' && quote == '\'' && i+1 < len(s) && (s[i+1] == '\\'):
			i++
		case s[i] == quote && i+1 < len(s) && s[i+1] == quote:
			i++
		case s[i] == quote:
			return i + 1
		}
	}
	return len(s)
}

func isDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

func atoi(s string) int {
	i, _ := strconv.Atoi(s)
	return i
}

// splice makes a template of the client's own text by putting slots in place of table names and constants.
func (p *planner) splice(marks []mark) Template {
	text := p.stmt.Text
	for i, l := range p.literals {
		marks = append(marks, mark{l.Start, l.End, []Piece{{Kind: PieceLiteral, Index: i}}})
	}
	sort.Slice(marks, func(i, j int) bool { return marks[i].start < marks[j].start })
	var t Template
	at := 0
	for _, m := range marks {
		if m.start < at {
			continue
		}
		if m.start > at {
			t = append(t, Piece{Kind: PieceText, Text: text[at:m.start]})
		}
		t = append(t, m.pieces...)
		at = m.end
	}
	if tail := strings.TrimRight(text[at:], "; \n\t\r"); tail != "" {
		t = append(t, Piece{Kind: PieceText, Text: tail})
	}
	return t
}

// mark is a stretch of the client's text to be replaced.
type mark struct {
	start, end int
	pieces     []Piece
}

// tableMarks finds the references to marked tables in a tree, and the columns that are qualified by a schema.
func (p *planner) tableMarks(tree proto.Message) (marks []mark, ok bool) {
	ok = true
	sql.Walk(tree, func(m proto.Message) bool {
		if v, isTable := rangeVar(m); isTable && strings.HasPrefix(v.Catalogname, "{{table ") {
			if v.Location < 0 {
				ok = false
				return false
			}
			names := 1
			if v.Schemaname != "" {
				names++
			}
			index := atoi(strings.TrimSuffix(strings.TrimPrefix(v.Catalogname, "{{table "), "}}"))
			end := nameEnd(p.stmt.Text, int(v.Location), names)
			pieces := []Piece{{Kind: PieceTable, Index: index}}
			marks = append(marks, mark{int(v.Location), end, pieces})
		}
		if n, isNode := m.(*sql.Node); isNode && n.GetColumnRef() != nil {
			ref := n.GetColumnRef()
			if extra := len(ref.Fields) - 2; extra > 0 {
				if ref.Location < 0 {
					ok = false
					return false
				}
				end := nameEnd(p.stmt.Text, int(ref.Location), extra)
				for end < len(p.stmt.Text) && p.stmt.Text[end] != '.' {
					end++
				}
				marks = append(marks, mark{int(ref.Location), end + 1, nil})
			}
		}
		return true
	})
	return marks, ok
}

// nameEnd gives the offset after a dotted name of so many parts that starts at an offset.
func nameEnd(text string, at, parts int) int {
	for part := 0; part < parts; part++ {
		if part > 0 {
			for text[at] != '.' {
				at++
			}
			at++
			for text[at] == ' ' || text[at] == '\n' || text[at] == '\t' {
				at++
			}
		}
		if text[at] == '"' {
			at += quoted(text[at:])
			continue
		}
		for at < len(text) && identifierByte(text[at]) {
			at++
		}
	}
	return at
}

func identifierByte(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// fixed gives the literals of the text that none of the templates has a slot for: their values are part of the plan.
func (p *planner) fixed(templates []Template) []int {
	used := make([]bool, len(p.literals))
	for _, t := range templates {
		for _, piece := range t {
			if piece.Kind == PieceLiteral {
				used[piece.Index] = true
			}
		}
	}
	var fixed []int
	for i, u := range used {
		if !u {
			fixed = append(fixed, i)
		}
	}
	return fixed
}
