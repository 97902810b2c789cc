package move

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// The advisory locks on the coordinator, each a key for hashtextextended. See also trunkline_internal.await_moves.
const (
	operationLock  = "'trunkline operation', %d"        // held while the gateway that carries an operation out lives
	groupLock      = "'trunkline shard group', %d"      // one operation per shard group; changes of definitions wait for it
	colocationLock = "'trunkline colocation group', %d" // shared by changes of definitions; had for a moment by an operation that begins
)

func lockKey(lock string, id int64) string {
	return "pg_catalog.hashtextextended(" + fmt.Sprintf(lock, id) + ")"
}

// begin registers the operation, waits until it is alone with its shard group and the tables' definitions, and checks that it can
// succeed.
func (o *operation) begin(ctx context.Context) error {
	if err := run(ctx, o.owner, unhurried); err != nil {
		return err
	}
	if err := o.readNodes(ctx); err != nil {
		return err
	}
	if err := o.locate(ctx); err != nil {
		return err
	}
	rows, err := query(ctx, o.owner, "SELECT pg_catalog.nextval('trunkline.pg_dist_operationid_seq')")
	if err != nil {
		return err
	}
	id := number(rows[0][0])
	if err := run(ctx, o.owner, "SELECT pg_catalog.pg_advisory_lock("+lockKey(operationLock, id)+")"); err != nil {
		return err
	}
	o.id = id
	kind := "move"
	if o.split() {
		kind = "split"
	}
	var targets []string
	for i, p := range o.Parts {
		if p.ID == 0 {
			rows, err := query(ctx, o.owner, "SELECT pg_catalog.nextval('trunkline.pg_dist_shardid_seq')")
			if err != nil {
				return err
			}
			o.Parts[i].ID = number(rows[0][0])
		}
		targets = append(targets, strconv.Itoa(int(p.Group)))
	}
	err = run(ctx, o.owner, fmt.Sprintf(`INSERT INTO trunkline.shard_move (operation_id, operation_type, shardgroupid, colocationid, source_group, target_groups, shard_transfer_mode, step)
		VALUES (%d, '%s', %d, %d, %d, '{%s}', %s, '%s')`, o.id, kind, o.ShardGroup, o.colocation, o.Source, strings.Join(targets, ","), sql.QuoteLiteral(string(o.Mode)), stepWaiting))
	if err != nil {
		return err
	}
	if o.progress, err = startProgress(ctx, o); err != nil {
		return err
	}
	if err := o.fault(stepWaiting); err != nil {
		return err
	}
	if err := o.alone(ctx); err != nil {
		return err
	}
	if err := o.locate(ctx); err != nil { // another move may have gone first
		return err
	}
	if o.shape, err = o.readShape(ctx, o.owner); err != nil {
		return err
	}
	return o.check(ctx)
}

// alone waits for other operations on the shard group, and for changes of its tables' definitions that are under way.
func (o *operation) alone(ctx context.Context) error {
	err := run(ctx, o.owner, "SELECT pg_catalog.pg_advisory_lock("+lockKey(groupLock, o.ShardGroup)+")")
	if err != nil {
		return err
	}
	if err := o.clearWay(ctx); err != nil {
		return err
	}
	colocation := lockKey(colocationLock, int64(o.colocation))
	if err := run(ctx, o.owner, "SELECT pg_catalog.pg_advisory_lock("+colocation+")"); err != nil {
		return err
	}
	// Who gets the lock after this sees the step, and waits for the operation's end.
	if err := o.enter(ctx, stepPreparing); err != nil {
		return err
	}
	// Gateways hear of it (catalog.Snapshot.Moving).
	return run(ctx, o.owner, "SELECT pg_catalog.pg_advisory_unlock("+colocation+"); SELECT trunkline_internal.bump_placement_version()")
}

