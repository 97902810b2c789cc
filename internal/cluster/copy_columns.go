package cluster

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// copyColumns gives the rows of a reference table's other copies the values that the coordinator's rows have in new columns. Rows
// are told by all their other columns: rows that agree in those can be taken for one another, and get the values in any order.
func (p *propagation) copyColumns(ctx context.Context, tree []*definition, fresh []column) error {
	groups, err := p.others(ctx)
	if err != nil || len(groups) == 0 {
		return err
	}
	return p.lossless(ctx, append([]int32{catalog.CoordinatorGroup}, groups...), func() error {
		for _, d := range tree {
			if d.Kind == "p" {
				continue
			}
			text, err := p.columnValues(ctx, d, fresh)
			if err != nil {
				return err
			}
			if text == "" {
				continue
			}
			err = p.onNodes(ctx, groups, func(ctx context.Context, _ int32, conn *backend.Conn) error { return run(ctx, conn, text) })
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// columnValues writes the UPDATE that fills new columns of a table as they are filled on the coordinator, "" if it has no rows.
func (p *propagation) columnValues(ctx context.Context, d *definition, fresh []column) (string, error) {
	var others, selected, values, sets, names, arrays []string
	for _, c := range d.Columns {
		if !slices.ContainsFunc(fresh, func(f column) bool { return f.Name == c.Name }) {
			others = append(others, sql.QuoteIdentifier(c.Name))
		}
	}
	for i, c := range fresh {
		selected = append(selected, fmt.Sprintf(", %s::text AS c%d", sql.QuoteIdentifier(c.Name), i))
		values = append(values, fmt.Sprintf(", pg_catalog.array_agg(c%d ORDER BY whole, number)", i))
		sets = append(sets, fmt.Sprintf("%s = v.c%d::%s", sql.QuoteIdentifier(c.Name), i, c.Type))
		names = append(names, fmt.Sprintf(", c%d", i))
	}
	numbered := func(columns string) string {
		return fmt.Sprintf(`(SELECT *, pg_catalog.row_number() OVER (PARTITION BY whole) AS number
			FROM (SELECT ctid AS place, ROW(%s)::text COLLATE "C" AS whole%s FROM ONLY %s) t) n`, strings.Join(others, ", "), columns, d.qualified())
	}
	rows, err := p.query(ctx, "SELECT pg_catalog.array_agg(whole ORDER BY whole, number), pg_catalog.array_agg(number ORDER BY whole, number)"+
		strings.Join(values, "")+" FROM "+numbered(strings.Join(selected, "")))
	if err != nil || rows[0].null(0) {
		return "", err
	}
	for i := range fresh {
		arrays = append(arrays, ", pg_catalog.unnest("+sql.QuoteLiteral(rows[0].text(2+i))+"::text[])")
	}
	return fmt.Sprintf("UPDATE ONLY %s t SET %s FROM %s, ROWS FROM (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::bigint[])%s) v (whole, number%s) WHERE n.whole = v.whole AND n.number = v.number AND t.ctid = n.place",
		d.qualified(), strings.Join(sets, ", "), numbered(""), sql.QuoteLiteral(rows[0].text(0)), sql.QuoteLiteral(rows[0].text(1)),
		strings.Join(arrays, ""), strings.Join(names, "")), nil
}
