package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/txn"
)

type commandArgs struct {
	Command  *string `json:"command"`
	Parallel *bool   `json:"parallel"`
	Table    uint32  `json:"table_name"`
	Table1   uint32  `json:"table_name1"`
	Table2   uint32  `json:"table_name2"`
}

// order is one command for one node, and what comes before its outcome in its result row.
type order struct {
	group int32
	text  string
	label []string
}

func commandOf(raw json.RawMessage) (commandArgs, error) {
	var args commandArgs
	if err := json.Unmarshal(raw, &args); err != nil {
		return args, sql.Errorf("22023", "cannot read the arguments: %v", err)
	}
	if args.Command == nil {
		return args, sql.Errorf("22004", "command cannot be null")
	}
	return args, nil
}

func runOnWorkers(o *operation, ctx context.Context, raw json.RawMessage) (CallResult, error) {
	args, err := commandOf(raw)
	if err != nil {
		return CallResult{}, err
	}
	nodes, err := o.knownNodes(ctx)
	if err != nil {
		return CallResult{}, err
	}
	var orders []order
	for _, n := range nodes {
		if n.group != catalog.CoordinatorGroup {
			orders = append(orders, order{n.group, *args.Command, []string{n.address.Host, strconv.Itoa(n.address.Port)}})
		}
	}
	return o.carryOut(ctx, []string{"nodename", "nodeport", "success", "result"}, orders, args.Parallel)
}

func runOnAllNodes(o *operation, ctx context.Context, raw json.RawMessage) (CallResult, error) {
	args, err := commandOf(raw)
	if err != nil {
		return CallResult{}, err
	}
	nodes, err := o.knownNodes(ctx)
	if err != nil {
		return CallResult{}, err
	}
	var orders []order
	for _, n := range nodes {
		orders = append(orders, order{n.group, *args.Command, []string{strconv.Itoa(n.id)}})
	}
	return o.carryOut(ctx, []string{"nodeid", "success", "result"}, orders, args.Parallel)
}

func runOnCoordinator(o *operation, ctx context.Context, raw json.RawMessage) (CallResult, error) {
	args, err := commandOf(raw)
	if err != nil {
		return CallResult{}, err
	}
	nodes, err := o.knownNodes(ctx)
	if err != nil {
		return CallResult{}, err
	}
	return o.carryOut(ctx, []string{"nodeid", "success", "result"},
		[]order{{catalog.CoordinatorGroup, *args.Command, []string{strconv.Itoa(nodes[0].id)}}}, args.Parallel)
}

func runOnShards(o *operation, ctx context.Context, raw json.RawMessage) (CallResult, error) {
	return o.onPlacements(ctx, raw, []string{"shardid", "success", "result"}, func(p placement) []string { return []string{p.shard} })
}

func runOnPlacements(o *operation, ctx context.Context, raw json.RawMessage) (CallResult, error) {
	return o.onPlacements(ctx, raw, []string{"nodename", "nodeport", "shardid", "success", "result"},
		func(p placement) []string { return []string{p.host, p.port, p.shard} })
}

func (o *operation) onPlacements(ctx context.Context, raw json.RawMessage, columns []string, label func(placement) []string) (CallResult, error) {
	args, err := commandOf(raw)
	if err != nil {
		return CallResult{}, err
	}
	placements, err := o.placements(ctx, args.Table)
	if err != nil {
		return CallResult{}, err
	}
	var orders []order
	for i, p := range placements {
		if len(columns) == 3 && i > 0 && placements[i-1].shard == p.shard {
			continue // a reference table's shard: one copy will do
		}
		orders = append(orders, order{p.group, strings.ReplaceAll(*args.Command, "%s", p.name), label(p)})
	}
	return o.carryOut(ctx, columns, orders, args.Parallel)
}

func runOnColocatedPlacements(o *operation, ctx context.Context, raw json.RawMessage) (CallResult, error) {
	args, err := commandOf(raw)
	if err != nil {
		return CallResult{}, err
	}
	first, err := o.placements(ctx, args.Table1)
	if err != nil {
		return CallResult{}, err
	}
	second, err := o.placements(ctx, args.Table2)
	if err != nil {
		return CallResult{}, err
	}
	if len(first) == 0 || len(first) != len(second) || first[0].colocation != second[0].colocation {
		return CallResult{}, sql.Errorf("42P16", "tables are not co-located")
	}
	var orders []order
	for i, p := range first {
		text := *args.Command
		for _, name := range []string{p.name, second[i].name} {
			text = strings.Replace(text, "%s", name, 1)
		}
		orders = append(orders, order{p.group, text, []string{p.host, p.port, p.shard, second[i].shard}})
	}
	return o.carryOut(ctx, []string{"nodename", "nodeport", "shardid1", "shardid2", "success", "result"}, orders, args.Parallel)
}

// placement is one shard, or copy, of a table on one node.
type placement struct {
	shard, host, port string
	group             int32
	name              string // quoted and qualified, fit to stand inside a string constant too
	colocation        int
}

