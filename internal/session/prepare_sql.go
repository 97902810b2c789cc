package session

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/sql"
)

// held tells whether a statement concerns prepared statements or cursors that the session keeps by itself. It keeps every prepared
// statement, so that they need no connection of the session's own, and the cursors over distributed tables.
func (s *session) held(e *entry) bool {
	switch e.kind {
	case kindPrepare, kindExecute, kindDeallocate:
		return true
	case kindDeclare:
		return !e.passThrough()
	case kindFetch:
		return s.runs(e.stmt.Tree.GetFetchStmt().Portalname)
	case kindClose:
		name := e.stmt.Tree.GetClosePortalStmt().Portalname
		return s.runs(name) || name == ""
	case kindExplain:
		return e.stmt.Tree.GetExplainStmt().Query.GetExecuteStmt() != nil
	case kindShow:
		_, own := s.showOwn(e)
		return own
	}
	return false
}

// heldFields describes the rows of EXECUTE and FETCH of what the session keeps.
func (s *session) heldFields(e *entry) (fields []pgproto3.FieldDescription, ok bool) {
	switch e.kind {
	case kindExecute:
		p := s.statements[e.stmt.Tree.GetExecuteStmt().Name]
		if p != nil && p.entry != nil && p.entry.prepared != nil {
			return p.entry.prepared.Fields, true
		}
	case kindFetch:
		n := e.stmt.Tree.GetFetchStmt()
		if c := s.cursors[n.Portalname]; c != nil && !n.Ismove {
			return c.fields, true
		}
		if p := s.portals[n.Portalname]; p != nil && !n.Ismove && s.runs(n.Portalname) {
			return s.portalFields(p), true
		}
	case kindShow:
		if s.held(e) {
			return showFields(e), true
		}
	case kindExplain:
		if s.held(e) {
			o, err := explainOptions(e.stmt.Tree.GetExplainStmt().Options)
			oid := map[string]uint32{"text": 25, "yaml": 25, "json": 114, "xml": 142}[o.Format]
			return []pgproto3.FieldDescription{{Name: []byte("QUERY PLAN"), DataTypeOID: oid, DataTypeSize: -1, TypeModifier: -1}}, err == nil
		}
	}
	return nil, false
}

// preparedSQL runs PREPARE, EXECUTE and DEALLOCATE. The names are those of the extended protocol's statements too, as in PostgreSQL.
func (s *session) preparedSQL(ctx context.Context, e *entry, bind *exec.Bind, out exec.RowWriter) (string, error) {
	switch e.kind {
	case kindPrepare:
		return "PREPARE", s.prepareSQL(ctx, e.stmt)
	case kindExecute:
		return s.executeSQL(ctx, e.stmt, bind.ResultFormats, out)
	}
	n := e.stmt.Tree.GetDeallocateStmt()
	if n.Name == "" {
		clear(s.statements)
		return "DEALLOCATE ALL", nil
	}
	if s.statements[n.Name] == nil {
		return "", sql.Errorf("26000", "prepared statement \"%s\" does not exist", n.Name)
	}
	delete(s.statements, n.Name)
	return "DEALLOCATE", nil
}

func (s *session) prepareSQL(ctx context.Context, stmt sql.Statement) error {
	n := stmt.Tree.GetPrepareStmt()
	if s.statements[n.Name] != nil {
		return sql.Errorf("42P05", "prepared statement \"%s\" already exists", n.Name)
	}
	text, err := sql.Deparse(n.Query)
	if err != nil {
		return err
	}
	p := &prepared{text: text, named: true, definition: stmt.Text}
	if len(n.Argtypes) > 0 {
		if p.declared, err = s.typeOIDs(ctx, stmt); err != nil {
			return err
		}
	}
	if err := s.plan(ctx, p); err != nil {
		return err
	}
	s.statements[n.Name] = p
	return nil
}

