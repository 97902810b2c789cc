package move

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
	"golang.org/x/sync/errgroup"
)

// copyAll fills the parts' tables: from the slot's snapshot, or over a connection under whose locks the source's tables stand still.
func (o *operation) copyAll(ctx context.Context, locked *backend.Conn) error {
	if err := o.enter(ctx, stepCopying); err != nil {
		return err
	}
	for i := range o.Parts {
		source := locked
		if source == nil {
			var err error
			if source, err = o.to(ctx, o.Source); err != nil {
				return err
			}
			text := "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT " + sql.QuoteLiteral(o.stream.snapshot)
			if err := run(ctx, source, text); err != nil {
				return err
			}
		}
		target, err := o.hand(ctx, o.Parts[i].Group)
		if err != nil {
			return err
		}
		for _, t := range o.shape.filled() {
			if err := o.copyTable(ctx, source, target, i, t); err != nil {
				return fmt.Errorf("copying table %s: %w", sql.QuoteIdentifier(t.Name), err)
			}
			if err := o.fault("table copied"); err != nil {
				return err
			}
		}
		if locked == nil {
			if err := run(ctx, source, "COMMIT"); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyTable copies a table's rows, or those that belong to a part.
func (o *operation) copyTable(ctx context.Context, source, target *backend.Conn, part int, t *Table) error {
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = sql.QuoteIdentifier(c.Name)
	}
	columns := strings.Join(names, ", ")
	out := "COPY (SELECT " + columns + " FROM ONLY " + o.sourceTable(t)
	if o.split() {
		out += " WHERE " + o.belongs(part, t, sql.QuoteIdentifier(t.Key))
	}
	out += ") TO STDOUT (ENCODING 'UTF8')"
	in := "COPY " + o.partTable(part, t)
	if columns != "" {
		in += " (" + columns + ")"
	}
	in += " FROM STDIN (ENCODING 'UTF8')"
	return pipe(ctx, source, out, target, in, o.progress)
}

// belongs is the condition under which a row of a table is a part's, over an expression for its distribution column.
func (o *operation) belongs(part int, t *Table, key string) string {
	p := o.Parts[part]
	return catalog.StoredHash(t.Hash, key) + " BETWEEN " + strconv.Itoa(int(p.Min)) + " AND " + strconv.Itoa(int(p.Max))
}

// chunkSize is how many bytes of rows make one CopyData message to the target.
const chunkSize = 128 << 10

// pipe runs a COPY TO and a COPY FROM and passes the rows on, many to a message, reading and writing side by side.
func pipe(ctx context.Context, source *backend.Conn, out string, target *backend.Conn, in string, p *progress) error {
	chunks := make(chan []byte, 4)
	spare := make(chan []byte, 5)
	g, both := errgroup.WithContext(ctx)
	g.Go(func() error {
		defer close(chunks)
		chunk := newChunk(spare)
		send := func() error {
			select {
			case chunks <- chunk:
				chunk = newChunk(spare)
				return nil
			case <-both.Done():
				return context.Cause(both)
			}
		}
		source.SendQuery(out)
		var failure error
		for {
			m, err := source.Receive(both)
			if err != nil {
				return err
			}
			switch m.Type {
			case 'd':
				p.rows.Add(1)
				p.bytes.Add(int64(len(m.Body())))
				if chunk = append(chunk, m.Body()...); len(chunk) >= chunkSize && failure == nil {
					failure = send()
				}
			case 'E':
				if failure == nil {
					failure = backend.DecodeError(m)
				}
			case 'Z':
				if failure == nil && len(chunk) > chunkHeader {
					failure = send()
				}
				return failure
			}
		}
	})
	g.Go(func() error {
		target.SendQuery(in)
		for chunk := range chunks {
			binary.BigEndian.PutUint32(chunk[1:], uint32(len(chunk)-1))
			target.SendRaw(chunk)
			if err := target.Flush(); err != nil {
				return err
			}
			select {
			case spare <- chunk:
			default:
			}
		}
		if both.Err() != nil {
			target.SendRaw(copyFail)
		} else {
			target.SendRaw(copyDone)
		}
		var failure error
		for {
			m, err := target.Receive(ctx)
			if err != nil {
				return err
			}
			switch m.Type {
			case 'E':
				failure = backend.DecodeError(m)
			case 'Z':
				return failure
			}
		}
	})
	return g.Wait()
}

const chunkHeader = 5

var (
	copyDone = []byte{'c', 0, 0, 0, 4}
	copyFail = []byte{'f', 0, 0, 0, 5, 0}
)

// newChunk gives an empty CopyData message.
func newChunk(spare chan []byte) []byte {
	select {
	case chunk := <-spare:
		return chunk[:chunkHeader]
	default:
		return append(make([]byte, 0, chunkSize+chunkSize/4), 'd', 0, 0, 0, 0)
	}
}

// index gives the parts' tables their indexes, constraints and rights, and statistics to plan by.
func (o *operation) index(ctx context.Context) error {
	if err := o.enter(ctx, stepIndexing); err != nil {
		return err
	}
	var g errgroup.Group
	for i, p := range o.Parts {
		conn, err := o.to(ctx, p.Group)
		if err != nil {
			return err
		}
		g.Go(func() error {
			var text strings.Builder
			text.WriteString(o.forPart(i, o.shape.Finish))
			for _, t := range o.shape.Guarded {
				fmt.Fprintf(&text, "SELECT trunkline_internal.guard_shard(%s, %s, %s, %d, %d);\n", sql.QuoteLiteral(o.partTable(i, &t)),
					sql.QuoteLiteral(t.Key), sql.QuoteLiteral(t.Hash), p.Min, p.Max)
			}
			for j := range o.shape.Tables {
				if t := &o.shape.Tables[j]; !t.Partitioned {
					fmt.Fprintf(&text, "ANALYZE %s;\n", o.partTable(i, t))
				}
			}
			return run(ctx, conn, text.String())
		})
	}
	return g.Wait()
}

// forPart is a template's text for a part's tables under their names of before the switch.
func (o *operation) forPart(part int, t interface {
	In(func(string) string) string
}) string {
	return t.In(func(schema string) string {
		if i := o.shape.schema(schema); i >= 0 {
			return o.coming(part, i)
		}
		return catalog.ShardSchema(schema, o.Parts[part].ID)
	})
}
