// Package move moves shard groups to other nodes, and splits them, while clients read and write them.
//
// The tables are made on the target in schemas that nobody knows (trunkline_coming_…), filled from a snapshot of the source, given
// their indexes, and brought up to date by PostgreSQL's logical decoding: the gateway reads the changes from a temporary slot on the
// source and applies them. Then the switch, in one distributed transaction: writes to the source's shards are locked out, the last
// changes arrive, reads are locked out too, the source's schemas take names that nobody knows (trunkline_gone_…), the target's take
// theirs, and the metadata says so. A statement that comes too late meets no such table and is run again where the shards are now.
//
// What an operation makes is recorded in trunkline.shard_move and trunkline.pg_dist_cleanup before it is made, and the gateway that
// carries it out holds an advisory lock on the coordinator as long as it lives. Whoever finds a record without such a lock undoes the
// operation, or, if the switch was committed, finishes it (CleanUp).
//
// It imports txn, backend, catalog, cluster/ddl and sql. Read Request and Run first, then switch.go.
package move

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/txn"
)

// Mode is how a shard group's rows get to their new place: citus.shard_transfer_mode.
type Mode string

const (
	Auto         Mode = "auto"          // by logical decoding; tables without a replica identity are refused
	ForceLogical Mode = "force_logical" // by logical decoding; whole rows identify themselves in tables without a replica identity
	BlockWrites  Mode = "block_writes"  // by one copy, while writes wait
)

// Request is one operation: a shard group and what becomes of it.
type Request struct {
	ShardGroup int64
	Source     int32 // the group id of the node that must hold it
	Mode       Mode

	// Parts are what the shard group becomes: one part with the shard group's own id and range for a move, several with new ids, whose
	// ranges tile it, for a split.
	Parts []Part
}

// Part is a shard group that comes into being.
type Part struct {
	ID       int64 // of the shard group; for a split 0: it is given one
	Group    int32 // of the node that is to hold it
	Min, Max int32 // inclusive hash range; for a move as it is
}

// To is the request to move a shard group as it is.
func To(shardGroup int64, source, target int32, mode Mode) Request {
	return Request{ShardGroup: shardGroup, Source: source, Mode: mode, Parts: []Part{{ID: shardGroup, Group: target}}}
}

func (r *Request) split() bool { return len(r.Parts) != 1 || r.Parts[0].ID != r.ShardGroup }

// Env is what operations work with.
type Env struct {
	Pools   *backend.Pools
	Manager *txn.Manager
	Admin   backend.Identity // a superuser on all nodes, in the database of the tables

	Coordinator backend.Address
	// Shape describes the tables of a colocation group, as the transaction on the given connection to the coordinator sees them.
	Shape func(ctx context.Context, coordinator *backend.Conn, colocation int) (*Shape, error)

	Notice func(ctx context.Context, message string) // tells the user what is being waited for; nil for nobody
	Log    *slog.Logger

	// Faults, if set, is called at each step for tests. An error makes the operation stop there as if the gateway had died.
	Faults func(step string) error
}

// The steps of an operation, as trunkline.shard_move has them.
const (
	stepWaiting   = "waiting"     // for another move of the shard group, or a change of its tables' definitions
	stepPreparing = "preparing"   // tables on the target, publication and slot on the source
	stepCopying   = "copying"     // the rows of the slot's snapshot
	stepIndexing  = "indexing"    // indexes, constraints, statistics
	stepCatchUp   = "catching up" // changes since the snapshot
	stepSwitching = "switching"   // the locks on the source, the last changes, the metadata
	stepCleaning  = "cleaning up" // the switch is committed; what the source held goes away
)

// operation is one request under way.
type operation struct {
	*Env
	Request
	id         int64
	colocation int
	min, max   int32 // of the shard group
	nodes      map[int32]backend.Address
	shape      *Shape
	owner      *backend.Conn // to the coordinator; holds the operation's locks
	progress   *progress
	conns      []*backend.Conn         // all that are open
	hands      map[int32]*backend.Conn // those for one thing after the other
	stream     *stream
	applier    *applier
	marks      int // sent so far
}

