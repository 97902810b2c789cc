package cluster

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/cluster/ddl"
	"github.com/trunkline/trunkline/internal/sql"
	"golang.org/x/sync/errgroup"
)

// node is a primary in use, as the transaction sees the metadata.
type node struct {
	id      int
	group   int32
	address backend.Address
	shards  bool // new shards may be put there
}

// coordinator gives the transaction's connection to the coordinator.
func (o *operation) coordinator(ctx context.Context) (*backend.Conn, error) {
	o.tx.MarkWrite(catalog.CoordinatorGroup)
	return o.tx.Conn(ctx, catalog.CoordinatorGroup)
}

// primaries lists the active primaries, the coordinator first. They are read from the metadata rather than taken from the
// snapshot, so that nodes that this transaction added are among them.
func (o *operation) primaries(ctx context.Context) ([]node, error) {
	rows, err := o.query(ctx, keepNodes+"; "+activePrimaries)
	if err != nil {
		return nil, err
	}
	nodes := nodesOf(rows)
	for _, n := range nodes {
		if n.group != catalog.CoordinatorGroup {
			o.tx.Locate(n.group, n.address) // the session may not know yet of a node that others have just added
		}
	}
	return nodes, nil
}

// keepNodes keeps the set of nodes as it is until the transaction's end: what is done on all nodes must be done on one that is added
// meanwhile, too.
const keepNodes = `SELECT pg_catalog.pg_advisory_xact_lock_shared(pg_catalog.hashtextextended('trunkline nodes', 0))`

const activePrimaries = `SELECT nodeid, groupid, nodename, nodeport, shouldhaveshards FROM trunkline.pg_dist_node
	WHERE noderole = 'primary' AND isactive ORDER BY groupid`

func nodesOf(rows []row) []node {
	var nodes []node
	for _, row := range rows {
		nodes = append(nodes, node{id: row.int(0), group: int32(row.int(1)), address: backend.Address{Host: row.text(2), Port: row.int(3)}, shards: row.bool(4)})
	}
	if len(nodes) == 0 || nodes[0].group != catalog.CoordinatorGroup {
		nodes = append([]node{{group: catalog.CoordinatorGroup}}, nodes...)
	}
	return nodes
}

// groups gives the groups of all active primaries, the coordinator first.
func (o *operation) groups(ctx context.Context) ([]int32, error) {
	nodes, err := o.primaries(ctx)
	if err != nil {
		return nil, err
	}
	groups := make([]int32, len(nodes))
	for i, n := range nodes {
		groups[i] = n.group
	}
	return groups, nil
}

// others gives the groups of all active primaries but the coordinator.
func (o *operation) others(ctx context.Context) ([]int32, error) {
	groups, err := o.groups(ctx)
	return slices.DeleteFunc(groups, func(g int32) bool { return g == catalog.CoordinatorGroup }), err
}

// onNodes runs f for several nodes side by side, each with the transaction's connection to it. It waits for all of them and gives
// the first node's error.
func (o *operation) onNodes(ctx context.Context, groups []int32, f func(ctx context.Context, group int32, conn *backend.Conn) error) error {
	conns := make([]*backend.Conn, len(groups))
	for i, group := range groups {
		conn, err := o.tx.Conn(ctx, group)
		if err != nil {
			return err
		}
		o.tx.MarkWrite(group)
		conns[i] = conn
	}
	errs := make([]error, len(groups))
	var g errgroup.Group
	for i, group := range groups {
		g.Go(func() error {
			errs[i] = f(ctx, group, conns[i])
			return nil
		})
	}
	g.Wait()
	for _, err := range errs {
		if err != nil {
			return o.inUsersNames(err)
		}
	}
	return nil
}

// inUsersNames puts the user's schemas in place of shard schemas in a node's error, and takes out positions, which are in our text.
func (o *operation) inUsersNames(err error) error {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return err
	}
	e := *refused
	e.Position, e.InternalQuery, e.InternalPosition = 0, "", 0
	schemas := map[string]bool{}
	for name := range o.snap.Relations {
		schemas[name.Schema] = true
	}
	for _, field := range []*string{&e.Message, &e.Detail, &e.Hint, &e.Where, &e.SchemaName} {
		*field = shardSchemaLike.ReplaceAllStringFunc(*field, func(found string) string {
			if schema := found[:strings.LastIndexByte(found, '_')]; schemas[schema] {
				return schema
			}
			return found
		})
	}
	return &e
}

// shardSchemaLike finds what may be a shard schema's name; shard ids begin at 102008.
var shardSchemaLike = regexp.MustCompile(`[\pL\d_]+_[0-9]{6,}\b`)

// runEverywhere runs one text, of one statement or several, on several nodes.
func (o *operation) runEverywhere(ctx context.Context, groups []int32, text string) error {
	return o.onNodes(ctx, groups, func(ctx context.Context, _ int32, conn *backend.Conn) error {
		return run(ctx, conn, text)
	})
}

// shardGroup is a row of trunkline.shard_group.
type shardGroup struct {
	id       int64
	min, max int32
	group    int32
}

