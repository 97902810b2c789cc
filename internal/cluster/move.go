package cluster

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/trunkline/trunkline/internal/move"
	"github.com/trunkline/trunkline/internal/sql"
)

type moveArgs struct {
	Shard      *int64  `json:"shard_id"`
	SourceName *string `json:"source_node_name"`
	SourcePort *int    `json:"source_node_port"`
	TargetName *string `json:"target_node_name"`
	TargetPort *int    `json:"target_node_port"`
	SourceID   *int    `json:"source_node_id"`
	TargetID   *int    `json:"target_node_id"`
	Mode       *string `json:"shard_transfer_mode"`
}

// moveShardPlacement moves a shard's whole shard group to another node while it is in use.
func moveShardPlacement(o *operation, ctx context.Context, raw json.RawMessage) (CallResult, error) {
	var args moveArgs
	if err := json.Unmarshal(raw, &args); err != nil {
		return CallResult{}, sql.Errorf("22023", "cannot read the arguments: %v", err)
	}
	if args.Shard == nil || args.Mode == nil {
		return CallResult{}, sql.Errorf("22004", "shard_id and shard_transfer_mode cannot be null")
	}
	if err := o.notInBlock("moving a shard"); err != nil {
		return CallResult{}, err
	}
	var request move.Request
	err := o.tx.RunAtomically(ctx, func() error {
		group, err := o.shardGroupOf(ctx, *args.Shard)
		if err != nil {
			return err
		}
		source, err := o.groupOf(ctx, args.SourceID, args.SourceName, args.SourcePort, "source")
		if err != nil {
			return err
		}
		target, err := o.groupOf(ctx, args.TargetID, args.TargetName, args.TargetPort, "target")
		if err != nil {
			return err
		}
		request = move.To(group, source, target, move.Mode(*args.Mode))
		return nil
	})
	if err != nil {
		return CallResult{}, err
	}
	there, err := o.alreadyThere(ctx, request)
	if err != nil {
		return CallResult{}, err
	}
	if there {
		return CallResult{Columns: []string{"value"}, Rows: [][]*string{{void()}}}, nil
	}
	if err := o.Move(ctx, o.moveEnv(), request); err != nil {
		return CallResult{}, err
	}
	return CallResult{Columns: []string{"value"}, Rows: [][]*string{{void()}}, Changed: true}, nil
}

// alreadyThere tells whether a shard group is where it is to go: whoever asks again, because the gateway that was asked first died, is
// told so. What that gateway left of the move is cleared away first.
func (o *operation) alreadyThere(ctx context.Context, request move.Request) (bool, error) {
	rows, err := o.look(ctx, fmt.Sprintf("SELECT g.groupid, coalesce(n.nodename || ':' || n.nodeport, '') FROM trunkline.shard_group g LEFT JOIN trunkline.pg_dist_node n ON n.groupid = g.groupid AND n.noderole = 'primary' WHERE g.shardgroupid = %d", request.ShardGroup))
	if err != nil || len(rows) == 0 {
		return false, err
	}
	if target := request.Parts[0].Group; int32(rows[0].int(0)) != target || target == request.Source {
		return false, nil
	}
	return true, o.say(ctx, "warning", "shard is already present on node "+rows[0].text(1), "Move may have already completed.", "")
}

// notInBlock refuses what consists of several transactions.
func (o *operation) notInBlock(what string) error {
	if !o.tx.InBlock() {
		return nil
	}
	return &sql.Error{Code: "25001", Message: what + " cannot run inside a transaction block",
		Detail: "It consists of several transactions of its own."}
}

// Move carries out a request of package move: for callers that have checked whether it may be made.
func (c *Cluster) Move(ctx context.Context, env *move.Env, request move.Request) error {
	return move.Run(ctx, env, request)
}

// moveEnv is what package move works with on behalf of this call. What is waited for the client is told, if it listens.
func (o *operation) moveEnv() *move.Env {
	env := o.cleanEnv()
	env.Notice = func(ctx context.Context, message string) { o.say(ctx, "notice", message, "", "") }
	return env
}

