package move

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/sql"
)

// The kinds of objects in pg_dist_cleanup.object_type: the first two as in Citus.
const (
	recordSchema      = 1 // of shards; one that is to be there only after the switch is followed by "=" and its name of before
	recordPublication = 4
	recordStatement   = 100 // to be run
)

// When an object is to be cleared away: pg_dist_cleanup.policy_type, as in Citus.
const (
	policyAlways    = 0
	policyOnFailure = 1
	policyOnSuccess = 2
)

// stepUndoing is the step of an operation that someone else undoes: it cannot be committed any more.
const stepUndoing = "undoing"

// record notes, before it is made, an object that must not outlive the operation.
func (o *operation) record(ctx context.Context, kind int, name string, group int32, policy int) error {
	return run(ctx, o.owner, recordText(o.id, kind, name, group, policy))
}

func recordText(operation int64, kind int, name string, group int32, policy int) string {
	return fmt.Sprintf("INSERT INTO trunkline.pg_dist_cleanup (operation_id, object_type, object_name, node_group_id, policy_type) VALUES (%d, %d, %s, %d, %d);\n",
		operation, kind, sql.QuoteLiteral(name), group, policy)
}

// finish clears away what a switched operation leaves.
func (o *operation) finish(ctx context.Context) error {
	if err := o.fault("before clearing"); err != nil {
		return err
	}
	o.letGo()
	return cleanOperation(ctx, o.Env, o.owner, o.id)
}

// CleanUp undoes or finishes every operation whose gateway is gone. It tells how many it has brought to their end, and how many are
// left: because they are under way, or because something of them cannot be cleared away now.
func CleanUp(ctx context.Context, env *Env) (done, left int, err error) {
	conn, err := env.Pools.Connect(ctx, env.Coordinator, env.Admin, nil)
	if err != nil {
		return 0, 0, err
	}
	defer conn.Close()
	if err := run(ctx, conn, unhurried); err != nil {
		return 0, 0, err
	}
	rows, err := query(ctx, conn, "SELECT operation_id FROM trunkline.shard_move UNION SELECT operation_id FROM trunkline.pg_dist_cleanup ORDER BY 1")
	if err != nil {
		return 0, 0, err
	}
	var failures []error
	for _, r := range rows {
		id := number(r[0])
		key := lockKey(operationLock, id)
		got, err := query(ctx, conn, "SELECT pg_catalog.pg_try_advisory_lock(%s)", key)
		if err != nil {
			return done, left, err
		}
		if string(got[0][0]) != "t" {
			left++
			continue
		}
		if err := cleanOperation(ctx, env, conn, id); err != nil {
			left++
			failures = append(failures, fmt.Errorf("operation %d: %w", id, err))
		} else {
			done++
		}
		if err := run(ctx, conn, "SELECT pg_catalog.pg_advisory_unlock("+key+")"); err != nil {
			return done, left, err
		}
	}
	return done, left, errors.Join(failures...)
}

// cleanOperation clears away all that an operation has recorded: everything if it was not switched, else what it left behind. The
// caller holds the operation's lock.
func cleanOperation(ctx context.Context, env *Env, conn *backend.Conn, id int64) error {
	policy, step := policyOnFailure, stepUndoing
	// This waits for a switch that is being committed.
	rows, err := query(ctx, conn, "SELECT step FROM trunkline.shard_move WHERE operation_id = %d FOR UPDATE", id)
	if err != nil {
		return err
	}
	if len(rows) > 0 && string(rows[0][0]) == stepCleaning {
		policy, step = policyOnSuccess, stepCleaning
	}
	// From here on a gateway that is alive after all, but has lost its lock, cannot switch any more.
	if err := run(ctx, conn, fmt.Sprintf("UPDATE trunkline.shard_move SET step = '%s', waiting_for = NULL WHERE operation_id = %d AND step <> '%s'", step, id, stepCleaning)); err != nil {
		return err
	}
	if rows, err = query(ctx, conn, "SELECT groupid, nodename, nodeport FROM trunkline.pg_dist_node WHERE noderole = 'primary'"); err != nil {
		return err
	}
	nodes := addresses(env, rows)
	if rows, err = query(ctx, conn, "SELECT record_id, object_type, object_name, node_group_id FROM trunkline.pg_dist_cleanup WHERE operation_id = %d AND policy_type IN (%d, %d) ORDER BY record_id DESC",
		id, policyAlways, policy); err != nil {
		return err
	}
	var failures []error
	for _, r := range rows {
		address, known := nodes[int32(number(r[3]))]
		if known { // else the node was removed, with all that was on it
			if err := cleanRecord(ctx, env, address, conn, id, int(number(r[1])), string(r[2])); err != nil {
				failures = append(failures, err)
				continue
			}
		}
		if err := run(ctx, conn, "DELETE FROM trunkline.pg_dist_cleanup WHERE record_id = "+string(r[0])); err != nil {
			return err
		}
	}
	if len(failures) > 0 {
		return errors.Join(failures...)
	}
	return run(ctx, conn, fmt.Sprintf("DELETE FROM trunkline.pg_dist_cleanup WHERE operation_id = %d; DELETE FROM trunkline.shard_move WHERE operation_id = %d; SELECT trunkline_internal.bump_placement_version()", id, id))
}

// cleanRecord clears one object away. It does not wait long for locks, behind which others would have to wait.
func cleanRecord(ctx context.Context, env *Env, address backend.Address, coordinator *backend.Conn, id int64, kind int, name string) error {
	conn, err := env.Pools.Connect(ctx, address, env.Admin, nil)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := run(ctx, conn, unhurried+"; SET lock_timeout = '1s'"); err != nil {
		return err
	}
	switch kind {
	case recordPublication:
		return run(ctx, conn, "DROP PUBLICATION IF EXISTS "+sql.QuoteIdentifier(name))
	case recordStatement:
		err := run(ctx, conn, name)
		if isUndefined(err) { // the table was dropped meanwhile
			return nil
		}
		return err
	case recordSchema:
		schema, before, after := strings.Cut(name, "=")
		if after {
			if err := awaitSwitch(ctx, conn, coordinator, id, schema, before); err != nil {
				return err
			}
		}
		return run(ctx, conn, "DROP SCHEMA IF EXISTS "+sql.QuoteIdentifier(schema)+" CASCADE")
	}
	return fmt.Errorf("there is no kind %d of object to clean up", kind)
}

// awaitSwitch makes sure that the source's part of a switch that was decided on is committed: until then its tables still have their
// names of before, and dropping those of after would find none.
func awaitSwitch(ctx context.Context, source, coordinator *backend.Conn, id int64, schema, before string) error {
	rows, err := query(ctx, source, "SELECT pg_catalog.to_regnamespace(%s) IS NULL AND pg_catalog.to_regnamespace(%s) IS NOT NULL",
		sql.QuoteLiteral(sql.QuoteIdentifier(schema)), sql.QuoteLiteral(sql.QuoteIdentifier(before)))
	if err != nil || string(rows[0][0]) == "f" {
		return err
	}
	rows, err = query(ctx, coordinator, `SELECT FROM trunkline.shard_move m LEFT JOIN trunkline.shard_group g USING (shardgroupid)
		WHERE m.operation_id = %d AND g.groupid IS DISTINCT FROM m.source_group`, id)
	if err != nil || len(rows) == 0 {
		return err
	}
	return fmt.Errorf("the switch is not committed yet on node %s", source.Address())
}