// Run carries a request out. It returns once the shard group is at its new place and the old one is cleared away, or with an error
// once everything is undone; what cannot be cleared away yet is left to CleanUp. It cannot be part of a transaction.
func Run(ctx context.Context, env *Env, request Request) (err error) {
	o := &operation{Env: env, Request: request}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	defer o.close()
	if o.owner, err = o.connect(ctx, env.Coordinator, nil); err != nil {
		return err
	}
	if err := o.begin(ctx); err != nil {
		return o.fail(ctx, err)
	}
	if err := o.carryOut(ctx); err != nil {
		return o.fail(ctx, err)
	}
	// The move is done. Whatever of this does not succeed now, CleanUp does later.
	if err := o.finish(context.WithoutCancel(ctx)); err != nil {
		if isCrash(err) {
			return err
		}
		o.Log.Warn("a move left something behind for now", "operation", o.id, "error", err)
	}
	return nil
}

func (o *operation) carryOut(ctx context.Context) error {
	if o.Mode == BlockWrites {
		return o.carryOutBlocking(ctx)
	}
	if err := o.prepare(ctx); err != nil {
		return err
	}
	if err := o.copyAll(ctx, nil); err != nil {
		return err
	}
	if err := o.index(ctx); err != nil {
		return err
	}
	if err := o.follow(ctx); err != nil {
		return err
	}
	return o.switchOver(ctx)
}

// carryOutBlocking locks writes out first.
func (o *operation) carryOutBlocking(ctx context.Context) error {
	if err := o.prepare(ctx); err != nil {
		return err
	}
	s, err := o.lockForCopy(ctx)
	if err != nil {
		return err
	}
	defer s.rollback(ctx)
	if err := o.copyAll(ctx, s.source); err != nil {
		return err
	}
	if err := o.index(ctx); err != nil {
		return err
	}
	if err := o.enter(ctx, stepSwitching); err != nil {
		return err
	}
	return s.completeBlocking(ctx)
}

// fail undoes the operation, unless the gateway is to have died, and gives the error.
func (o *operation) fail(ctx context.Context, err error) error {
	if isCrash(err) || o.id == 0 {
		return err
	}
	o.letGo()
	undo, stop := context.WithTimeout(context.WithoutCancel(ctx), undoPatience)
	defer stop()
	if left := cleanOperation(undo, o.Env, o.owner, o.id); left != nil {
		o.Log.Warn("a failed move left something behind for now", "operation", o.id, "error", left)
	}
	return err
}

// undoPatience bounds the undoing of a failed operation; what is left then is CleanUp's business.
const undoPatience = 30 * time.Second

// enter records a step, and is the fault point of that name.
func (o *operation) enter(ctx context.Context, step string) error {
	if err := o.fault("before " + step); err != nil {
		return err
	}
	if err := o.progress.enter(ctx, step); err != nil {
		return err
	}
	return o.fault(step)
}

// crash is what a fault point ends an operation with.
type crash struct{ error }

func (c crash) Unwrap() error { return c.error }

func isCrash(err error) bool {
	var c crash
	return errors.As(err, &c)
}

// fault is a named point at which tests make the gateway die.
func (o *operation) fault(step string) error {
	if o.Faults == nil {
		return nil
	}
	if err := o.Faults(step); err != nil {
		return crash{err}
	}
	return nil
}

// connect opens a connection of the operation's own.
func (o *operation) connect(ctx context.Context, address backend.Address, parameters map[string]string) (*backend.Conn, error) {
	conn, err := o.Pools.Connect(ctx, address, o.Admin, parameters)
	if err != nil {
		return nil, err
	}
	o.conns = append(o.conns, conn)
	return conn, nil
}

