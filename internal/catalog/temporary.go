package catalog

import (
	"context"
	"strconv"

	"github.com/trunkline/trunkline/internal/backend"
)

// TemporarySchema is how SQL calls the schema of a session's temporary tables.
const TemporarySchema = "pg_temp"

// temporaryViews lists the columns of the session's temporary views. As in Load, pg_get_viewdef writes all names with their schemas but
// those of temporary tables.
const temporaryViews = `SELECT pg_catalog.set_config('trunkline.search_path', pg_catalog.current_setting('search_path'), true);
SET LOCAL search_path = pg_catalog, pg_temp;
SELECT c.relname, c.oid, pg_get_viewdef(c.oid), pg_get_userbyid(c.relowner), a.attname, a.attnum, a.atttypid, a.atttypmod, a.attcollation
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = pg_my_temp_schema() AND c.relkind = 'v' ORDER BY c.oid, a.attnum;
SELECT pg_catalog.set_config('search_path', pg_catalog.current_setting('trunkline.search_path'), true)`

// TemporaryViews reads the temporary views of the session that conn serves, by name. A snapshot has none: they are one session's.
func TemporaryViews(ctx context.Context, conn *backend.Conn) (map[string]*Relation, error) {
	results, err := conn.Exec(ctx, temporaryViews)
	if err != nil {
		return nil, err
	}
	views := map[string]*Relation{}
	for _, row := range results[2].Rows {
		number := func(i int) int64 {
			n, failure := strconv.ParseInt(string(row[i]), 10, 64)
			if failure != nil {
				err = failure
			}
			return n
		}
		view := views[string(row[0])]
		if view == nil {
			view = &Relation{OID: uint32(number(1)), Schema: TemporarySchema, Name: string(row[0]), RelKind: 'v', Definition: string(row[2]),
				Owner: string(row[3]), DistColumn: -1}
			views[view.Name] = view
		}
		view.Columns = append(view.Columns, Column{Name: string(row[4]), AttNum: int16(number(5)), TypeOID: uint32(number(6)),
			TypMod: int32(number(7)), Collation: uint32(number(8))})
	}
	return views, err
}
