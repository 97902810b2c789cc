package exec

import (
	"context"
	"slices"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
)

// referenceWrite runs a statement on every copy of a reference table.
func (x *execution) referenceWrite(ctx context.Context, op *plan.ReferenceWrite, f *form, out RowWriter) (string, error) {
	if op.ByContent && x.env.Plain != nil {
		return "", sql.Unsupported("this write to a reference table without a primary key is not supported here",
			"Its rows are known by their text, and the session's settings change how values are written.", "Set DateStyle to ISO, IntervalStyle to postgres and extra_float_digits to 1, or add a primary key.")
	}
	if !op.CopyRows {
		return x.everywhere(ctx, op.SQL, f, out)
	}
	var tag string
	err := x.env.Tx.RunAtomically(ctx, func() error {
		if err := announceReference(ctx, x.env); err != nil {
			return err
		}
		stored := *x.prepared.stored[op]
		stored.Rows = NewSpool(0)
		defer stored.Rows.Close()
		var err error
		tag, err = x.single(ctx, catalog.CoordinatorGroup, op.SQL, place{}, &form{columns: len(stored.OIDs)}, true, rowFunc(stored.Rows.Add))
		if err != nil {
			return err
		}
		// As a subplan it has a slot already, in which its RETURNING rows are being kept.
		own := x.results
		defer func() { x.results = own }()
		x.results = append(slices.Clone(own[:op.Slot]), &stored)
		stored.index = op.Slot
		if stored.Rows.Len() > 0 {
			if _, err := x.onOthers(ctx, op.Rows, stored.Rows.Len()); err != nil {
				return err
			}
		}
		if op.Returning == nil {
			return nil
		}
		_, err = x.single(ctx, catalog.CoordinatorGroup, op.Returning, place{}, f, false, out)
		return err
	})
	return tag, err
}

// everywhere runs a template on the coordinator, whose rows go to the client, and then on all other nodes at once. The
// coordinator goes first, so that two such statements meet there and do not wait for each other in a circle. Each node must
// change as many rows as the coordinator.
func (x *execution) everywhere(ctx context.Context, t plan.Template, f *form, out RowWriter) (string, error) {
	var tag string
	err := x.env.Tx.RunAtomically(ctx, func() error {
		err := announceReference(ctx, x.env)
		if err != nil {
			return err
		}
		if tag, err = x.single(ctx, catalog.CoordinatorGroup, t, place{}, f, true, out); err != nil {
			return err
		}
		_, err = x.onOthers(ctx, t, tagCount(tag))
		return err
	})
	return tag, err
}

// announceReference has the coordinator let the block's next statement write to a reference table. Its copy refuses those that come
// unannounced (trunkline_internal.refuse_copy): they were planned while the table was local, or while there were other nodes, and would
// not change every copy.
func announceReference(ctx context.Context, env *Env) error {
	c, err := env.Tx.Conn(ctx, catalog.CoordinatorGroup)
	if err != nil {
		return err
	}
	groups := []byte("groups")
	for _, n := range env.Snapshot.ActivePrimaries() {
		if n.GroupID != catalog.CoordinatorGroup {
			groups = appendInt(append(groups, ' '), int64(n.GroupID))
		}
	}
	c.Prefix("SET LOCAL trunkline.reference = '" + string(groups) + "'")
	return nil
}

// onOthers runs a template on all nodes but the coordinator and makes sure that each changes as many rows as it should.
func (x *execution) onOthers(ctx context.Context, t plan.Template, rows int64) (tag string, err error) {
	var lanes []*lane
	defer func() { x.closeLanes(ctx, lanes, err != nil) }()
	f := &form{columns: -1}
	for _, n := range x.snapshot.ActivePrimaries() {
		if n.GroupID == catalog.CoordinatorGroup {
			continue
		}
		l := &lane{tasks: []task{{node: n.GroupID, at: place{node: n.GroupID}}}}
		if l.conn, l.release, err = x.env.Tx.Borrow(ctx, n.GroupID); err != nil {
			return "", err
		}
		lanes = append(lanes, l)
		x.env.Tx.MarkWrite(n.GroupID)
		text, err := x.render(x.env.text[:0], t, l.tasks[0].at)
		if err != nil {
			return "", err
		}
		x.env.text = text[:0]
		x.send(l.conn, text, f)
		if err := l.conn.Flush(); err != nil {
			return "", err
		}
	}
	for _, l := range lanes {
		if tag, err = x.receive(ctx, l.conn, f, func([]byte) error { return nil }); err != nil {
			return "", err
		}
		if n := tagCount(tag); n != rows {
			return "", &sql.Error{
				Code:    "XX001",
				Message: "the copies of a reference table differ",
				Detail:  "The statement would change " + string(appendInt(nil, rows)) + " rows on the coordinator and " + string(appendInt(nil, n)) + " on node group " + string(appendInt(nil, int64(l.tasks[0].node))) + ".",
			}
		}
	}
	return tag, nil
}
