package cluster

import (
	"context"
	"fmt"
	"strings"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// updateNode records that a node has another address, with the same rows. Unless it is forced, the server there must hold what the node
// holds, and take writes if the node is a primary: statements would go to it at once.
func updateNode(o *operation, ctx context.Context, args struct {
	ID    *int    `json:"node_id"`
	Name  *string `json:"new_node_name"`
	Port  *int    `json:"new_node_port"`
	Force bool    `json:"force"`
}) (*string, error) {
	if args.ID == nil || args.Name == nil || args.Port == nil {
		return nil, sql.Errorf("22004", "node id, name and port cannot be null")
	}
	if err := o.mustBeSuperuser(ctx); err != nil {
		return nil, err
	}
	if err := o.lockNodes(ctx); err != nil {
		return nil, err
	}
	rows, err := o.query(ctx, fmt.Sprintf("SELECT groupid, noderole, isactive, nodename, nodeport FROM trunkline.pg_dist_node WHERE nodeid = %d", *args.ID))
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, sql.Errorf("42704", "node %d does not exist", *args.ID)
	}
	found := registered{id: *args.ID, group: int32(rows[0].int(0)), role: rows[0].text(1), active: rows[0].bool(2)}
	old, a := backend.Address{Host: rows[0].text(3), Port: rows[0].int(4)}, backend.Address{Host: *args.Name, Port: *args.Port}
	if a == old {
		return void(), nil
	}
	if other, err := o.registered(ctx, a); err != nil || other != nil {
		if err == nil {
			err = sql.Errorf("23505", "there is already another node with the specified hostname and port")
		}
		return nil, err
	}
	if found.active && !args.Force && found.group != catalog.CoordinatorGroup {
		if err := o.mustHoldTheSame(ctx, a, found); err != nil {
			return nil, err
		}
	}
	if err := o.exec(ctx, fmt.Sprintf("UPDATE trunkline.pg_dist_node SET nodename = %s, nodeport = %d WHERE nodeid = %d", sql.QuoteLiteral(a.Host), a.Port, found.id)); err != nil {
		return nil, err
	}
	o.config.Pools.CloseIdle(old)
	return void(), nil
}

// mustHoldTheSame makes sure that a server has what a node is said to have: its shards' schemas and copies of reference tables.
func (o *operation) mustHoldTheSame(ctx context.Context, a backend.Address, n registered) error {
	wanted, err := o.query(ctx, fmt.Sprintf(`SELECT DISTINCT 'schema', pg_catalog.format('%%I', trunkline_internal.shard_schema(ns.nspname, g.shardgroupid)) FROM trunkline.shard_group g
		JOIN trunkline.pg_dist_partition p USING (colocationid) JOIN pg_catalog.pg_class c ON c.oid = p.logicalrelid JOIN pg_catalog.pg_namespace ns ON ns.oid = c.relnamespace
		WHERE g.groupid = %d
		UNION ALL SELECT 'table', pg_catalog.format('%%I.%%I', ns.nspname, c.relname) FROM trunkline.pg_dist_partition p JOIN pg_catalog.pg_class c ON c.oid = p.logicalrelid
		JOIN pg_catalog.pg_namespace ns ON ns.oid = c.relnamespace WHERE p.repmodel = 't'`, n.group))
	if err != nil {
		return err
	}
	var schemas, tables []string
	for _, w := range wanted {
		if name := sql.QuoteLiteral(w.text(1)); w.text(0) == "schema" {
			schemas = append(schemas, name)
		} else {
			tables = append(tables, name)
		}
	}
	const hint = "Name the server that took over the node's data; force := true records the address unseen."
	rows, err := o.ask(ctx, a, "SELECT pg_catalog.pg_is_in_recovery(),"+
		" (SELECT pg_catalog.count(*) FROM pg_catalog.unnest(ARRAY["+strings.Join(schemas, ", ")+"]::text[]) name WHERE pg_catalog.to_regnamespace(name) IS NULL),"+
		" (SELECT pg_catalog.count(*) FROM pg_catalog.unnest(ARRAY["+strings.Join(tables, ", ")+"]::text[]) name WHERE pg_catalog.to_regclass(name) IS NULL)")
	if err != nil {
		return &sql.Error{Code: "08001", Message: fmt.Sprintf("cannot ask the server at %s what it holds", a), Detail: err.Error(), Hint: hint}
	}
	var problems []string
	if rows[0].bool(0) && n.role == "primary" {
		problems = append(problems, "It is a standby, which cannot be written to.")
	}
	for i, what := range []struct {
		name string
		of   int
	}{{"shard schemas", len(schemas)}, {"reference tables", len(tables)}} {
		if missing := rows[0].int(1 + i); missing > 0 {
			problems = append(problems, fmt.Sprintf("It lacks %d of the %d %s that the node holds.", missing, what.of, what.name))
		}
	}
	if len(problems) > 0 {
		return &sql.Error{Code: "55000", Message: fmt.Sprintf("the server at %s cannot be node %d", a, n.id), Detail: strings.Join(problems, "\n"), Hint: hint}
	}
	return nil
}

// addSecondaryNode registers a standby of a node.
func addSecondaryNode(o *operation, ctx context.Context, args struct {
	nodeArgs
	Primary     *string `json:"primaryname"`
	PrimaryPort *int    `json:"primaryport"`
}) (*string, error) {
	if args.Primary == nil || args.PrimaryPort == nil {
		return nil, sql.Errorf("22004", "the primary's name and port cannot be null")
	}
	_, primary, err := o.mustBeRegistered(ctx, nodeArgs{Name: args.Primary, Port: args.PrimaryPort})
	if err != nil {
		return nil, err
	}
	if primary.role != "primary" {
		return nil, sql.Errorf("55000", "node at \"%s:%d\" is not a primary", *args.Primary, *args.PrimaryPort)
	}
	role := "secondary"
	args.Role, args.Group = &role, &primary.group
	return o.addNode(ctx, args.nodeArgs, true)
}
