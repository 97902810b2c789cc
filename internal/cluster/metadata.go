package cluster

import (
	"context"
	"fmt"
	"slices"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/sql"
)

// spread is a distributed or reference table, as the transaction sees the metadata.
type spread struct {
	oid          uint32
	schema, name string // "" once the table is dropped
	reference    bool
	colocation   int
	column       int // number of the distribution column, 0 for none
	gone         bool
}

// tables reads which tables are distributed or reference tables.
func (o *operation) tables(ctx context.Context) (map[uint32]spread, error) {
	rows, err := o.query(ctx, keepNodes+`; SELECT p.logicalrelid::oid::bigint, coalesce(n.nspname, ''), coalesce(c.relname, ''), p.repmodel = 't', p.colocationid,
			coalesce(pg_catalog.substring(p.partkey, ':varattno (-?[0-9]+)')::int, 0), c.oid IS NULL
		FROM trunkline.pg_dist_partition p LEFT JOIN pg_catalog.pg_class c ON c.oid = p.logicalrelid LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE p.repmodel = 't' OR p.colocationid <> 0`)
	if err != nil {
		return nil, err
	}
	tables := make(map[uint32]spread, len(rows))
	for _, r := range rows {
		t := spread{oid: uint32(r.int(0)), schema: r.text(1), name: r.text(2), reference: r.bool(3), colocation: r.int(4), column: r.int(5), gone: r.bool(6)}
		tables[t.oid] = t
	}
	return tables, nil
}

// lockColocations makes sure that no two sessions choose or make a colocation group at the same time.
func (o *operation) lockColocations(ctx context.Context) error {
	return o.exec(ctx, `SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('trunkline colocations', 0))`)
}

// findColocation gives the colocation group of lowest id for a column type, 0 if there is none.
func (o *operation) findColocation(ctx context.Context, shardCount int, c *column) (int, error) {
	rows, err := o.query(ctx, fmt.Sprintf(`SELECT c.colocationid FROM trunkline.pg_dist_colocation c
		WHERE c.shardcount = %d AND c.replicationfactor = 1 AND c.distributioncolumntype = %d AND c.distributioncolumncollation = %d
		  AND NOT EXISTS (SELECT FROM trunkline.pg_dist_schema s WHERE s.colocationid = c.colocationid)
		ORDER BY c.colocationid LIMIT 1`, shardCount, c.TypeOID, c.CollationOID))
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	return rows[0].int(0), nil
}

// createColocation makes a colocation group whose shard groups go to the nodes that may hold shards, in turn.
func (o *operation) createColocation(ctx context.Context, shardCount int, c *column) (int, error) {
	nodes, err := o.primaries(ctx)
	if err != nil {
		return 0, err
	}
	var holders []int32
	for _, n := range nodes {
		if n.shards {
			holders = append(holders, n.group)
		}
	}
	if len(holders) == 0 {
		return 0, &sql.Error{Code: "55000", Message: "no node may hold shards",
			Hint: "Add one with citus_add_node(), or let the coordinator hold shards with citus_set_node_property(host, port, 'shouldhaveshards', true)."}
	}
	if c == noColumn {
		if holders, err = o.leastUsed(ctx, holders); err != nil {
			return 0, err
		}
	}
	shards := make([]shardGroup, shardCount)
	for i := range shards {
		shards[i].group = holders[i%len(holders)]
	}
	return o.createColocationOn(ctx, shards, c)
}

// leastUsed gives the first of the nodes that hold the fewest shard groups of tables without a distribution column.
func (o *operation) leastUsed(ctx context.Context, holders []int32) ([]int32, error) {
	rows, err := o.query(ctx, `SELECT g.groupid, count(*) FROM trunkline.shard_group g JOIN trunkline.pg_dist_colocation c USING (colocationid)
		WHERE c.distributioncolumntype = 0 GROUP BY 1`)
	if err != nil {
		return nil, err
	}
	used := map[int32]int{}
	for _, r := range rows {
		used[int32(r.int(0))] = r.int(1)
	}
	return []int32{slices.MinFunc(holders, func(a, b int32) int { return used[a] - used[b] })}, nil
}

// addTable records a table of a colocation group; an empty column makes it a reference table.
func (o *operation) addTable(ctx context.Context, oid uint32, column string, colocation int) error {
	name := "NULL"
	if column != "" {
		name = sql.QuoteLiteral(column)
	}
	return o.exec(ctx, fmt.Sprintf("SELECT trunkline_internal.add_table(%d, %s, %d)", oid, name, colocation))
}

// removeTable forgets a table.
func (o *operation) removeTable(ctx context.Context, oid uint32) error {
	return o.exec(ctx, fmt.Sprintf("SELECT trunkline_internal.remove_table(%d)", oid))
}

// definitionsChanged tells all gateways that the definition of a table or another object has changed.
func (o *operation) definitionsChanged(ctx context.Context) error {
	return o.exec(ctx, "SELECT trunkline_internal.bump_catalog_version()")
}

// maker is the role that makes tables on nodes, and those that default privileges give rights on what it makes, as a list in SQL.
type maker struct{ name, favoured string }

// makerOf gives the role whose rights statements have. Default privileges are the same on all nodes.
func makerOf(ctx context.Context, conn *backend.Conn) (maker, error) {
	rows, err := query(ctx, conn, `SELECT current_user, coalesce((
		SELECT pg_catalog.string_agg(DISTINCT CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(a.grantee)) END, ', ')
		FROM pg_catalog.pg_default_acl d, pg_catalog.aclexplode(d.defaclacl) a
		WHERE d.defaclobjtype = 'r' AND pg_catalog.pg_get_userbyid(d.defaclrole) = current_user AND a.grantee <> d.defaclrole), '')`)
	if err != nil {
		return maker{}, err
	}
	return maker{rows[0].text(0), rows[0].text(1)}, nil
}
