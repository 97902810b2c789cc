package exec

import (
	"fmt"
	"strconv"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
)

// place says which tables a template's table slots stand for.
type place struct {
	groups  []catalog.ShardGroup // the shard groups at hand: one, or several of one node under plan.FuseTable; none for the shells
	types   bool                 // for Describe only: intermediate results are empty, of the right types
	explain bool                 // for EXPLAIN only: intermediate results that were not made are supposed to be small
	shared  bool                 // the text is an arm of a statement that begins with the rows it reads: see shareRows
	node    int32                // the node the text is for: large intermediate results are in temporary tables there
}

// renderer fills in the slots of one execution's templates.
type renderer struct {
	plan      *plan.Plan
	bind      *Bind
	snapshot  *catalog.Snapshot
	results   []*Intermediate
	sequences map[string][]string // values drawn and not yet used
}

// render appends a template's text.
func (r *renderer) render(dst []byte, t plan.Template, at place) ([]byte, error) {
	for i := range t {
		p := &t[i]
		switch p.Kind {
		case plan.PieceText:
			dst = append(dst, p.Text...)
		case plan.PieceTable:
			dst = r.table(dst, &r.plan.Tables[p.Index], at)
		case plan.PieceLiteral:
			if p.Index >= len(r.bind.Literals) {
				return nil, sql.Errorf("XX000", "plan names literal %d of %d", p.Index, len(r.bind.Literals))
			}
			l := r.bind.Literals[p.Index]
			dst = append(dst, r.bind.Text[l.Start:l.End]...)
		case plan.PieceIntermediate:
			result, err := r.result(p.Index)
			if err != nil {
				return nil, err
			}
			if dst, err = result.appendSQL(dst, at); err != nil {
				return nil, err
			}
		case plan.PieceType:
			result, err := r.result(p.Index)
			if err != nil {
				return nil, err
			}
			if p.Column >= len(result.Types) {
				return nil, sql.Errorf("XX000", "plan names column %d of %d of an intermediate result", p.Column, len(result.Types))
			}
			dst = append(dst, result.Types[p.Column]...)
		case plan.PieceSequence:
			if at.types || at.explain {
				dst = append(dst, "NULL"...)
				continue
			}
			drawn := r.sequences[p.Text]
			if len(drawn) == 0 {
				return nil, sql.Errorf("XX000", "no value was drawn from sequence %s", p.Text)
			}
			dst = append(dst, drawn[0]...)
			r.sequences[p.Text] = drawn[1:]
		case plan.PieceResultType:
			if p.Column >= len(r.bind.Fields) {
				return nil, sql.Errorf("XX000", "plan names column %d of %d of the result", p.Column, len(r.bind.Fields))
			}
			dst = append(dst, typeSQL(r.snapshot, r.bind.Fields[p.Column].DataTypeOID)...)
		default:
			return nil, fmt.Errorf("exec: unknown template piece %d", p.Kind)
		}
	}
	return dst, nil
}

func (r *renderer) result(i int) (*Intermediate, error) {
	if i >= len(r.results) || r.results[i] == nil {
		return nil, sql.Errorf("XX000", "plan names intermediate result %d before it exists", i)
	}
	return r.results[i], nil
}

// table appends what stands for a table: the shell or the reference table under its own name, a shard, or the union of shards.
func (r *renderer) table(dst []byte, t *plan.TableRef, at place) []byte {
	if t.Reference || len(at.groups) == 0 {
		return appendName(dst, t.Schema, t.Name)
	}
	if len(at.groups) == 1 {
		return r.shardName(dst, t, at.groups[0].ID)
	}
	for i, g := range at.groups {
		if i == 0 {
			dst = append(dst, "(SELECT * FROM "...)
		} else {
			dst = append(dst, " UNION ALL SELECT * FROM "...)
		}
		dst = r.shardName(dst, t, g.ID)
	}
	return append(dst, ')')
}

func (r *renderer) shardName(dst []byte, t *plan.TableRef, group int64) []byte {
	dst = appendIdentifier(dst, catalog.ShardSchema(t.Schema, group))
	dst = append(dst, '.')
	return appendIdentifier(dst, t.Name)
}

func appendName(dst []byte, schema, name string) []byte {
	if schema != "" {
		dst = appendIdentifier(dst, schema)
		dst = append(dst, '.')
	}
	return appendIdentifier(dst, name)
}

// appendIdentifier writes a name in double quotes always: cheaper than asking whether it is a keyword.
func appendIdentifier(dst []byte, name string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(name); i++ {
		if name[i] == '"' {
			dst = append(dst, '"')
		}
		dst = append(dst, name[i])
	}
	return append(dst, '"')
}

// TypeSQL writes a type as SQL, for a cast.
func TypeSQL(snapshot *catalog.Snapshot, oid uint32) string { return typeSQL(snapshot, oid) }

// typeSQL writes a type so that a cast to it changes nothing: types whose bare SQL name implies a length of one are spelled so
// that they do not.
func typeSQL(snapshot *catalog.Snapshot, oid uint32) string {
	switch oid {
	case 16:
		return "boolean"
	case 20:
		return "bigint"
	case 23:
		return "integer"
	case 25, 705: // an untyped literal's type, unknown, becomes text
		return "text"
	case 1042:
		return "pg_catalog.bpchar"
	case 1560:
		return `pg_catalog."bit"`
	case 18:
		return `pg_catalog."char"`
	}
	if t := snapshot.Types[oid]; t != nil && t.SQL != "" {
		return t.SQL
	}
	if name, ok := builtinTypes[oid]; ok {
		return name
	}
	return strconv.FormatUint(uint64(oid), 10)
}

// builtinTypes are the types most seen, for a snapshot that does not list them. From pg_type.dat.
var builtinTypes = map[uint32]string{
	17: "bytea", 19: "name", 21: "smallint", 26: "oid", 114: "json", 700: "real", 701: "double precision",
	1043: "character varying", 1082: "date", 1083: "time without time zone", 1114: "timestamp without time zone",
	1184: "timestamp with time zone", 1186: "interval", 1266: "time with time zone", 1562: "bit varying", 1700: "numeric",
	2950: "uuid", 3802: "jsonb", 1005: "smallint[]", 1007: "integer[]", 1009: "text[]", 1016: "bigint[]", 1231: "numeric[]",
}
