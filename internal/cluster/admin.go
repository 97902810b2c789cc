package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

type nodeArgs struct {
	Name    *string `json:"nodename"`
	Port    *int    `json:"nodeport"`
	Group   *int32  `json:"groupid"`
	Role    *string `json:"noderole"`
	Cluster *string `json:"nodecluster"`

	Property *string `json:"property"`
	Value    *bool   `json:"value"`
}

// registered is a row of pg_dist_node.
type registered struct {
	id     int
	group  int32
	active bool
	role   string
}

// lockNodes makes changes of the set of nodes, and of what all nodes have, follow one another.
func (o *operation) lockNodes(ctx context.Context) error {
	return o.exec(ctx, `SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('trunkline nodes', 0))`)
}

// registered finds a node by its address, nil if it is not there.
func (o *operation) registered(ctx context.Context, a backend.Address) (*registered, error) {
	rows, err := o.query(ctx, fmt.Sprintf("SELECT nodeid, groupid, isactive, noderole FROM trunkline.pg_dist_node WHERE nodename = %s AND nodeport = %d",
		sql.QuoteLiteral(a.Host), a.Port))
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	r := rows[0]
	return &registered{id: r.int(0), group: int32(r.int(1)), active: r.bool(2), role: r.text(3)}, nil
}

// mustBeRegistered locks the set of nodes and finds a node in it.
func (o *operation) mustBeRegistered(ctx context.Context, args nodeArgs) (backend.Address, *registered, error) {
	if args.Name == nil || args.Port == nil {
		return backend.Address{}, nil, sql.Errorf("22004", "node name and port cannot be null")
	}
	if err := o.mustBeSuperuser(ctx); err != nil {
		return backend.Address{}, nil, err
	}
	if err := o.lockNodes(ctx); err != nil {
		return backend.Address{}, nil, err
	}
	a := backend.Address{Host: *args.Name, Port: *args.Port}
	found, err := o.registered(ctx, a)
	if err == nil && found == nil {
		err = sql.Errorf("42704", "node at \"%s:%d\" does not exist", a.Host, a.Port)
	}
	return a, found, err
}

func (o *operation) mustBeSuperuser(ctx context.Context) error {
	rows, err := o.query(ctx, "SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user")
	if err != nil {
		return err
	}
	if len(rows) == 0 || !rows[0].bool(0) {
		return &sql.Error{Code: "42501", Message: "permission denied to change the set of nodes", Detail: "Only superusers may do this."}
	}
	return nil
}

// addNode registers a node, and makes it ready for use.
func addNode(o *operation, ctx context.Context, args nodeArgs) (*string, error) {
	return o.addNode(ctx, args, true)
}

// addInactiveNode registers a node that is not used until it is activated.
func addInactiveNode(o *operation, ctx context.Context, args nodeArgs) (*string, error) {
	return o.addNode(ctx, args, false)
}

func (o *operation) addNode(ctx context.Context, args nodeArgs, active bool) (*string, error) {
	if args.Name == nil || args.Port == nil {
		return nil, sql.Errorf("22004", "node name and port cannot be null")
	}
	if err := o.mustBeSuperuser(ctx); err != nil {
		return nil, err
	}
	if err := o.lockNodes(ctx); err != nil {
		return nil, err
	}
	a := backend.Address{Host: *args.Name, Port: *args.Port}
	found, err := o.registered(ctx, a)
	if err != nil {
		return nil, err
	}
	group, role, clusterName := int32(-1), "primary", "default"
	if args.Group != nil {
		group = *args.Group
	}
	if args.Role != nil {
		role = *args.Role
	}
	if args.Cluster != nil {
		clusterName = *args.Cluster
	}
	if found != nil {
		if active && !found.active && found.role == "primary" {
			if err := o.activate(ctx, a, found.group); err != nil {
				return nil, err
			}
		}
		return number(found.id), nil
	}
	if role == "primary" && group != catalog.CoordinatorGroup {
		if err := o.prepareNode(ctx, a); err != nil {
			return nil, err
		}
	}
	rows, err := o.query(ctx, fmt.Sprintf("SELECT trunkline_internal.add_node(%s, %d, %d, %s, %s, false)",
		sql.QuoteLiteral(a.Host), a.Port, group, sql.QuoteLiteral(role), sql.QuoteLiteral(clusterName)))
	if err != nil {
		return nil, err
	}
	id := rows[0].int(0)
	if rows, err = o.query(ctx, fmt.Sprintf("SELECT groupid FROM trunkline.pg_dist_node WHERE nodeid = %d", id)); err != nil {
		return nil, err
	}
	if active && role == "primary" {
		if err := o.activate(ctx, a, int32(rows[0].int(0))); err != nil {
			return nil, err
		}
	} else if active {
		if err := o.exec(ctx, fmt.Sprintf("UPDATE trunkline.pg_dist_node SET isactive = true WHERE nodeid = %d", id)); err != nil {
			return nil, err
		}
	}
	return number(id), nil
}