// shardGroups gives a colocation group's shard groups, in the order of their ranges. They stay where they are until the transaction
// ends.
func (o *operation) shardGroups(ctx context.Context, colocation int) ([]shardGroup, error) {
	if err := o.awaitMoves(ctx, colocation); err != nil {
		return nil, err
	}
	rows, err := o.query(ctx, `SELECT shardgroupid, shardminvalue, shardmaxvalue, groupid FROM trunkline.shard_group
		WHERE colocationid = `+strconv.Itoa(colocation)+` ORDER BY shardminvalue`)
	if err != nil {
		return nil, err
	}
	groups := make([]shardGroup, len(rows))
	for i, row := range rows {
		groups[i] = shardGroup{id: int64(row.int(0)), min: int32(row.int(1)), max: int32(row.int(2)), group: int32(row.int(3))}
	}
	return groups, nil
}

// perNode sorts shard groups by the node that holds them.
func perNode(shards []shardGroup) (nodes []int32, held map[int32][]shardGroup) {
	held = map[int32][]shardGroup{}
	for _, s := range shards {
		if held[s.group] == nil {
			nodes = append(nodes, s.group)
		}
		held[s.group] = append(held[s.group], s)
	}
	slices.Sort(nodes)
	return nodes, held
}

// onShards runs a template once per shard group, all of a node's in one message.
func (o *operation) onShards(ctx context.Context, shards []shardGroup, script ddl.Template) error {
	nodes, held := perNode(shards)
	return o.onNodes(ctx, nodes, func(ctx context.Context, group int32, conn *backend.Conn) error {
		var text strings.Builder
		for _, s := range held[group] {
			text.WriteString(script.For(s.id))
		}
		return run(ctx, conn, text.String())
	})
}

// row is one row of a query's result, in text format.
type row [][]byte

func (r row) text(i int) string { return string(r[i]) }
func (r row) null(i int) bool   { return r[i] == nil }
func (r row) bool(i int) bool   { return string(r[i]) == "t" }

// int reads an integer; the queries of this package cast what they select, so there is nothing else to be met.
func (r row) int(i int) int {
	n, _ := strconv.Atoi(string(r[i]))
	return n
}

// float reads a number.
func (r row) float(i int) float64 {
	f, _ := strconv.ParseFloat(string(r[i]), 64)
	return f
}

// query runs one statement on the coordinator and gives its rows.
func (o *operation) query(ctx context.Context, text string) ([]row, error) {
	conn, err := o.coordinator(ctx)
	if err != nil {
		return nil, err
	}
	return query(ctx, conn, text)
}

// exec runs statements on the coordinator.
func (o *operation) exec(ctx context.Context, text string) error {
	_, err := o.query(ctx, text)
	return err
}

// query runs statements and gives the last one's rows.
func query(ctx context.Context, conn *backend.Conn, text string) ([]row, error) {
	results, err := conn.Exec(ctx, text)
	if err != nil || len(results) == 0 {
		return nil, err
	}
	rows := results[len(results)-1].Rows
	converted := make([]row, len(rows))
	for i, r := range rows {
		converted[i] = r
	}
	return converted, nil
}

// run runs a script of ours on a node, without the notices that only repeat what the user has heard from the coordinator.
func run(ctx context.Context, conn *backend.Conn, text string) error {
	if text == "" {
		return nil
	}
	before, after := scope(quiet, lenient)
	_, err := conn.Exec(ctx, before+strings.TrimRight(text, "; \n")+";\n"+after)
	return err
}

// setting is a setting's name and value.
type setting struct{ name, value string }

var (
	quiet   = setting{"client_min_messages", "warning"}
	lenient = setting{"check_function_bodies", "off"} // a function may name what exists on the coordinator only
)

// scope gives statements that put settings into force and that bring back what they were before. The old values are kept in
// settings of our own, which costs no round trip; when a statement in between fails, the transaction's end undoes the settings.
func scope(settings ...setting) (before, after string) {
	for _, s := range settings {
		saved := "'trunkline.saved_" + s.name + "'"
		before += "SELECT pg_catalog.set_config(" + saved + ", pg_catalog.current_setting('" + s.name + "'), true), " +
			"pg_catalog.set_config('" + s.name + "', " + sql.QuoteLiteral(s.value) + ", true);\n"
		after += "SELECT pg_catalog.set_config('" + s.name + "', pg_catalog.current_setting(" + saved + "), true);\n"
	}
	return before, after
}

// queryUnqualified runs one query with search_path set to pg_catalog alone, so that the catalogs' functions qualify all other names.
func queryUnqualified(ctx context.Context, conn *backend.Conn, text string) ([]row, error) {
	before, after := scope(setting{"search_path", "pg_catalog"})
	results, err := conn.Exec(ctx, before+strings.TrimRight(text, "; \n")+";\n"+after)
	if err != nil {
		return nil, err
	}
	var rows []row
	for _, r := range results[1].Rows {
		rows = append(rows, r)
	}
	return rows, nil
}