// cleanEnv is moveEnv without a client.
func (o *operation) cleanEnv() *move.Env {
	return &move.Env{Pools: o.config.Pools, Manager: o.config.Manager, Admin: o.config.Admin, Coordinator: o.config.Coordinator,
		Shape: o.shapeOf, Log: o.config.Log, Faults: o.config.MoveFaults}
}

// shardGroupOf finds the shard group that a shard belongs to, for a user who may move it: the owner of all its tables.
func (o *operation) shardGroupOf(ctx context.Context, shard int64) (int64, error) {
	rows, err := o.query(ctx, fmt.Sprintf(`SELECT g.shardgroupid, p.repmodel = 't', p.colocationid FROM trunkline.pg_dist_shard s JOIN trunkline.pg_dist_partition p USING (logicalrelid)
		LEFT JOIN trunkline.shard_group g ON g.colocationid = p.colocationid AND (s.shardminvalue IS NULL OR g.shardminvalue = s.shardminvalue::int)
		WHERE s.shardid = %d`, shard))
	if err != nil {
		return 0, err
	}
	if len(rows) == 0 {
		return 0, sql.Errorf("42704", "shard %d does not exist", shard)
	}
	if rows[0].bool(1) {
		return 0, &sql.Error{Code: "42809", Message: fmt.Sprintf("shard %d belongs to a reference table", shard), Detail: "Every node has a copy of it."}
	}
	group := int64(rows[0].int(0))
	rows, err = o.query(ctx, fmt.Sprintf(`SELECT c.relname FROM trunkline.pg_dist_partition p JOIN pg_catalog.pg_class c ON c.oid = p.logicalrelid
		WHERE p.colocationid = %d AND NOT pg_catalog.pg_has_role(c.relowner, 'USAGE') ORDER BY 1 LIMIT 1`, rows[0].int(2)))
	if err != nil {
		return 0, err
	}
	if len(rows) > 0 {
		return 0, &sql.Error{Code: "42501", Message: "must be owner of table " + rows[0].text(0), Detail: "Co-located tables move together."}
	}
	return group, nil
}

// groupOf finds the group of a node that is named by its id, or by its address.
func (o *operation) groupOf(ctx context.Context, id *int, name *string, port *int, role string) (int32, error) {
	condition, shown := "", ""
	switch {
	case id != nil:
		condition, shown = fmt.Sprintf("nodeid = %d", *id), fmt.Sprint(*id)
	case name != nil && port != nil:
		condition, shown = fmt.Sprintf("nodename = %s AND nodeport = %d", sql.QuoteLiteral(*name), *port), fmt.Sprintf("%s:%d", *name, *port)
	default:
		return 0, sql.Errorf("22004", "the %s node cannot be null", role)
	}
	rows, err := o.query(ctx, "SELECT groupid FROM trunkline.pg_dist_node WHERE "+condition)
	if err != nil {
		return 0, err
	}
	if len(rows) == 0 {
		return 0, sql.Errorf("42704", "%s node %s does not exist", role, shown)
	}
	return int32(rows[0].int(0)), nil
}

// cleanUpOrphans clears away what operations have left behind whose gateway is gone.
func cleanUpOrphans(o *operation, ctx context.Context, _ json.RawMessage) (CallResult, error) {
	if err := o.notInBlock("citus_cleanup_orphaned_resources()"); err != nil {
		return CallResult{}, err
	}
	if err := o.CleanUp(ctx); err != nil {
		return CallResult{}, err
	}
	return CallResult{Columns: []string{"value"}, Rows: [][]*string{{void()}}, Changed: true}, nil
}

// KeepClean calls CleanUp now and then again after each interval, until ctx ends.
func (c *Cluster) KeepClean(ctx context.Context, interval time.Duration) {
	for {
		if err := c.CleanUp(ctx); err != nil && ctx.Err() == nil {
			c.config.Log.Warn("moves have left something behind for now", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(interval):
		}
	}
}

// CleanUp undoes or finishes the moves whose gateway is gone.
func (c *Cluster) CleanUp(ctx context.Context) error {
	_, _, err := move.CleanUp(ctx, (&operation{Cluster: c}).cleanEnv())
	return err
}