// clearWay undoes or finishes what operations on the shard group have left whose gateway is gone: it could get in this one's way later.
func (o *operation) clearWay(ctx context.Context) error {
	rows, err := query(ctx, o.owner, "SELECT operation_id FROM trunkline.shard_move WHERE shardgroupid = %d AND operation_id < %d ORDER BY 1", o.ShardGroup, o.id)
	if err != nil {
		return err
	}
	for _, r := range rows {
		id := number(r[0])
		key := lockKey(operationLock, id)
		got, err := query(ctx, o.owner, "SELECT pg_catalog.pg_try_advisory_lock(%s)", key)
		if err != nil {
			return err
		}
		if string(got[0][0]) != "t" { // its gateway lives, and waits for the shard group
			continue
		}
		if err := cleanOperation(ctx, o.Env, o.owner, id); err != nil {
			return fmt.Errorf("clearing away an earlier move of the shard group: %w", err)
		}
		if err := run(ctx, o.owner, "SELECT pg_catalog.pg_advisory_unlock("+key+")"); err != nil {
			return err
		}
	}
	return nil
}

// readNodes reads where the nodes are.
func (o *operation) readNodes(ctx context.Context) error {
	rows, err := query(ctx, o.owner, "SELECT groupid, nodename, nodeport FROM trunkline.pg_dist_node WHERE noderole = 'primary' AND isactive")
	if err != nil {
		return err
	}
	o.nodes = addresses(o.Env, rows)
	return nil
}

func addresses(env *Env, rows [][][]byte) map[int32]backend.Address {
	nodes := map[int32]backend.Address{}
	for _, r := range rows {
		nodes[int32(number(r[0]))] = backend.Address{Host: string(r[1]), Port: int(number(r[2]))}
	}
	nodes[catalog.CoordinatorGroup] = env.Coordinator
	return nodes
}

// locate makes sure that the shard group is where the request says.
func (o *operation) locate(ctx context.Context) error {
	rows, err := query(ctx, o.owner, "SELECT colocationid, shardminvalue, shardmaxvalue, groupid FROM trunkline.shard_group WHERE shardgroupid = %d", o.ShardGroup)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return sql.Errorf("42704", "shard group %d does not exist", o.ShardGroup)
	}
	r := rows[0]
	o.colocation, o.min, o.max = int(number(r[0])), int32(number(r[1])), int32(number(r[2]))
	if place := int32(number(r[3])); place != o.Source {
		return &sql.Error{Code: "55000", Message: fmt.Sprintf("shard group %d is not on node group %d", o.ShardGroup, o.Source),
			Detail: fmt.Sprintf("It is on node group %d.", place)}
	}
	if !o.split() {
		o.Parts[0].Min, o.Parts[0].Max = o.min, o.max
	}
	return nil
}

// readShape reads the tables' definitions in a transaction of its own.
func (o *operation) readShape(ctx context.Context, conn *backend.Conn) (*Shape, error) {
	if err := run(ctx, conn, "BEGIN"); err != nil {
		return nil, err
	}
	shape, err := o.Shape(ctx, conn, o.colocation)
	if end := run(context.WithoutCancel(ctx), conn, "ROLLBACK"); err == nil {
		err = end
	}
	return shape, err
}

// check finds everything that is in the operation's way, before it begins.
func (o *operation) check(ctx context.Context) error {
	var problems, hints []string
	problem := func(hint, format string, args ...any) {
		problems = append(problems, fmt.Sprintf(format, args...))
		if hint != "" && !slices.Contains(hints, hint) {
			hints = append(hints, hint)
		}
	}
	for i, p := range o.Parts {
		if !o.split() && p.Group == o.Source {
			problem("", "Source and target are the same node.")
		}
		if _, known := o.nodes[p.Group]; !known {
			problem("", "Node group %d has no active primary.", p.Group)
			continue
		}
		rows, err := query(ctx, o.owner, "SELECT shouldhaveshards FROM trunkline.pg_dist_node WHERE groupid = %d AND noderole = 'primary'", p.Group)
		if err != nil {
			return err
		}
		if len(rows) == 0 || string(rows[0][0]) != "t" {
			problem("Let the node hold shards with citus_set_node_property(…, 'shouldhaveshards', true).", "Node %s is not to hold shards.", o.nodes[p.Group])
		}
		if err := o.checkTarget(ctx, i, problem); err != nil {
			problem("", "%s", sentence(err))
		}
	}
	if err := o.checkSource(ctx, problem); err != nil {
		problem("", "%s", sentence(err))
	}
	if len(problems) == 0 {
		return nil
	}
	verb := "moved"
	if o.split() {
		verb = "split"
	}
	return &sql.Error{Code: "55000", Message: fmt.Sprintf("shard group %d cannot be %s", o.ShardGroup, verb),
		Detail: strings.Join(problems, " "), Hint: strings.Join(hints, " ")}
}