// activate brings a node up to date with everything all nodes have, and marks it as in use.
func (o *operation) activate(ctx context.Context, a backend.Address, group int32) error {
	if group != catalog.CoordinatorGroup {
		o.tx.Locate(group, a)
		if err := o.copyObjects(ctx, group); err != nil {
			return err
		}
	}
	if err := o.lockReferenceTables(ctx); err != nil {
		return err
	}
	if group != catalog.CoordinatorGroup {
		if err := o.copyReferenceTables(ctx, group); err != nil {
			return err
		}
	}
	return o.exec(ctx, fmt.Sprintf(`UPDATE trunkline.pg_dist_node SET isactive = true, hasmetadata = true, metadatasynced = true WHERE groupid = %d AND noderole = 'primary'; `, group)+
		recordCopies(group)+"; SELECT trunkline_internal.guard_copies()")
}

func activateNode(o *operation, ctx context.Context, args nodeArgs) (*string, error) {
	a, found, err := o.mustBeRegistered(ctx, args)
	if err != nil {
		return nil, err
	}
	if !found.active {
		if found.role == "primary" && found.group != catalog.CoordinatorGroup {
			if err := o.prepareNode(ctx, a); err != nil {
				return nil, err
			}
		}
		if err := o.activate(ctx, a, found.group); err != nil {
			return nil, err
		}
	}
	return number(found.id), nil
}

// disableNode takes a node out of use. Its copies of reference tables grow old, so they go from the metadata and, where the node
// can be reached, from the node, and are made anew when it is activated.
func disableNode(o *operation, ctx context.Context, args nodeArgs) (*string, error) {
	a, found, err := o.mustBeRegistered(ctx, args)
	if err != nil {
		return nil, err
	}
	if found.group == catalog.CoordinatorGroup {
		return nil, sql.Errorf("55000", "the coordinator cannot be disabled")
	}
	if err := o.mustHoldNoShards(ctx, a, found.group, "disable"); err != nil {
		return nil, err
	}
	if err := o.lockReferenceTables(ctx); err != nil {
		return nil, err
	}
	if err := o.dropReferenceCopies(ctx, found); err != nil {
		return nil, err
	}
	return void(), o.exec(ctx, fmt.Sprintf("UPDATE trunkline.pg_dist_node SET isactive = false, hasmetadata = false, metadatasynced = false WHERE nodeid = %d; SELECT trunkline_internal.guard_copies()", found.id))
}

// mustHoldNoShards refuses to take a node away whose rows are nowhere else.
func (o *operation) mustHoldNoShards(ctx context.Context, a backend.Address, group int32, verb string) error {
	rows, err := o.query(ctx, fmt.Sprintf(`SELECT count(*), (SELECT string_agg(DISTINCT logicalrelid::text, ', ') FROM trunkline.pg_dist_partition p
			JOIN trunkline.shard_group g USING (colocationid) WHERE g.groupid = %d) FROM trunkline.shard_group WHERE groupid = %d`, group, group))
	if err != nil {
		return err
	}
	if rows[0].int(0) == 0 {
		return nil
	}
	return &sql.Error{Code: "55000", Message: fmt.Sprintf("cannot %s node %s:%d, which holds shards", verb, a.Host, a.Port),
		Detail: fmt.Sprintf("%d shard groups, of tables %s, are there and nowhere else.", rows[0].int(0), rows[0].text(1)),
		Hint:   "Move the shards to other nodes first, with citus_drain_node(), or undistribute or drop the tables."}
}

// reachable tells whether a node can be logged in to.
func (o *operation) reachable(ctx context.Context, id int) bool {
	rows, err := o.query(ctx, fmt.Sprintf("SELECT nodename, nodeport FROM trunkline.pg_dist_node WHERE nodeid = %d", id))
	if err != nil || len(rows) == 0 {
		return false
	}
	return o.connects(ctx, backend.Address{Host: rows[0].text(0), Port: rows[0].int(1)})
}

func (o *operation) connects(ctx context.Context, a backend.Address) bool {
	conn, err := o.config.Pools.Acquire(ctx, a, o.tx.Identity())
	if err != nil {
		return false
	}
	defer o.config.Pools.Release(conn)
	_, err = conn.Exec(ctx, "SELECT 1")
	return err == nil
}

