package exec

import (
	"context"
	"slices"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
)

// Up to how many bytes of rows an intermediate result is written into the SQL text that reads it. Larger ones travel once per node,
// into a temporary table. The smaller limit is that of a text which reads tables as well: of a temporary table PostgreSQL knows what
// the rows are like, which joins need.
const (
	inlineLimit     = 64 << 10
	inlineJoinLimit = 2 << 10
)

// Intermediate is the rows of one part of a plan, in text format, for use by another part.
type Intermediate struct {
	Names []string
	OIDs  []uint32
	Types []string // as SQL, for casts
	Rows  *Spool

	collations []string // by column: " COLLATE …" where it is not the type's own; nil if all are

	from, to int64 // only these rows count, if to is not 0

	ship   *plan.Ship          // where its rows go, nil for every node that asks
	spread *catalog.Colocation // whose shard groups they go to
	index  int                 // among the plan's

	count, bytes int64 // of a result whose rows went past: how many there were

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
	if at.types || im.Rows == nil && im.tables == nil {
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
	if at.shared && im.sharable(at) {
		dst = append(dst, "(SELECT * FROM "...)
		dst = appendIdentifier(dst, sharedName(im.index))
		return append(dst, ')'), nil
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
		return append(im.appendGroups(dst, at), ')'), nil
	}
	if im.ship != nil {
		return im.appendRows(dst, im.Rows, at)
	}
	if im.inline == nil {
		var err error
		if im.inline, err = im.appendRows(nil, im.Rows, place{}); err != nil {
			return nil, err
		}
	}
	return append(dst, im.inline...), nil
}

// sharable tells whether the arms of one statement read the same rows of the result, and not from a table.
func (im *Intermediate) sharable(at place) bool {
	_, inTable := im.tables[at.node]
	return !inTable && im.ship == nil && !at.types
}

// appendGroups writes the condition that leaves the rows of the shard groups at hand, where these are not all that the node has.
func (im *Intermediate) appendGroups(dst []byte, at place) []byte {
	if im.ship == nil {
		return dst
	}
	onNode := 0
	for i := range im.spread.Groups {
		if im.spread.Groups[i].GroupID == at.node {
			onNode++
		}
	}
	if len(at.groups) == onNode {
		return dst
	}
	dst = append(dst, " WHERE g IN (NULL"...)
	for i := range im.spread.Groups {
		if im.at(i, at) {
			dst = append(dst, ", "...)
			dst = appendInt(dst, int64(i))
		}
	}
	return append(dst, ')')
}

// at tells whether shard group i is one of those at hand.
func (im *Intermediate) at(i int, at place) bool {
	return slices.ContainsFunc(at.groups, func(g catalog.ShardGroup) bool { return g.ID == im.spread.Groups[i].ID })
}

// appendRows writes rows as (SELECT c1::type AS "name", … FROM ROWS FROM (unnest('{…}'::text[]), …) AS _(c1, …)). PostgreSQL
// estimates the number of rows of such an unnest exactly, and unnest keeps their order.
// Of a result that is repartitioned, it writes the rows of the shard groups at hand.
func (im *Intermediate) appendRows(dst []byte, rows *Spool, at place) ([]byte, error) {
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
		if im.ship != nil {
			group, err := im.groupOf(values)
			if err != nil || !im.at(group, at) {
				return err
			}
			values = values[:len(values)-1]
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
	text, err := im.appendRows(nil, rows, place{})
	if err != nil {
		return err
	}
	_, err = x.one(ctx, catalog.CoordinatorGroup, text, &form{columns: len(fields), formats: formats}, false, out)
	return err
}

// AnyBinary tells whether any of the formats is binary.
func AnyBinary(formats []int16) bool { return !allText(formats) }