// typeOIDs asks the coordinator for the parameter types that a PREPARE declares.
func (s *session) typeOIDs(ctx context.Context, stmt sql.Statement) ([]uint32, error) {
	text, err := sql.Deparse(stmt.Tree)
	if err != nil {
		return nil, err
	}
	// PREPARE name (type, …) AS query, of which the name may hold parentheses if it is quoted.
	n := stmt.Tree.GetPrepareStmt()
	text = strings.TrimPrefix(text, "PREPARE ")
	text = strings.TrimPrefix(strings.TrimPrefix(text, sql.QuoteIdentifier(n.Name)), n.Name)
	depth, start := 0, -1
	var types []string
	for i := 0; i < len(text) && (start < 0 || depth > 0); i++ {
		switch text[i] {
		case '(':
			if depth++; depth == 1 {
				start = i + 1
			}
		case ',', ')':
			if depth == 1 {
				types = append(types, text[start:i])
				start = i + 1
			}
			if text[i] == ')' {
				depth--
			}
		}
	}
	conn, release, err := s.borrowCoordinator(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	unknown := map[int]bool{} // left open, as if they were not declared
	for i, t := range types {
		unknown[i] = strings.EqualFold(strings.TrimSpace(t), "unknown")
	}
	query := "SELECT NULL::" + strings.Join(types, ", NULL::")
	_, fields, err := exec.Describe(ctx, conn, query, nil)
	if err != nil {
		return nil, err
	}
	var oids []uint32
	for i, f := range fields {
		if unknown[i] {
			f.DataTypeOID = 0
		}
		oids = append(oids, f.DataTypeOID)
	}
	return oids, nil
}

func (s *session) executeSQL(ctx context.Context, stmt sql.Statement, formats []int16, out exec.RowWriter) (string, error) {
	n := stmt.Tree.GetExecuteStmt()
	p := s.statements[n.Name]
	if p == nil {
		return "", sql.Errorf("26000", "prepared statement \"%s\" does not exist", n.Name)
	}
	if err := s.fresh(ctx, p); err != nil {
		return "", err
	}
	if p.entry == nil {
		return "", errEmpty
	}
	if p.entry.prepared == nil {
		return "", sql.Unsupported("this statement cannot be executed by EXECUTE", "", "")
	}
	params, err := s.arguments(ctx, n.Name, n.Params, p.entry.prepared.Params)
	if err != nil {
		return "", err
	}
	bind := &exec.Bind{Text: p.text, Literals: p.literals, Params: params, ResultFormats: formats, Extended: true, Reuse: true}
	return s.dispatch(ctx, p.entry, bind, out)
}

// arguments has the coordinator evaluate EXECUTE's arguments and bring them to the parameters' types.
func (s *session) arguments(ctx context.Context, name string, expressions []*sql.Node, types []uint32) ([][]byte, error) {
	if len(expressions) != len(types) {
		return nil, &sql.Error{Code: "42601", Message: "wrong number of parameters for prepared statement \"" + name + "\"",
			Detail: "Expected " + itoa(len(types)) + " parameters but got " + itoa(len(expressions)) + "."}
	}
	if len(types) == 0 {
		return nil, nil
	}
	snapshot, err := s.snapshot(ctx)
	if err != nil {
		return nil, err
	}
	var query strings.Builder
	query.WriteString("SELECT ")
	for i, expression := range expressions {
		text, err := deparseExpression(expression)
		if err != nil {
			return nil, err
		}
		if i > 0 {
			query.WriteString(", ")
		}
		query.WriteString("(" + text + ")::" + exec.TypeSQL(snapshot, types[i]))
	}
	conn, release, err := s.borrowCoordinator(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	results, err := conn.Exec(ctx, query.String())
	if err != nil {
		return nil, err
	}
	return results[0].Rows[0], nil
}

// deparseExpression writes an expression as SQL: the parser's library deparses statements only.
func deparseExpression(expression *sql.Node) (string, error) {
	statements, err := sql.Parse("SELECT 1")
	if err != nil {
		return "", err
	}
	statements[0].Tree.GetSelectStmt().TargetList[0].GetResTarget().Val = expression
	text, err := sql.Deparse(statements[0].Tree)
	return strings.TrimPrefix(text, "SELECT "), err
}