// placements gives a table's placements in the order of their hash ranges.
func (o *operation) placements(ctx context.Context, oid uint32) ([]placement, error) {
	rows, err := o.look(ctx, fmt.Sprintf(`SELECT s.shardid, d.nodename, d.nodeport, p.groupid, n.nspname, c.relname,
			coalesce(g.shardgroupid, 0), t.colocationid
		FROM trunkline.pg_dist_partition t JOIN trunkline.pg_dist_shard s USING (logicalrelid) JOIN trunkline.pg_dist_placement p USING (shardid)
			JOIN pg_catalog.pg_class c ON c.oid = t.logicalrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
			LEFT JOIN trunkline.pg_dist_node d ON d.groupid = p.groupid AND d.noderole = 'primary'
			LEFT JOIN trunkline.shard_group g ON g.colocationid = t.colocationid AND (s.shardminvalue IS NULL OR g.shardminvalue = s.shardminvalue::int)
		WHERE t.logicalrelid = %d ORDER BY s.shardminvalue::int, s.shardid, p.groupid`, oid))
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, sql.Errorf("42P16", "relation is not distributed")
	}
	placements := make([]placement, len(rows))
	for i, r := range rows {
		schema := r.text(4)
		if group := int64(r.int(6)); group != 0 {
			schema = catalog.ShardSchema(schema, group)
		}
		placements[i] = placement{shard: r.text(0), host: r.text(1), port: r.text(2), group: int32(r.int(3)), name: qualify(schema, r.text(5)), colocation: r.int(7)}
	}
	return placements, nil
}

// look runs a query on the coordinator whether or not a transaction block is open, without counting as a write.
func (o *operation) look(ctx context.Context, text string) ([]row, error) {
	conn, release, err := o.tx.Borrow(ctx, catalog.CoordinatorGroup)
	if err != nil {
		return nil, err
	}
	defer release()
	return query(ctx, conn, text)
}

// knownNodes is primaries without a transaction.
func (o *operation) knownNodes(ctx context.Context) ([]node, error) {
	rows, err := o.look(ctx, activePrimaries)
	if err != nil {
		return nil, err
	}
	return nodesOf(rows), nil
}

// carryOut gives each order to its node and reports how it went: the first value of its first row, or its error. Outside a
// transaction block the commands are on their own, so that VACUUM and its like can run; inside one they belong to the block, and
// one that fails is undone by itself.
func (o *operation) carryOut(ctx context.Context, columns []string, orders []order, parallel *bool) (CallResult, error) {
	result := CallResult{Columns: columns, Rows: make([][]*string, len(orders)), Changed: true}
	perGroup := map[int32][]int{}
	for i, order := range orders {
		perGroup[order.group] = append(perGroup[order.group], i)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failure error
	for group, mine := range perGroup {
		work := func() {
			conn, release, err := o.tx.Borrow(ctx, group)
			if err == nil {
				defer release()
				o.tx.MarkWrite(group)
			}
			for _, i := range mine {
				value, ok := "", false
				switch {
				case err != nil:
					value = err.Error()
				default:
					value, ok, err = o.obey(ctx, conn, orders[i].text)
				}
				result.Rows[i] = outcome(orders[i].label, ok, value)
			}
			if err != nil && o.tx.InBlock() {
				mu.Lock()
				defer mu.Unlock()
				failure = err
			}
		}
		if parallel != nil && !*parallel {
			work()
			continue
		}
		wg.Go(work)
	}
	wg.Wait()
	return result, failure
}

func outcome(label []string, ok bool, value string) []*string {
	var row []*string
	for _, l := range label {
		row = append(row, &l)
	}
	success := "f"
	if ok {
		success = "t"
	}
	return append(row, &success, &value)
}

// obey runs one command. An error of the command's own is its outcome; an error is returned when the connection is of no more use.
func (o *operation) obey(ctx context.Context, conn *backend.Conn, text string) (value string, ok bool, err error) {
	const mark = "trunkline_command"
	inBlock := o.tx.InBlock()
	if inBlock {
		if _, err := conn.Exec(ctx, "SAVEPOINT "+mark); err != nil {
			return err.Error(), false, err
		}
	}
	results, failure := conn.Exec(ctx, text)
	var refused *pgconn.PgError
	if failure != nil && !errors.As(failure, &refused) {
		return failure.Error(), false, failure
	}
	if inBlock {
		end := "RELEASE SAVEPOINT " + mark
		if failure != nil {
			end = "ROLLBACK TO SAVEPOINT " + mark + "; " + end
		}
		if _, err := conn.Exec(ctx, end); err != nil {
			return err.Error(), false, err
		}
	}
	switch {
	case failure != nil:
		return "ERROR: " + refused.Message, false, nil
	case len(results) == 0:
		return "", true, nil
	}
	last := results[len(results)-1]
	if len(last.Fields) > 0 {
		if len(last.Rows) > 0 && len(last.Rows[0]) > 0 {
			return string(last.Rows[0][0]), true, nil
		}
		return "", true, nil
	}
	return last.Tag, true, nil
}

// recoverPrepared finishes distributed transactions that were left half-way, and tells how many.
func recoverPrepared(o *operation, ctx context.Context, _ json.RawMessage) (CallResult, error) {
	nodes, err := o.knownNodes(ctx)
	if err != nil {
		return CallResult{}, err
	}
	var list []txn.Node
	for _, n := range nodes {
		if n.address.Host != "" {
			list = append(list, txn.Node{GroupID: n.group, Address: n.address})
		}
	}
	done, err := o.config.Manager.Recover(ctx, list)
	if err != nil {
		return CallResult{}, &sql.Error{Code: "58000", Message: "some nodes could not be recovered", Detail: err.Error()}
	}
	count := strconv.Itoa(done.Committed + done.RolledBack)
	return CallResult{Columns: []string{"value"}, Rows: [][]*string{{&count}}}, nil
}