// to opens a connection to a node, under which no time limit of the user's holds.
func (o *operation) to(ctx context.Context, group int32) (*backend.Conn, error) {
	address, ok := o.nodes[group]
	if !ok {
		return nil, sql.Errorf("08001", "node group %d has no active primary", group)
	}
	conn, err := o.connect(ctx, address, nil)
	if err != nil {
		return nil, err
	}
	return conn, run(ctx, conn, unhurried)
}

// hand gives the connection to a node over which the operation does one thing after the other.
func (o *operation) hand(ctx context.Context, group int32) (*backend.Conn, error) {
	if conn := o.hands[group]; conn != nil {
		return conn, nil
	}
	conn, err := o.to(ctx, group)
	if err != nil {
		return nil, err
	}
	if o.hands == nil {
		o.hands = map[int32]*backend.Conn{}
	}
	o.hands[group] = conn
	return conn, nil
}

// unhurried are settings for connections that work for long and whose texts must be the same everywhere.
const unhurried = `SET search_path = pg_catalog; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET idle_session_timeout = 0;
	SET lock_timeout = 0; SET client_min_messages = warning; SET check_function_bodies = off; SET row_security = off;
	SET DateStyle = 'ISO, MDY'; SET IntervalStyle = postgres; SET extra_float_digits = 1; SET bytea_output = hex; SET TimeZone = 'UTC'; SET default_transaction_isolation = 'read committed';
	SET default_transaction_read_only = off`

// letGo ends everything that the operation has open but its owner's connection.
func (o *operation) letGo() {
	if o.stream != nil {
		o.stream.close()
	}
	if o.progress != nil {
		o.progress.stop()
	}
	for _, conn := range o.conns {
		if conn != o.owner {
			conn.Close()
		}
	}
	o.conns, o.hands = nil, nil
}

// close ends the operation's connections, the one that holds its locks last.
func (o *operation) close() {
	o.letGo()
	if o.owner != nil {
		o.owner.Close()
	}
}

// notice tells the log, and the user, what is being waited for.
func (o *operation) notice(ctx context.Context, reason string) {
	o.Log.Info("a shard group's move waits", "shard group", o.ShardGroup, "for", reason)
	if o.Notice != nil {
		o.Notice(ctx, fmt.Sprintf("shard group %d: waiting for %s", o.ShardGroup, reason))
	}
}

// coming is the schema in which a part's tables of a schema are made, gone the one that the source's get.
func (o *operation) coming(part, schema int) string { return hidden("coming", o.id, part, schema) }
func (o *operation) gone(schema int) string         { return hidden("gone", o.id, 0, schema) }

func hidden(kind string, operation int64, part, schema int) string {
	return fmt.Sprintf("trunkline_%s_%d_%d_%d", kind, operation, part, schema)
}

// sourceTable is a table's shard on the source.
func (o *operation) sourceTable(t *Table) string {
	return qualify(catalog.ShardSchema(t.Schema, o.ShardGroup), t.Name)
}

// partTable is a table's shard of a part before the switch.
func (o *operation) partTable(part int, t *Table) string {
	return qualify(o.coming(part, o.shape.schema(t.Schema)), t.Name)
}

func qualify(schema, name string) string {
	return sql.QuoteIdentifier(schema) + "." + sql.QuoteIdentifier(name)
}

// run runs statements on a connection.
func run(ctx context.Context, conn *backend.Conn, text string) error {
	if text == "" {
		return nil
	}
	_, err := conn.Exec(ctx, text)
	return err
}

// query runs statements and gives the last one's rows.
func query(ctx context.Context, conn *backend.Conn, format string, args ...any) ([][][]byte, error) {
	results, err := conn.Exec(ctx, fmt.Sprintf(format, args...))
	if err != nil || len(results) == 0 {
		return nil, err
	}
	return results[len(results)-1].Rows, nil
}
