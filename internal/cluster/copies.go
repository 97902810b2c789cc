package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// How a change of the set of nodes waits for those who write to reference tables: each try gives up before PostgreSQL would look for a
// deadlock and make a writer pay for it.
const (
	lockTry   = 300 * time.Millisecond
	lockPause = 100 * time.Millisecond
	lockFor   = 2 * time.Minute
)

// lockReferenceTables makes writes to reference tables wait until the transaction's end. Nobody may change the rows until a new copy
// is part of every write.
func (o *operation) lockReferenceTables(ctx context.Context) error {
	rows, err := o.query(ctx, `SELECT n.nspname, c.relname FROM trunkline.pg_dist_partition p JOIN pg_catalog.pg_class c ON c.oid = p.logicalrelid
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE p.repmodel = 't' ORDER BY p.logicalrelid`)
	if err != nil || len(rows) == 0 {
		return err
	}
	names := make([]string, len(rows))
	for i, r := range rows {
		names[i] = qualify(r.text(0), r.text(1))
	}
	before, after := scope(setting{"lock_timeout", fmt.Sprintf("%dms", lockTry.Milliseconds())})
	const mark = "trunkline_lock"
	for begun := time.Now(); ; {
		err := o.exec(ctx, "SAVEPOINT "+mark+";\n"+before+"LOCK TABLE "+strings.Join(names, ", ")+" IN SHARE ROW EXCLUSIVE MODE;\n"+after+"RELEASE SAVEPOINT "+mark)
		var refused *pgconn.PgError
		if err == nil || !errors.As(err, &refused) || refused.Code != "55P03" {
			return err
		}
		if time.Since(begun) > lockFor {
			return &sql.Error{Code: "55P03", Message: "could not lock the reference tables", Detail: fmt.Sprintf("Transactions that wrote to them stayed open for %s.", lockFor),
				Hint: "Look for long transactions in pg_stat_activity, and try again."}
		}
		if err := o.exec(ctx, "ROLLBACK TO SAVEPOINT "+mark+"; RELEASE SAVEPOINT "+mark); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lockPause):
		}
	}
}

// recordCopies writes the statement that records a node's copies of all reference tables.
func recordCopies(group int32) string {
	return fmt.Sprintf(`INSERT INTO trunkline.pg_dist_placement (shardid, groupid)
		SELECT s.shardid, %d FROM trunkline.pg_dist_partition p JOIN trunkline.pg_dist_shard s USING (logicalrelid)
		WHERE p.repmodel = 't' ON CONFLICT (shardid, groupid) DO NOTHING`, group)
}

// copyReferenceTables makes the copies of reference tables that a node does not have. The tables must be locked.
func (o *operation) copyReferenceTables(ctx context.Context, group int32) error {
	rows, err := o.query(ctx, fmt.Sprintf(`SELECT p.logicalrelid::oid::bigint FROM trunkline.pg_dist_partition p JOIN trunkline.pg_dist_shard s USING (logicalrelid)
			JOIN pg_catalog.pg_class c ON c.oid = p.logicalrelid
		WHERE p.repmodel = 't' AND NOT c.relispartition AND NOT EXISTS (SELECT FROM trunkline.pg_dist_placement l WHERE l.shardid = s.shardid AND l.groupid = %d)`, group))
	if err != nil {
		return err
	}
	source, err := o.coordinator(ctx)
	if err != nil {
		return err
	}
	missing := map[uint32][]*definition{}
	for _, r := range rows {
		tree, err := describeTree(ctx, source, uint32(r.int(0)))
		if err != nil {
			return err
		}
		missing[tree[0].OID] = tree
	}
	for len(missing) > 0 {
		// Referenced tables go first; of a cycle, any.
		next := uint32(0)
		for oid, tree := range missing {
			if next == 0 || !awaits(tree, missing) {
				next = oid
			}
		}
		tree := missing[next]
		delete(missing, next)
		if err := o.copyReferenceTable(ctx, tree, []int32{group}); err != nil {
			return err
		}
	}
	return nil
}

// awaits tells whether a table, or one of its partitions, references one that is still to come.
func awaits(tree []*definition, missing map[uint32][]*definition) bool {
	for _, d := range tree {
		for _, k := range d.Constraints {
			if k.Type == "f" && k.References != tree[0].OID && missing[k.References] != nil {
				return true
			}
		}
	}
	return false
}

// replicateReferenceTables gives every active node the reference tables that it lacks.
func replicateReferenceTables(o *operation, ctx context.Context, _ struct{}) (*string, error) {
	if err := o.lockNodes(ctx); err != nil {
		return nil, err
	}
	if err := o.lockReferenceTables(ctx); err != nil {
		return nil, err
	}
	nodes, err := o.primaries(ctx)
	if err != nil {
		return nil, err
	}
	for _, n := range nodes {
		if n.group == catalog.CoordinatorGroup {
			continue
		}
		if err := o.copyReferenceTables(ctx, n.group); err != nil {
			return nil, err
		}
		if err := o.exec(ctx, recordCopies(n.group)); err != nil {
			return nil, err
		}
	}
	return void(), nil
}

// dropReferenceCopies removes a node's copies of reference tables.
func (o *operation) dropReferenceCopies(ctx context.Context, n *registered) error {
	if n.role != "primary" {
		return nil
	}
	rows, err := o.query(ctx, fmt.Sprintf(`DELETE FROM trunkline.pg_dist_placement l USING trunkline.pg_dist_shard s, trunkline.pg_dist_partition p,
			pg_catalog.pg_class c, pg_catalog.pg_namespace ns
		WHERE l.groupid = %d AND s.shardid = l.shardid AND p.logicalrelid = s.logicalrelid AND p.repmodel = 't' AND c.oid = p.logicalrelid AND ns.oid = c.relnamespace
		RETURNING ns.nspname, c.relname`, n.group))
	if err != nil || len(rows) == 0 || !n.active {
		return err
	}
	text := "DROP TABLE IF EXISTS "
	for i, r := range rows {
		if i > 0 {
			text += ", "
		}
		text += qualify(r.text(0), r.text(1))
	}
	// A node that is taken away because it is dead cannot be cleaned up; one that comes back is, since copies are made anew.
	if !o.reachable(ctx, n.id) {
		return nil
	}
	return o.runEverywhere(ctx, []int32{n.group}, text+" CASCADE")
}
