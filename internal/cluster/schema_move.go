package cluster

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/trunkline/trunkline/internal/move"
	"github.com/trunkline/trunkline/internal/sql"
)

// moveSchema moves a tenant's schema, with all of its tables, to another node while it is in use.
func moveSchema(o *operation, ctx context.Context, raw json.RawMessage) (CallResult, error) {
	var args struct {
		Schema *uint32 `json:"schema_id"`
		moveArgs
	}
	if err := json.Unmarshal(raw, &args); err != nil {
		return CallResult{}, sql.Errorf("22023", "cannot read the arguments: %v", err)
	}
	if args.Schema == nil || args.Mode == nil {
		return CallResult{}, sql.Errorf("22004", "schema_id and shard_transfer_mode cannot be null")
	}
	if err := o.notInBlock("moving a schema"); err != nil {
		return CallResult{}, err
	}
	var request move.Request
	err := o.tx.RunAtomically(ctx, func() error {
		schema, err := o.lockSchema(ctx, *args.Schema, "move")
		if err != nil {
			return err
		}
		if schema.colocation == 0 {
			return &sql.Error{Code: "42P16", Message: fmt.Sprintf("schema %q is not distributed", schema.name)}
		}
		shards, err := o.shardGroups(ctx, schema.colocation)
		if err != nil {
			return err
		}
		target, err := o.groupOf(ctx, args.TargetID, args.TargetName, args.TargetPort, "target")
		if err != nil {
			return err
		}
		request = move.To(shards[0].id, shards[0].group, target, move.Mode(*args.Mode))
		return nil
	})
	if err != nil {
		return CallResult{}, err
	}
	if err := o.Move(ctx, o.moveEnv(), request); err != nil {
		return CallResult{}, err
	}
	return CallResult{Columns: []string{"value"}, Rows: [][]*string{{void()}}, Changed: true}, nil
}
