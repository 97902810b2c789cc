package session

import (
	"context"
	"strings"

	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/sql"
)

// explain runs EXPLAIN of a distributed statement, or of a prepared statement that the session keeps.
func (s *session) explain(ctx context.Context, e *entry, bind *exec.Bind, out exec.RowWriter) (string, error) {
	n := e.stmt.Tree.GetExplainStmt()
	options, err := explainOptions(n.Options)
	if err != nil {
		return "", err
	}
	var p *prepared
	if execute := n.Query.GetExecuteStmt(); execute != nil {
		if p = s.statements[execute.Name]; p == nil {
			return "", sql.Errorf("26000", "prepared statement \"%s\" does not exist", execute.Name)
		}
		if err := s.fresh(ctx, p); err != nil {
			return "", err
		}
		if p.entry == nil || p.entry.prepared == nil {
			return "", errEmpty
		}
		own := *bind
		if own.Params, err = s.arguments(ctx, execute.Name, execute.Params, p.entry.prepared.Params); err != nil {
			return "", err
		}
		own.ParamFormats = nil
		bind = &own
	} else {
		text, err := sql.Deparse(n.Query)
		if err != nil {
			return "", err
		}
		p = &prepared{text: text}
		if e.prepared != nil {
			p.declared = e.prepared.Params
		}
		if err := s.plan(ctx, p); err != nil {
			return "", err
		}
	}
	inner := &exec.Bind{Text: p.text, Literals: p.literals, Params: bind.Params, ParamFormats: bind.ParamFormats, Extended: bind.Extended}
	if p.entry.passThrough() {
		conn, release, err := s.coordinatorFor(ctx, p.entry)
		if err != nil {
			return "", err
		}
		defer release()
		inner.Text = "EXPLAIN " + options.Text + " " + p.text
		return exec.Direct(ctx, &s.env, conn, p.entry.prepared, inner, out)
	}
	if p.entry.kind != kindQuery {
		return "", sql.Unsupported("EXPLAIN of this statement is not supported on distributed tables", "", "")
	}
	rows, err := exec.Explain(ctx, &s.env, p.entry.prepared, inner, options)
	if err != nil {
		return "", err
	}
	for _, row := range rows {
		if err := out.Row(exec.AppendRow(nil, []byte(row))); err != nil {
			return "", err
		}
	}
	return "EXPLAIN", nil
}

// explainOptions reads EXPLAIN's options, and writes them for the nodes.
func explainOptions(list []*sql.Node) (exec.ExplainOptions, error) {
	o := exec.ExplainOptions{Format: "text"}
	var texts []string
	for _, item := range list {
		d := item.GetDefElem()
		value := "true"
		switch arg := d.GetArg(); {
		case arg == nil:
		case arg.GetString_() != nil:
			value = arg.GetString_().Sval
		case arg.GetInteger() != nil:
			value = itoa(int(arg.GetInteger().Ival))
		case arg.GetBoolean() != nil && !arg.GetBoolean().Boolval:
			value = "false"
		case arg.GetFloat() != nil:
			value = arg.GetFloat().Fval
		}
		switch d.Defname {
		case "analyze":
			o.Analyze = isOn(value)
		case "generic_plan":
			o.Generic = isOn(value)
		case "format":
			o.Format = strings.ToLower(value)
			switch o.Format {
			case "text", "json", "yaml", "xml":
			default:
				return o, sql.Errorf("22023", "unrecognized value for EXPLAIN option \"format\": \"%s\"", value)
			}
		}
		texts = append(texts, strings.ToUpper(d.Defname)+" "+sql.QuoteIdentifier(value))
	}
	if len(texts) > 0 {
		o.Text = "(" + strings.Join(texts, ", ") + ")"
	}
	return o, nil
}
