// Package exec runs plans: it fills in a plan's templates, finds the shard groups, sends tasks to nodes, and brings their rows
// together on the way to the client.
//
// It imports plan, txn, backend, catalog and sql. Read Run first, then gather.go.
package exec

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/txn"
)

// Env is the session in which a statement runs.
type Env struct {
	Tx              *txn.Tx
	Snapshot        *catalog.Snapshot
	Hashes          *Hashes       // shared by all sessions
	MaxIntermediate int64         // citus.max_intermediate_result_size in bytes, 0 for no bound
	PoolSize        int           // citus.max_adaptive_executor_pool_size: connections per node for one statement
	Holders         chan struct{} // a place in it is held by each statement that keeps connections for temporary tables: fewer than connections, so that none waits for another's; nil for no bound
	ExplainAll      bool          // citus.explain_all_tasks
	// Plain are the session's settings with those that shape values' text changed so that every node reads it back as it was; nil if
	// that is so anyway. Intermediate results are made under them.
	Plain           *backend.Settings
	ForeignEncoding bool // client_encoding is not the database's: only ASCII can be hashed here

	Sequences *Sequences // shared by all sessions
	Drawn     Drawn      // what the session has had from them
	// Settle has Sequences give back what is not used, before a statement that draws or looks by itself.
	Settle func(ctx context.Context)

	// AtOneInstant makes the snapshots that nodes take until Leave see each commit over several nodes everywhere or nowhere; nil if
	// statements are not to pay for that. See txn.Manager.AtOneInstant.
	AtOneInstant func(ctx context.Context) (*txn.Instant, error)

	// Call carries out a function of the gateway's own (create_distributed_table, …).
	Call func(ctx context.Context, name string, args json.RawMessage) (CallResult, error)
	// Facts brings what the named functions and views need to know of other nodes to the coordinator's connection.
	Facts func(ctx context.Context, names []string) error

	text, message, key []byte // scratch, kept from statement to statement
}

// CallResult is what a function of the gateway's own returned, in text format; nil is NULL.
type CallResult struct {
	Columns []string
	Rows    [][]*string
}

// Bind is what differs between two executions of one plan.
type Bind struct {
	Text          string // the client's own
	Literals      []sql.Literal
	Params        [][]byte
	ParamFormats  []int16 // as in a Bind message: none for all text, one for all, or one each
	ResultFormats []int16 // likewise
	Fields        []pgproto3.FieldDescription
	Then          func() // sends what the coordinator is to be asked after a statement that runs there as it is; nil for nothing
	Extended      bool   // the client uses the extended protocol
	Reuse         bool   // the statement is likely to be run again: nodes are to prepare it under a name
	Once          bool   // whatever nodes have prepared is not to be used: it may not fit its tables any more
}

// RowWriter takes the rows of a result, as whole DataRow messages valid during the call. If it is an io.Writer as well, rows
// that need no change may be written to it in pieces that are not whole messages.
type RowWriter interface {
	Row(raw []byte) error
}

// Run runs a plan and gives the command tag, except that of Plan.Root being a plan.Coordinator without SQL or a plan.Utility, which
// are the session's own business.
func Run(ctx context.Context, env *Env, p *Prepared, bind *Bind, out RowWriter) (tag string, err error) {
	x := &execution{env: env, prepared: p, renderer: renderer{plan: p.Plan, bind: bind, snapshot: env.Snapshot}}
	if bind.Fields == nil {
		bind.Fields = p.Fields
	}
	defer x.close(ctx)
	return x.run(ctx, out)
}

// execution is one run of a plan.
type execution struct {
	renderer
	env      *Env
	prepared *Prepared

	homes   map[int32]*home
	holds   bool                // a place among Env.Holders
	buckets *catalog.Colocation // made when first needed
}

// largeScratch is from how many bytes on a scratch buffer is not kept.
const largeScratch = 64 << 10

func (x *execution) close(ctx context.Context) {
	x.closeHomes(ctx)
	if cap(x.env.text) > largeScratch {
		x.env.text = nil
	}
	if cap(x.env.message) > largeScratch {
		x.env.message = nil
	}
	if cap(x.env.key) > largeScratch {
		x.env.key = nil
	}
	for _, result := range x.results {
		if result != nil && result.Rows != nil {
			result.Rows.Close()
		}
	}
}

