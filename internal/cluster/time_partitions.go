package cluster

import (
	"context"
	"fmt"
	"strings"

	"github.com/trunkline/trunkline/internal/sql"
)

// define carries out a data definition statement that the gateway itself has written, as if the client had sent it.
func (o *operation) define(ctx context.Context, text string) error {
	statements, err := sql.Parse(text)
	if err != nil {
		return fmt.Errorf("reading a statement of the gateway's own: %w", err)
	}
	p := &propagation{operation: o, stmt: statements[0], inBlock: o.tx.InBlock()}
	if p.spread, err = o.tables(ctx); err != nil {
		return err
	}
	return p.carryOut(ctx)
}

// createTimePartitions makes the partitions that a table partitioned by time lacks between two times, and tells whether there were any.
func createTimePartitions(o *operation, ctx context.Context, args struct {
	Table    uint32  `json:"table_name"`
	Interval *string `json:"partition_interval"`
	End      *string `json:"end_at"`
	Start    *string `json:"start_from"`
}) (*string, error) {
	if args.Interval == nil || args.End == nil || args.Start == nil {
		return nil, sql.Errorf("22004", "partition_interval, end_at and start_from cannot be null")
	}
	schema, name, err := o.lockTimePartitions(ctx, args.Table)
	if err != nil {
		return nil, err
	}
	ranges, err := o.query(ctx, fmt.Sprintf("SELECT partition_name, range_from_value, range_to_value FROM trunkline.get_missing_time_partition_ranges(%d, %s, %s, %s)",
		args.Table, sql.QuoteLiteral(*args.Interval), sql.QuoteLiteral(*args.End), sql.QuoteLiteral(*args.Start)))
	if err != nil {
		return nil, err
	}
	for _, r := range ranges {
		err := o.define(ctx, fmt.Sprintf("CREATE TABLE %s PARTITION OF %s FOR VALUES FROM (%s) TO (%s)",
			qualify(schema, r.text(0)), qualify(schema, name), sql.QuoteLiteral(r.text(1)), sql.QuoteLiteral(r.text(2))))
		if err != nil {
			return nil, err
		}
	}
	made := "f"
	if len(ranges) > 0 {
		made = "t"
	}
	return &made, nil
}

// lockTimePartitions makes sure that a table is partitioned by time and that nobody else changes its partitions meanwhile.
func (o *operation) lockTimePartitions(ctx context.Context, oid uint32) (schema, name string, err error) {
	if err := o.awaitMovesOf(ctx, oid); err != nil {
		return "", "", err
	}
	rows, err := o.query(ctx, fmt.Sprintf(`SELECT n.nspname, c.relname, (trunkline_internal.time_partition_column(c.oid)).attname IS NOT NULL
		FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = %d`, oid))
	if err != nil {
		return "", "", err
	}
	if len(rows) == 0 {
		return "", "", sql.Errorf("42P01", "relation with OID %d does not exist", oid)
	}
	schema, name = rows[0].text(0), rows[0].text(1)
	if !rows[0].bool(2) {
		return "", "", sql.Errorf("42809", "%s is not partitioned by the range of one date or timestamp column", sql.QuoteIdentifier(name))
	}
	return schema, name, o.exec(ctx, "LOCK TABLE ONLY "+qualify(schema, name)+" IN SHARE UPDATE EXCLUSIVE MODE")
}

// timePartition is one partition of a table partitioned by time.
type timePartition struct {
	name     string // qualified
	table    uint32
	from, to string
}

// oldPartitions lists a table's partitions that hold nothing from a time on, the oldest first.
func (o *operation) oldPartitions(ctx context.Context, oid uint32, olderThan *string) ([]timePartition, error) {
	if olderThan == nil {
		return nil, sql.Errorf("22004", "older_than cannot be null")
	}
	if _, _, err := o.lockTimePartitions(ctx, oid); err != nil {
		return nil, err
	}
	rows, err := o.query(ctx, fmt.Sprintf(`SELECT n.nspname, c.relname, c.oid::bigint, coalesce(t.from_value, 'MINVALUE'), t.to_value
		FROM trunkline.time_partitions t JOIN pg_catalog.pg_class c ON c.oid = t.partition JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE t.parent_table = %d::regclass AND t.to_value::timestamptz <= %s::timestamptz ORDER BY t.to_value::timestamptz`, oid, sql.QuoteLiteral(*olderThan)))
	if err != nil {
		return nil, err
	}
	var partitions []timePartition
	for _, r := range rows {
		partitions = append(partitions, timePartition{qualify(r.text(0), r.text(1)), uint32(r.int(2)), r.text(3), r.text(4)})
	}
	return partitions, nil
}

// dropOldTimePartitions drops the partitions that hold nothing from a time on.
func dropOldTimePartitions(o *operation, ctx context.Context, args struct {
	Table     uint32  `json:"table_name"`
	OlderThan *string `json:"older_than"`
}) (*string, error) {
	partitions, err := o.oldPartitions(ctx, args.Table, args.OlderThan)
	if err != nil || len(partitions) == 0 {
		return void(), err
	}
	names := make([]string, len(partitions))
	for i, t := range partitions {
		names[i] = t.name
		if err := o.say(ctx, "notice", fmt.Sprintf("dropping %s with start time %s and end time %s", t.name, t.from, t.to), "", ""); err != nil {
			return nil, err
		}
	}
	return void(), o.define(ctx, "DROP TABLE "+strings.Join(names, ", "))
}

// alterOldPartitions gives the partitions that hold nothing from a time on another access method.
func alterOldPartitions(o *operation, ctx context.Context, args struct {
	Table     uint32  `json:"parent_table_name"`
	OlderThan *string `json:"older_than"`
	Method    *string `json:"new_access_method"`
}) (*string, error) {
	partitions, err := o.oldPartitions(ctx, args.Table, args.OlderThan)
	if err != nil {
		return nil, err
	}
	for _, t := range partitions {
		if err := o.setAccessMethod(ctx, t.name, args.Method); err != nil {
			return nil, err
		}
	}
	return void(), nil
}

// alterTableAccessMethod gives a table another access method.
func alterTableAccessMethod(o *operation, ctx context.Context, args struct {
	Table  uint32  `json:"table_name"`
	Method *string `json:"access_method"`
}) (*string, error) {
	schema, name, err := o.lockTable(ctx, args.Table, "alter")
	if err != nil {
		return nil, err
	}
	return void(), o.setAccessMethod(ctx, qualify(schema, name), args.Method)
}

func (o *operation) setAccessMethod(ctx context.Context, table string, method *string) error {
	if method == nil {
		return sql.Errorf("22004", "the access method cannot be null")
	}
	return o.define(ctx, "ALTER TABLE "+table+" SET ACCESS METHOD "+sql.QuoteIdentifier(*method))
}

// alterColumnar refuses to change how a columnar table is stored, since there are none.
func alterColumnar(o *operation, ctx context.Context, args struct {
	Table uint32 `json:"table_name"`
}) (*string, error) {
	_, name, err := o.lockTable(ctx, args.Table, "alter")
	if err != nil {
		return nil, err
	}
	return nil, &sql.Error{Code: "42809", Message: fmt.Sprintf("table %q is not a columnar table", name), Detail: "PostgreSQL has no columnar access method of its own."}
}
