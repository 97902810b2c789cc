package move

import (
	"context"
	"fmt"
	"strings"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// prepare makes the parts' tables, and for the logical modes what the source needs to give its changes.
func (o *operation) prepare(ctx context.Context) error {
	if err := o.measure(ctx); err != nil {
		return err
	}
	for i := range o.Parts {
		if err := o.createPart(ctx, i); err != nil {
			return err
		}
		if err := o.fault("tables made"); err != nil {
			return err
		}
	}
	if o.Mode == BlockWrites {
		return nil
	}
	source, err := o.hand(ctx, o.Source)
	if err != nil {
		return err
	}
	if o.Mode == ForceLogical {
		if err := o.identifyFully(ctx, source); err != nil {
			return err
		}
		if err := o.fault("rows identified"); err != nil {
			return err
		}
	}
	if err := o.publish(ctx, source); err != nil {
		return err
	}
	if err := o.fault("published"); err != nil {
		return err
	}
	o.stream, err = openStream(ctx, o, source)
	return err
}

// measure finds out how much there is to copy.
func (o *operation) measure(ctx context.Context) error {
	source, err := o.hand(ctx, o.Source)
	if err != nil {
		return err
	}
	for _, t := range o.shape.filled() {
		rows, err := query(ctx, source, "SELECT greatest(reltuples, 0)::bigint, pg_catalog.pg_table_size(oid) FROM pg_catalog.pg_class WHERE oid = %s::regclass",
			sql.QuoteLiteral(o.sourceTable(t)))
		if err != nil {
			return err
		}
		o.progress.rowsTotal.Add(number(rows[0][0]))
		o.progress.bytesTotal.Add(number(rows[0][1]))
	}
	return nil
}

// createPart makes the tables of a part under names that nobody knows.
func (o *operation) createPart(ctx context.Context, part int) error {
	conn, err := o.hand(ctx, o.Parts[part].Group)
	if err != nil {
		return err
	}
	var text strings.Builder
	text.WriteString("BEGIN;\n")
	for i, schema := range o.shape.Schemas {
		name := o.coming(part, i)
		if err := o.record(ctx, recordSchema, name, o.Parts[part].Group, policyOnFailure); err != nil {
			return err
		}
		// Made under the name that it will have, for which it gets the rights of the users' schema.
		own := catalog.ShardSchema(schema, o.Parts[part].ID)
		fmt.Fprintf(&text, "SELECT trunkline_internal.ensure_shard_schema(%s, %s); ALTER SCHEMA %s RENAME TO %s;\n",
			sql.QuoteLiteral(schema), sql.QuoteLiteral(own), sql.QuoteIdentifier(own), sql.QuoteIdentifier(name))
	}
	text.WriteString(o.forPart(part, o.shape.Create))
	text.WriteString("COMMIT")
	return run(ctx, conn, text.String())
}

// identifyFully makes rows without a replica identity identify themselves by all their columns, until the table goes, or the
// operation is undone.
func (o *operation) identifyFully(ctx context.Context, source *backend.Conn) error {
	for _, t := range o.shape.filled() {
		identified, err := o.identified(ctx, source, t)
		if err != nil {
			return err
		}
		if identified {
			continue
		}
		table := o.sourceTable(t)
		rows, err := query(ctx, source, "SELECT CASE relreplident WHEN 'n' THEN 'NOTHING' ELSE 'DEFAULT' END FROM pg_catalog.pg_class WHERE oid = %s::regclass", sql.QuoteLiteral(table))
		if err != nil {
			return err
		}
		alter := "ALTER TABLE ONLY " + table + " REPLICA IDENTITY "
		if err := o.record(ctx, recordStatement, alter+string(rows[0][0]), o.Source, policyOnFailure); err != nil {
			return err
		}
		if err := o.patiently(ctx, source, alter+"FULL"); err != nil {
			return err
		}
	}
	return nil
}

// publish makes the publication that the stream reads.
func (o *operation) publish(ctx context.Context, source *backend.Conn) error {
	if err := o.record(ctx, recordPublication, o.publication(), o.Source, policyAlways); err != nil {
		return err
	}
	var tables []string
	for _, t := range o.shape.filled() {
		tables = append(tables, "ONLY "+o.sourceTable(t))
	}
	return o.patiently(ctx, source, "CREATE PUBLICATION "+o.publication()+" FOR TABLE "+strings.Join(tables, ", ")+" WITH (publish = 'insert, update, delete')")
}

// publication is the name of the publication and of the slot.
func (o *operation) publication() string { return publicationName(o.id) }

func publicationName(operation int64) string { return fmt.Sprintf("trunkline_move_%d", operation) }