func (x *execution) run(ctx context.Context, out RowWriter) (string, error) {
	if len(x.plan.Facts) > 0 {
		if err := x.env.Facts(ctx, x.plan.Facts); err != nil {
			return "", err
		}
	}
	if err := x.portableParams(ctx); err != nil {
		return "", err
	}
	out = x.withOIDs(out)
	if len(x.plan.Subplans) == 0 {
		return x.root(ctx, out)
	}
	// Subplans and root see one transaction, so that rows which an intermediate result names are still what the root finds under
	// locks that the statement takes; and what the subplans write is undone if the root fails.
	var tag string
	run := func() error {
		if err := x.subplans(ctx); err != nil {
			return err
		}
		var err error
		tag, err = x.root(ctx, out)
		return err
	}
	if x.plan.Writes {
		err := x.env.Tx.RunAtomically(ctx, run)
		return tag, err
	}
	err := run()
	return tag, err
}

func (x *execution) root(ctx context.Context, out RowWriter) (string, error) {
	if x.plan.Checks > 0 {
		out = checkedRows{out, x.plan.Checks, x.plan.ReturnsRows}
	}
	switch op := x.plan.Root.(type) {
	case *plan.Coordinator:
		tag, err := x.coordinator(ctx, op, out)
		if count, ok := strings.CutPrefix(tag, "SELECT "); ok && op.Returns {
			tag = strings.TrimSuffix(x.prepared.emptyTag, "0") + count
		}
		return tag, err
	case *plan.Gather:
		return x.gather(ctx, op, x.rootFormats(op), out)
	case *plan.InsertValues:
		return x.insertValues(ctx, op, out)
	case *plan.InsertRows:
		tag, err := x.insertRows(ctx, op, x.rootFormats(nil), out)
		if count, ok := strings.CutPrefix(tag, "INSERT 0 "); ok && op.Moves {
			tag = "UPDATE " + count
		}
		return tag, err
	case *plan.ReferenceWrite:
		return x.referenceWrite(ctx, op, x.rootFormats(nil), out)
	case *plan.Empty:
		return x.prepared.emptyTag, nil
	case *plan.ClusterCall:
		return x.clusterCall(ctx, op, out)
	}
	return "", fmt.Errorf("exec: cannot run %T", x.plan.Root)
}

// subplans runs the plan's subplans and keeps their rows.
func (x *execution) subplans(ctx context.Context) error {
	if x.env.Plain != nil {
		own := x.env.Tx.Settings()
		x.env.Tx.SetSettings(x.env.Plain)
		defer x.env.Tx.SetSettings(own)
	}
	for i := range x.plan.Subplans {
		if err := x.subplan(ctx, i); err != nil {
			return err
		}
	}
	return nil
}

// checkedRows passes rows on without the columns that plan.Plan.Checks counts, or drops them where the client asked for none.
type checkedRows struct {
	out     RowWriter
	checks  int
	returns bool
}

func (r checkedRows) Row(raw []byte) error {
	if !r.returns {
		return nil
	}
	raw, err := cutRow(raw, r.checks)
	if err != nil {
		return err
	}
	return r.out.Row(raw)
}

// subplan runs one subplan. Its rows are kept, or sent on to where they belong as they come: inside a transaction block the one
// connection to a node cannot take rows while it gives some, so there they are kept all the same.
func (x *execution) subplan(ctx context.Context, i int) error {
	g := &x.plan.Subplans[i]
	im := x.prepared.subplans[i]
	im.index = i
	x.results = append(x.results, &im)
	f := &form{columns: len(im.OIDs), reuse: x.bind.Reuse}
	f.hide(g.Hidden)
	if g.Ship != nil {
		im.ship, im.spread = g.Ship, x.colocation(g.Ship.Colocation)
		if im.spread == nil || len(im.spread.Groups) == 0 {
			return sql.Errorf("XX000", "colocation group %d does not exist", g.Ship.Colocation)
		}
		if !x.env.Tx.InBlock() {
			return x.repartition(ctx, g, &im, i, f)
		}
	}
	im.Rows = NewSpool(x.env.MaxIntermediate)
	keep := rowFunc(func(raw []byte) error {
		im.count, im.bytes = im.count+1, im.bytes+int64(len(raw))
		return im.Rows.Add(raw)
	})
	var err error
	switch {
	case g.Insert != nil:
		_, err = x.insertRows(ctx, g.Insert, f, keep)
	case g.Reference != nil:
		_, err = x.referenceWrite(ctx, g.Reference, f, keep)
	default:
		_, err = x.gather(ctx, g, f, keep)
	}
	return err
}

// rowFunc is a RowWriter that is one function.
type rowFunc func(raw []byte) error

func (f rowFunc) Row(raw []byte) error { return f(raw) }

// coordinator runs the last step on the coordinator.
func (x *execution) coordinator(ctx context.Context, op *plan.Coordinator, out RowWriter) (string, error) {
	return x.single(ctx, catalog.CoordinatorGroup, op.SQL, place{}, x.rootFormats(nil), x.plan.Writes, out)
}
