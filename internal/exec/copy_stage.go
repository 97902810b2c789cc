package exec

import (
	"context"
	"strconv"
	"strings"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// stage carries out a COPY into a reference table whose rows would not come out the same on every node: they are made once, in a
// temporary table on the coordinator, and then copied to the nodes. The temporary table has the reference table's name, so that
// the user's expressions mean the same in it and errors name what the user knows.
func (in *copyIn) stage(ctx context.Context, response []byte) error {
	in.env.Tx.MarkWrite(catalog.CoordinatorGroup)
	table := "pg_temp." + string(appendIdentifier(nil, in.table.Name))
	original := string(appendName(nil, in.table.Schema, in.table.Name))
	var create strings.Builder
	create.WriteString("CREATE TEMPORARY TABLE " + string(appendIdentifier(nil, in.table.Name)) + " (LIKE " + original +
		" INCLUDING DEFAULTS INCLUDING GENERATED) ON COMMIT DROP")
	for _, i := range in.fill {
		c := &in.table.Columns[i]
		if c.Identity != 0 {
			create.WriteString("; ALTER TABLE " + table + " ALTER COLUMN " + string(appendIdentifier(nil, c.Name)) + " SET DEFAULT pg_catalog.nextval(" +
				sql.QuoteLiteral(string(appendName(nil, c.Sequence.Schema, c.Sequence.Name))) + ")")
		}
	}
	if _, err := in.coordinator.Exec(ctx, create.String()); err != nil {
		return err
	}
	where, err := copyWhere(in.stmt)
	if err != nil {
		return err
	}
	if err := in.stageRows(ctx, copyText(table, in.names, " FROM STDIN"+in.options.all+where), response); err != nil {
		return err
	}
	var columns []string
	for i := range in.table.Columns {
		if !in.table.Columns[i].Generated {
			columns = append(columns, in.table.Columns[i].Name)
		}
	}
	list := identifierList(columns)
	insert := "INSERT INTO " + original + " (" + list + ") OVERRIDING SYSTEM VALUE SELECT " + list + " FROM " + table
	if _, err := in.coordinator.Exec(ctx, insert); err != nil {
		return err
	}
	if err := in.distribute(ctx, copyText(table, columns, " TO STDOUT"), copyText(original, columns, " FROM STDIN")); err != nil {
		return err
	}
	_, err = in.coordinator.Exec(ctx, "DROP TABLE "+table)
	return err
}

// identifierList joins names as a list of SQL identifiers.
func identifierList(names []string) string {
	var list []byte
	for i, name := range names {
		if i > 0 {
			list = append(list, ", "...)
		}
		list = appendIdentifier(list, name)
	}
	return string(list)
}

// stageRows loads the client's data into the temporary table.
func (in *copyIn) stageRows(ctx context.Context, text string, response []byte) error {
	in.coordinator.SendQuery(text)
	var failure error
	for {
		m, err := in.coordinator.Receive(ctx)
		if err != nil {
			return err
		}
		switch m.Type {
		case 'G':
			if err := in.client.CopyInResponse(response); err != nil {
				in.coordinator.Abandon()
				return err
			}
			if err := copyForward(ctx, in.coordinator, in.client); err != nil {
				return err
			}
		case 'C':
			if _, number, ok := strings.Cut(internTag(m.Body()), " "); ok {
				in.count, _ = strconv.ParseInt(number, 10, 64)
			}
		case 'E':
			failure = backend.DecodeError(m)
		case 'Z':
			return failure
		}
	}
}

// distribute copies the temporary table's rows to all nodes but the coordinator. (In text format: binary arrays of a user's own
// type hold its OID, which differs between nodes.)
func (in *copyIn) distribute(ctx context.Context, from, to string) error {
	var conns []*backend.Conn
	for _, node := range in.snapshot.ActivePrimaries() {
		if node.GroupID == catalog.CoordinatorGroup {
			continue
		}
		conn, err := in.env.Tx.Conn(ctx, node.GroupID)
		if err != nil {
			return err
		}
		in.env.Tx.MarkWrite(node.GroupID)
		conn.SendQuery(to)
		conns = append(conns, conn)
	}
	failure := in.broadcast(ctx, from, conns)
	for _, conn := range conns {
		conn.SendRaw(copyDone)
		conn.Flush()
	}
	for _, conn := range conns {
		if err := in.outcome(ctx, conn); failure == nil {
			failure = err
		}
	}
	return failure
}

func (in *copyIn) broadcast(ctx context.Context, from string, conns []*backend.Conn) error {
	in.coordinator.SendQuery(from)
	var failure error
	size := 0
	for {
		m, err := in.coordinator.Receive(ctx)
		if err != nil {
			return err
		}
		switch m.Type {
		case 'd':
			for _, conn := range conns {
				conn.SendRaw(m.Raw)
			}
			if size += len(m.Raw); size > copyFrame {
				size = 0
				for _, conn := range conns {
					conn.Flush() // an error comes again when the answer is read
				}
			}
		case 'E':
			failure = backend.DecodeError(m)
		case 'Z':
			return failure
		}
	}
}
