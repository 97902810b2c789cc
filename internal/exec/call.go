package exec

import (
	"context"
	"encoding/json"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
)

// clusterCall carries out the gateway's own functions that a SELECT calls, and then makes the client's rows from what they return.
func (x *execution) clusterCall(ctx context.Context, op *plan.ClusterCall, out RowWriter) (string, error) {
	text, err := x.render(nil, op.Args, place{})
	if err != nil {
		return "", err
	}
	rows, err := x.ask(ctx, text)
	if err != nil {
		return "", err
	}
	base := len(x.results)
	for range op.Calls {
		x.results = append(x.results, &Intermediate{Rows: NewSpool(x.env.MaxIntermediate)})
	}
	if len(rows) == 0 { // made once per row, the calls give one column each
		for i, name := range op.Names {
			x.results[base+i].declare([]string{name})
		}
	}
	for _, row := range rows {
		if len(row) < len(op.Calls) {
			return "", sql.Errorf("XX000", "%d sets of arguments for %d calls", len(row), len(op.Calls))
		}
		for i, name := range op.Calls {
			if row[i] == nil {
				continue // the call stands where it is not evaluated
			}
			result, err := x.env.Call(ctx, name, json.RawMessage(row[i]))
			if err != nil {
				return "", err
			}
			if len(result.Columns) == 1 && i < len(op.Names) {
				result.Columns = op.Names[i : i+1]
			}
			if err := x.results[base+i].take(result); err != nil {
				return "", err
			}
		}
	}
	if len(op.SQL) == 0 {
		return "CALL", nil
	}
	// What the calls did may be committed by now, so a cancel request that comes late must not make an error of it.
	return x.single(context.WithoutCancel(ctx), catalog.CoordinatorGroup, op.SQL, place{}, x.rootFormats(nil), false, out)
}

// declare gives the columns of calls' results, which come as text.
func (im *Intermediate) declare(columns []string) {
	im.Names = columns
	for range columns {
		im.OIDs = append(im.OIDs, 25)
		im.Types = append(im.Types, "text")
	}
}

// take adds a call's rows.
func (im *Intermediate) take(result CallResult) error {
	if im.Names == nil {
		im.declare(result.Columns)
	}
	var raw []byte
	values := make([][]byte, len(result.Columns))
	for _, row := range result.Rows {
		for i, v := range row {
			values[i] = nil
			if v != nil {
				values[i] = []byte(*v)
			}
		}
		raw = appendRow(raw[:0], values)
		if err := im.Rows.Add(raw); err != nil {
			return err
		}
	}
	return nil
}
