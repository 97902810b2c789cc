package exec

import (
	"context"
	"encoding/binary"
	"strconv"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/backend"
)

// ship brings the large intermediate results to a lane's node, into temporary tables that live as long as the lane. Inside a
// transaction block they are written into the statements instead: a transaction that used temporary tables cannot be prepared for
// two-phase commit.
func (x *execution) ship(ctx context.Context, l *lane) error {
	if x.env.Tx.InBlock() {
		return nil
	}
	for i, im := range x.results {
		if im == nil || im.Rows == nil || im.Rows.Size() <= inlineLimit || len(im.Names) == 0 {
			continue
		}
		table := "pg_temp.trunkline_result_" + strconv.Itoa(i)
		if err := im.copyTo(ctx, l.conn, table); err != nil {
			return err
		}
		l.shipped = append(l.shipped, table)
		if im.tables == nil {
			im.tables = map[int32]string{}
		}
		im.tables[l.tasks[0].node] = table
	}
	return nil
}

// copyTo makes a temporary table and fills it with the rows. Its columns are numbered, as results may have several of one name.
func (im *Intermediate) copyTo(ctx context.Context, c *backend.Conn, table string) error {
	create := []byte("CREATE TEMPORARY TABLE " + table[len("pg_temp."):] + " (")
	for i := range im.Names {
		if i > 0 {
			create = append(create, ", "...)
		}
		create = append(create, 'c')
		create = appendInt(create, int64(i+1))
		create = append(create, ' ')
		create = im.appendType(create, i)
	}
	create = append(create, ')')
	c.MarkDirty() // until the table is dropped again; if that fails, the pool resets the connection
	if _, err := c.Exec(ctx, string(create)); err != nil {
		return err
	}
	c.SendQuery("COPY " + table + " FROM STDIN")
	if m, err := c.Receive(ctx); err != nil {
		return err
	} else if m.Type != 'G' {
		failure := error(backend.DecodeError(m))
		return drainError(ctx, c, failure)
	}
	const batch = 64 << 10
	data := make([]byte, 5, batch+batch/4)
	data[0] = 'd'
	send := func() error {
		binary.BigEndian.PutUint32(data[1:], uint32(len(data)-1))
		c.SendRaw(data)
		data = data[:5]
		return c.Flush()
	}
	var values [][]byte
	err := im.Rows.Each(func(raw []byte) error {
		var err error
		if values, err = splitRow(raw, values); err != nil {
			return err
		}
		data = appendCopyRow(data, values)
		if len(data) >= batch {
			return send()
		}
		return nil
	})
	if err == nil && len(data) > 5 {
		err = send()
	}
	if err != nil {
		c.Close()
		return err
	}
	c.Send(&pgproto3.CopyDone{})
	if _, err := c.Collect(ctx); err != nil {
		return err
	}
	_, err = c.Exec(ctx, "ANALYZE "+table)
	return err
}

// appendCopyRow writes a row in COPY's text format.
func appendCopyRow(dst []byte, values [][]byte) []byte {
	for i, v := range values {
		if i > 0 {
			dst = append(dst, '\t')
		}
		if v == nil {
			dst = append(dst, '\\', 'N')
			continue
		}
		for _, c := range v {
			switch c {
			case '\\':
				dst = append(dst, '\\', '\\')
			case '\n':
				dst = append(dst, '\\', 'n')
			case '\r':
				dst = append(dst, '\\', 'r')
			case '\t':
				dst = append(dst, '\\', 't')
			default:
				dst = append(dst, c)
			}
		}
	}
	return append(dst, '\n')
}