func removeNode(o *operation, ctx context.Context, args nodeArgs) (*string, error) {
	a, found, err := o.mustBeRegistered(ctx, args)
	if err != nil {
		return nil, err
	}
	if found.role == "primary" {
		if err := o.mustHoldNoShards(ctx, a, found.group, "remove"); err != nil {
			return nil, err
		}
		if err := o.lockReferenceTables(ctx); err != nil {
			return nil, err
		}
		if found.group != catalog.CoordinatorGroup {
			if err := o.dropReferenceCopies(ctx, found); err != nil {
				return nil, err
			}
		}
	}
	return void(), o.exec(ctx, fmt.Sprintf("DELETE FROM trunkline.pg_dist_node WHERE nodeid = %d; SELECT trunkline_internal.guard_copies()", found.id))
}

func setNodeProperty(o *operation, ctx context.Context, args nodeArgs) (*string, error) {
	_, found, err := o.mustBeRegistered(ctx, args)
	if err != nil {
		return nil, err
	}
	if args.Property == nil || args.Value == nil {
		return nil, sql.Errorf("22004", "property and value cannot be null")
	}
	if *args.Property != "shouldhaveshards" {
		return nil, &sql.Error{Code: "22023", Message: fmt.Sprintf("there is no node property %q", *args.Property), Hint: "The only property is shouldhaveshards."}
	}
	return void(), o.exec(ctx, fmt.Sprintf("UPDATE trunkline.pg_dist_node SET shouldhaveshards = %t WHERE nodeid = %d", *args.Value, found.id))
}

func setCoordinatorHost(o *operation, ctx context.Context, args struct {
	Host    *string `json:"host"`
	Port    *int    `json:"port"`
	Role    *string `json:"node_role"`
	Cluster *string `json:"node_cluster"`
}) (*string, error) {
	if args.Host == nil || args.Port == nil {
		return nil, sql.Errorf("22004", "host and port cannot be null")
	}
	if err := o.mustBeSuperuser(ctx); err != nil {
		return nil, err
	}
	if err := o.lockNodes(ctx); err != nil {
		return nil, err
	}
	role, clusterName := "primary", "default"
	if args.Role != nil {
		role = *args.Role
	}
	if args.Cluster != nil {
		clusterName = *args.Cluster
	}
	rows, err := o.query(ctx, fmt.Sprintf("UPDATE trunkline.pg_dist_node SET nodename = %s, nodeport = %d WHERE groupid = 0 AND noderole = %s RETURNING nodeid",
		sql.QuoteLiteral(*args.Host), *args.Port, sql.QuoteLiteral(role)))
	if err != nil || len(rows) > 0 {
		return void(), err
	}
	return void(), o.exec(ctx, fmt.Sprintf("SELECT trunkline_internal.add_node(%s, %d, 0, %s, %s, true)",
		sql.QuoteLiteral(*args.Host), *args.Port, sql.QuoteLiteral(role), sql.QuoteLiteral(clusterName)))
}

// checkConnection tells whether the gateway can log in to a node.
func checkConnection(o *operation, ctx context.Context, raw json.RawMessage) (CallResult, error) {
	var args nodeArgs
	if err := json.Unmarshal(raw, &args); err != nil {
		return CallResult{}, sql.Errorf("22023", "cannot read the arguments: %v", err)
	}
	if args.Name == nil || args.Port == nil {
		return CallResult{}, sql.Errorf("22004", "node name and port cannot be null")
	}
	ok := truth(o.connects(ctx, backend.Address{Host: *args.Name, Port: *args.Port}))
	return CallResult{Columns: []string{"value"}, Rows: [][]*string{{&ok}}}, nil
}

// checkHealth tells, for each node, whether it can be logged in to. It is the gateway that tries, from the coordinator's place:
// nodes do not connect to one another here.
func checkHealth(o *operation, ctx context.Context, _ json.RawMessage) (CallResult, error) {
	nodes, err := o.knownNodes(ctx)
	if err != nil {
		return CallResult{}, err
	}
	result := CallResult{Columns: []string{"from_nodename", "from_nodeport", "to_nodename", "to_nodeport", "result"}}
	from, fromPort := nodes[0].address.Host, strconv.Itoa(nodes[0].address.Port)
	for _, n := range nodes {
		to, port, ok := n.address.Host, strconv.Itoa(n.address.Port), truth(o.connects(ctx, n.address))
		result.Rows = append(result.Rows, []*string{&from, &fromPort, &to, &port, &ok})
	}
	return result, nil
}

func truth(b bool) string {
	if b {
		return "t"
	}
	return "f"
}

func number(n int) *string {
	s := strconv.Itoa(n)
	return &s
}