type reportProblem func(hint, format string, args ...any)

// checkTarget looks for what is in the way on a part's node.
func (o *operation) checkTarget(ctx context.Context, part int, problem reportProblem) error {
	p := o.Parts[part]
	conn, err := o.hand(ctx, p.Group)
	if err != nil {
		return err
	}
	if p.Group == o.Source && p.ID == o.ShardGroup {
		return nil
	}
	for _, schema := range o.shape.Schemas {
		name := catalog.ShardSchema(schema, p.ID)
		// An empty one was left behind by the last table that went.
		rows, err := query(ctx, conn, "SELECT trunkline_internal.drop_shard_schema(%s); SELECT pg_catalog.to_regnamespace(%s) IS NOT NULL",
			sql.QuoteLiteral(name), sql.QuoteLiteral(sql.QuoteIdentifier(name)))
		if err != nil {
			return err
		}
		if string(rows[0][0]) == "t" {
			problem(fmt.Sprintf("Look at schema %s there; drop it if nothing in it is needed.", sql.QuoteIdentifier(name)),
				"Node %s has tables of the shard group already.", o.nodes[p.Group])
		}
	}
	return nil
}

// checkSource looks for what is in the way on the source.
func (o *operation) checkSource(ctx context.Context, problem reportProblem) error {
	if o.Mode == BlockWrites {
		_, err := o.hand(ctx, o.Source)
		return err
	}
	conn, err := o.hand(ctx, o.Source)
	if err != nil {
		return err
	}
	rows, err := query(ctx, conn, `SELECT pg_catalog.current_setting('wal_level'),
		pg_catalog.current_setting('max_replication_slots')::int - (SELECT pg_catalog.count(*) FROM pg_catalog.pg_replication_slots),
		pg_catalog.current_setting('max_wal_senders')::int - (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'walsender')`)
	if err != nil {
		return err
	}
	source := o.nodes[o.Source]
	if level := string(rows[0][0]); level != "logical" {
		problem("Set wal_level to logical and restart the server, or use shard_transfer_mode := 'block_writes'.", "Node %s has wal_level %s.", source, level)
	}
	if number(rows[0][1]) <= 0 {
		problem("Raise max_replication_slots, or wait for other moves.", "Node %s has no free replication slot.", source)
	}
	if number(rows[0][2]) <= 0 {
		problem("Raise max_wal_senders, or wait for other moves.", "Node %s has no free WAL sender.", source)
	}
	for _, t := range o.shape.filled() {
		identified, err := o.identified(ctx, conn, t)
		if err != nil {
			return err
		}
		switch {
		case t.Unlogged:
			problem("Use shard_transfer_mode := 'block_writes'.", "Table %q is unlogged: its changes cannot be followed.", t.Name)
		case !identified && o.Mode == Auto:
			problem("Add a primary key or a replica identity, or use shard_transfer_mode := 'force_logical' or 'block_writes'.",
				"Table %q has neither a primary key nor another replica identity: updated and deleted rows cannot be followed.", t.Name)
		}
	}
	return nil
}

// identified tells whether changed rows of a table say which rows they are.
func (o *operation) identified(ctx context.Context, source *backend.Conn, t *Table) (bool, error) {
	rows, err := query(ctx, source, `SELECT c.relreplident = 'f' OR EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
			AND CASE c.relreplident WHEN 'd' THEN i.indisprimary WHEN 'i' THEN i.indisreplident END)
		FROM pg_catalog.pg_class c WHERE c.oid = %s::regclass`, sql.QuoteLiteral(o.sourceTable(t)))
	if err != nil {
		return false, err
	}
	return string(rows[0][0]) == "t", nil
}

// sentence makes an error's text fit for a DETAIL.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + strings.TrimSuffix(text[1:], ".") + "."
}

func number(b []byte) int64 {
	n, _ := strconv.ParseInt(string(b), 10, 64)
	return n
}
