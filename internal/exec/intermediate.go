package exec

import (
	"context"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
)

// inlineLimit is up to how many bytes of rows an intermediate result is written into the SQL text that reads it. Larger ones
// travel once per node, into a temporary table.
const inlineLimit = 2 << 20

// Intermediate is the rows of one part of a plan, in text format, for use by another part.
type Intermediate struct {
	Names []string
	OIDs  []uint32
	Types []string // as SQL, for casts
	Rows  *Spool

	collations []string // by column: " COLLATE …" where it is not the type's own; nil if all are

	from, to int64 // only these rows count, if to is not 0

	tables map[int32]string // by node: the temporary table that holds the rows there
	inline []byte           // appendSQL's answer, once made: the same text goes to many shards
}

// collate gives a column a collation.
func (im *Intermediate) collate(column int, collation string) {
	if im.collations == nil {
		im.collations = make([]string, len(im.Types))
	}
	im.collations[column] = " COLLATE " + collation
}

// appendType writes a column's type and its collation.
func (im *Intermediate) appendType(dst []byte, column int) []byte {
	dst = append(dst, im.Types[column]...)
	if im.collations != nil {
		dst = append(dst, im.collations[column]...)
	}
	return dst
}

// appendSQL writes the result as a parenthesised SELECT.
func (im *Intermediate) appendSQL(dst []byte, at place) ([]byte, error) {
	if at.types || im.Rows == nil {
		dst = append(dst, "(SELECT "...)
		for i := range im.Names {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = append(dst, "NULL::"...)
			dst = im.appendType(dst, i)
			dst = append(dst, " AS "...)
			dst = appendIdentifier(dst, im.Names[i])
		}
		if at.explain {
			return append(dst, " FROM pg_catalog.generate_series(1, 100))"...), nil
		}
		return append(dst, " WHERE false)"...), nil
	}
	if table, ok := im.tables[at.node]; ok {
		dst = append(dst, "(SELECT "...)
		for i, name := range im.Names {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = append(dst, 'c')
			dst = appendInt(dst, int64(i+1))
			dst = append(dst, " AS "...)
			dst = appendIdentifier(dst, name)
		}
		dst = append(dst, " FROM "...)
		dst = append(dst, table...)
		return append(dst, ')'), nil
	}
	if im.inline == nil {
		var err error
		if im.inline, err = im.appendRows(nil, im.Rows); err != nil {
			return nil, err
		}
	}
	return append(dst, im.inline...), nil
}

// appendRows writes rows as (SELECT c1::type AS "name", … FROM ROWS FROM (unnest('{…}'::text[]), …) AS _(c1, …)). PostgreSQL
// estimates the number of rows of such an unnest exactly, and unnest keeps their order.
func (im *Intermediate) appendRows(dst []byte, rows *Spool) ([]byte, error) {
	from, to := im.from, im.to
	if to == 0 {
		to = rows.Len()
	}
	if len(im.Names) == 0 {
		dst = append(dst, "(SELECT FROM generate_series(1, "...)
		dst = appendInt(dst, to-from)
		return append(dst, "))"...), nil
	}
	columns := make([][]byte, len(im.Names))
	values := make([][]byte, 0, len(im.Names))
	err := rows.Range(from, to, func(raw []byte) error {
		var err error
		if values, err = splitRow(raw, values); err != nil {
			return err
		}
		if len(values) != len(columns) {
			return sql.Errorf("XX000", "an intermediate row has %d columns instead of %d", len(values), len(columns))
		}
		for i, v := range values {
			if len(columns[i]) > 0 {
				columns[i] = append(columns[i], ',')
			}
			columns[i] = appendArrayElement(columns[i], v)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	dst = append(dst, "(SELECT "...)
	for i, name := range im.Names {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(dst, 'c')
		dst = appendInt(dst, int64(i))
		dst = append(dst, "::"...)
		dst = im.appendType(dst, i)
		dst = append(dst, " AS "...)
		dst = appendIdentifier(dst, name)
	}
	dst = append(dst, " FROM ROWS FROM ("...)
	for i, c := range columns {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(dst, "pg_catalog.unnest(E'{"...)
		dst = appendEscaped(dst, c)
		dst = append(dst, "}'::text[])"...)
	}
	dst = append(dst, ") AS _("...)
	for i := range columns {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = append(dst, 'c')
		dst = appendInt(dst, int64(i))
	}
	return append(dst, "))"...), nil
}

// appendArrayElement writes a value as an element of an array constant.
func appendArrayElement(dst, v []byte) []byte {
	if v == nil {
		return append(dst, "NULL"...)
	}
	dst = append(dst, '"')
	for _, c := range v {
		if c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

// appendEscaped writes v as the inside of an E'…' constant.
func appendEscaped(dst, v []byte) []byte {
	for _, c := range v {
		if c == '\'' || c == '\\' {
			dst = append(dst, c)
		}
		dst = append(dst, c)
	}
	return dst
}

// Recode passes on rows that are in text format in the formats that the client asks for: the coordinator converts them.
func Recode(ctx context.Context, env *Env, fields []pgproto3.FieldDescription, rows *Spool, formats []int16, out RowWriter) error {
	im := &Intermediate{Rows: rows}
	for _, f := range fields {
		im.Names = append(im.Names, string(f.Name))
		im.OIDs = append(im.OIDs, f.DataTypeOID)
		im.Types = append(im.Types, typeSQL(env.Snapshot, f.DataTypeOID))
	}
	x := &execution{env: env, prepared: &Prepared{Plan: &plan.Plan{}}, renderer: renderer{plan: &plan.Plan{}, bind: &Bind{Extended: true}, snapshot: env.Snapshot}}
	text, err := im.appendRows(nil, rows)
	if err != nil {
		return err
	}
	_, err = x.one(ctx, catalog.CoordinatorGroup, text, &form{columns: len(fields), formats: formats}, false, out)
	return err
}

// AnyBinary tells whether any of the formats is binary.
func AnyBinary(formats []int16) bool { return !allText(formats) }
