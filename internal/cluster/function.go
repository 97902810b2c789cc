package cluster

import (
	"context"
	"fmt"
	"strings"
	"sync"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/sql"
)

type functionArgs struct {
	Function     uint32  `json:"function_name"`
	Argument     *string `json:"distribution_arg_name"`
	ColocateWith *string `json:"colocate_with"`
	Force        *bool   `json:"force_delegation"`
}

// createDistributedFunction makes sure that a function is on all nodes, and records what it is distributed by. Where a call runs does not
// depend on that: it runs where the rows are that its arguments come from, or on the coordinator.
func createDistributedFunction(o *operation, ctx context.Context, args functionArgs) (*string, error) {
	rows, err := o.query(ctx, fmt.Sprintf(`SELECT p.proname, p.prokind, p.oid::regprocedure::text, pg_catalog.format('%%I.%%I(%%s)', n.nspname, p.proname, pg_catalog.oidvectortypes(p.proargtypes))
		FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace WHERE p.oid = %d`, args.Function))
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, sql.Errorf("42883", "function with OID %d does not exist", args.Function)
	}
	name := rows[0].text(0)
	if rows[0].text(1) == "a" && args.Argument != nil {
		return nil, &sql.Error{Code: "42809", Message: fmt.Sprintf("aggregate %s cannot have a distribution argument", rows[0].text(2)), Detail: "It is computed over rows."}
	}
	place, colocation := "NULL", "NULL"
	if args.Argument != nil {
		if place, colocation, err = o.distributionArgument(ctx, name, args); err != nil {
			return nil, err
		}
	} else if with := args.ColocateWith; with != nil && !strings.EqualFold(*with, "default") && !strings.EqualFold(*with, "none") {
		found, err := o.query(ctx, fmt.Sprintf("SELECT colocationid FROM trunkline.pg_dist_partition WHERE logicalrelid = %s::regclass AND colocationid <> 0", sql.QuoteLiteral(*with)))
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, sql.Errorf("42P16", "relation %q is not distributed", *with)
		}
		colocation = found[0].text(0)
	}
	if err := o.ensureFunction(ctx, rows[0].text(3)); err != nil {
		return nil, err
	}
	force := "NULL"
	if args.Force != nil {
		force = fmt.Sprint(*args.Force)
	}
	return void(), o.exec(ctx, fmt.Sprintf("SELECT trunkline_internal.add_distributed_function(%d, %s, %s, %s)", args.Function, place, colocation, force))
}

// distributionArgument finds the argument of a function that stands for a distribution column, by its name or as $1, and the colocation group
// whose column it is.
func (o *operation) distributionArgument(ctx context.Context, function string, args functionArgs) (place, colocation string, err error) {
	rows, err := o.query(ctx, fmt.Sprintf(`SELECT a.place, a.type::bigint, pg_catalog.format_type(a.type, NULL), t.typcollation::bigint FROM (
			SELECT row_number() OVER (ORDER BY u.n) - 1 AS place, u.type, u.name FROM pg_catalog.pg_proc p,
				unnest(coalesce(p.proallargtypes, p.proargtypes::oid[]), p.proargnames, p.proargmodes) WITH ORDINALITY u (type, name, mode, n)
			WHERE p.oid = %d AND (u.mode IS NULL OR u.mode IN ('i', 'b', 'v'))) a JOIN pg_catalog.pg_type t ON t.oid = a.type
		WHERE %s IN (a.name, '$' || a.place + 1)`, args.Function, sql.QuoteLiteral(*args.Argument)))
	if err != nil {
		return "", "", err
	}
	if len(rows) == 0 {
		return "", "", &sql.Error{Code: "42703", Message: fmt.Sprintf("function %q has no argument %q", function, *args.Argument), Hint: "Name an argument, or write $1 for the first."}
	}
	key := &column{Name: *args.Argument, TypeOID: uint32(rows[0].int(1)), Type: rows[0].text(2), CollationOID: uint32(rows[0].int(3))}
	found := 0
	if with := args.ColocateWith; with == nil || strings.EqualFold(*with, "default") {
		count, err := o.shardCount(ctx, nil)
		if err != nil {
			return "", "", err
		}
		if found, err = o.findColocation(ctx, count, key); err != nil {
			return "", "", err
		}
		if found == 0 {
			return "", "", &sql.Error{Code: "42P16", Message: fmt.Sprintf("cannot distribute function %q", function), Detail: fmt.Sprintf("No table is distributed by a column of type %s.", key.Type),
				Hint: "Name a table with colocate_with."}
		}
	} else if found, err = o.colocationOf(ctx, *with, key); err != nil {
		return "", "", err
	}
	return rows[0].text(0), fmt.Sprint(found), nil
}

// ensureFunction sees to it that all nodes have a function: one that was made where the gateway does not see it, as by a DO block, exists on
// the coordinator only.
func (o *operation) ensureFunction(ctx context.Context, signature string) error {
	return o.copyWhereMissing(ctx, "pg_catalog.to_regprocedure("+sql.QuoteLiteral(signature)+") IS NOT NULL")
}

// copyWhereMissing copies objects to those nodes on which a condition does not hold.
func (o *operation) copyWhereMissing(ctx context.Context, condition string) error {
	groups, err := o.others(ctx)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	var without []int32
	err = o.onNodes(ctx, groups, func(ctx context.Context, group int32, conn *backend.Conn) error {
		rows, err := query(ctx, conn, "SELECT "+condition)
		if err == nil && !rows[0].bool(0) {
			mu.Lock()
			defer mu.Unlock()
			without = append(without, group)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, group := range without {
		if err := o.copyObjects(ctx, group); err != nil {
			return err
		}
	}
	return nil
}
