package cluster

import (
	"bytes"
	"context"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/cluster/ddl"
	"github.com/trunkline/trunkline/internal/sql"
	"golang.org/x/sync/errgroup"
)

// Rows travel between nodes in COPY's text format: it means the same on every node, whereas the binary form of arrays and rows
// holds type oids, which differ from node to node for types that users made. These settings make text lossless.
var copySettings = []setting{
	{"datestyle", "ISO, MDY"}, {"intervalstyle", "postgres"}, {"extra_float_digits", "1"}, {"bytea_output", "hex"},
	{"row_security", "off"}, quiet,
}

const (
	copyFormat = " (ENCODING 'UTF8')"

	// chunkSize is how many bytes of a shard's rows are gathered before they are sent: one COPY each, since a node's connection
	// takes rows for one table at a time. With 32 shards no more than 16 MB are held.
	chunkSize = 512 << 10
)

// lossless brings copySettings into force on some nodes while f runs.
func (o *operation) lossless(ctx context.Context, groups []int32, f func() error) error {
	before, after := scope(copySettings...)
	inScope := func(text string) error {
		return o.onNodes(ctx, groups, func(ctx context.Context, _ int32, conn *backend.Conn) error {
			_, err := conn.Exec(ctx, text)
			return err
		})
	}
	if err := inScope(before); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return inScope(after)
}

// moveToShards copies a table's rows from the coordinator to its shards, which are there and empty. hash is the function that
// hashes the distribution column.
func (o *operation) moveToShards(ctx context.Context, d *definition, key *column, hash string, shards []shardGroup) error {
	value := "0"
	if key != noColumn {
		value = catalog.StoredHash(hash, sql.QuoteIdentifier(key.Name))
	}
	rows, err := o.query(ctx, fmt.Sprintf("SELECT EXISTS (SELECT FROM ONLY %s)", d.qualified()))
	if err != nil {
		return err
	}
	if !rows[0].bool(0) {
		return nil
	}
	nodes, held := perNode(shards)
	return o.lossless(ctx, append([]int32{catalog.CoordinatorGroup}, without(nodes, catalog.CoordinatorGroup)...), func() error {
		elsewhere, err := o.moveWithinCoordinator(ctx, d, value, held[catalog.CoordinatorGroup])
		if err != nil || len(held[catalog.CoordinatorGroup]) == len(shards) {
			return err
		}
		columns := strings.Join(d.stored(), ", ")
		text := "COPY (SELECT " + value
		if columns != "" {
			text += ", " + columns
		}
		text += " FROM ONLY " + d.qualified() + elsewhere + ") TO STDOUT" + copyFormat
		return o.scatter(ctx, d, text, columns, shards)
	})
}

// moveWithinCoordinator fills those shards that the coordinator itself holds, without the rows leaving it, and gives the condition
// that selects the remaining rows.
func (o *operation) moveWithinCoordinator(ctx context.Context, d *definition, value string, shards []shardGroup) (elsewhere string, err error) {
	columns := strings.Join(d.stored(), ", ")
	for _, s := range shards {
		between := fmt.Sprintf("%s BETWEEN %d AND %d", value, s.min, s.max)
		text := fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM ONLY %s WHERE %s", qualify(catalog.ShardSchema(d.Schema, s.id), d.Name), columns, columns, d.qualified(), between)
		if columns == "" {
			text = fmt.Sprintf("INSERT INTO %s SELECT FROM ONLY %s WHERE %s", qualify(catalog.ShardSchema(d.Schema, s.id), d.Name), d.qualified(), between)
		}
		if err := o.exec(ctx, text); err != nil {
			return "", err
		}
		if elsewhere == "" {
			elsewhere = " WHERE NOT " + between
		} else {
			elsewhere += " AND NOT " + between
		}
	}
	return elsewhere, nil
}

// chunk is some rows of one shard.
type chunk struct {
	shard shardGroup
	rows  []byte
}

// scatter runs a COPY TO on the coordinator whose first column is a hash, and sends each row, without it, to its shard.
func (o *operation) scatter(ctx context.Context, d *definition, text, columns string, shards []shardGroup) error {
	source, err := o.coordinator(ctx)
	if err != nil {
		return err
	}
	nodes, _ := perNode(shards)
	writers := map[int32]chan chunk{}
	failed := make(chan struct{}, len(nodes))
	var g errgroup.Group
	for _, group := range without(nodes, catalog.CoordinatorGroup) {
		conn, err := o.tx.Conn(ctx, group)
		if err != nil {
			return err
		}
		o.tx.MarkWrite(group)
		chunks := make(chan chunk, 2)
		writers[group] = chunks
		g.Go(func() (err error) {
			for c := range chunks {
				if err == nil {
					if err = copyIn(ctx, conn, intoShard(d, columns, c.shard), c.rows); err != nil {
						failed <- struct{}{}
					}
				}
			}
			return err
		})
	}
	pending := make([][]byte, len(shards))
	send := func(i int) {
		if len(pending[i]) > 0 {
			writers[shards[i].group] <- chunk{shards[i], pending[i]}
			pending[i] = nil
		}
	}
	err = copyOut(ctx, source, text, func(line []byte) error {
		select {
		case <-failed:
			return errStop
		default:
		}
		field, rest, more := bytes.Cut(line, []byte{'\t'})
		if !more {
			field, rest = bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\n'}
		}
		hash, err := strconv.ParseInt(string(field), 10, 32)
		if err != nil {
			return fmt.Errorf("reading the hash of a row of table %q: %w", d.Name, err)
		}
		i := sort.Search(len(shards), func(i int) bool { return int64(shards[i].max) >= hash })
		pending[i] = append(pending[i], rest...)
		if len(pending[i]) >= chunkSize {
			send(i)
		}
		return nil
	})
	if err == nil {
		for i := range pending {
			send(i)
		}
	}
	for _, chunks := range writers {
		close(chunks)
	}
	if writeErr := g.Wait(); writeErr != nil {
		return writeErr
	}
	return err
}

func intoShard(d *definition, columns string, s shardGroup) string {
	return copyFrom(qualify(catalog.ShardSchema(d.Schema, s.id), d.Name), columns)
}

// copyFrom is a COPY FROM of the given columns. A table may have none to be stored.
func copyFrom(table, columns string) string {
	if columns != "" {
		table += " (" + columns + ")"
	}
	return "COPY " + table + " FROM STDIN" + copyFormat
}

// copyRows copies a reference table's rows from the coordinator to other nodes.
func (o *operation) copyRows(ctx context.Context, d *definition, groups []int32) error {
	columns := strings.Join(d.stored(), ", ")
	return o.lossless(ctx, append([]int32{catalog.CoordinatorGroup}, groups...), func() error {
		source, err := o.coordinator(ctx)
		if err != nil {
			return err
		}
		var targets []*backend.Conn
		for _, group := range groups {
			conn, err := o.tx.Conn(ctx, group)
			if err != nil {
				return err
			}
			targets = append(targets, conn)
		}
		send := func(rows []byte) error {
			var g errgroup.Group
			for _, conn := range targets {
				g.Go(func() error { return copyIn(ctx, conn, copyFrom(d.qualified(), columns), rows) })
			}
			return g.Wait()
		}
		var pending []byte
		err = copyOut(ctx, source, "COPY (SELECT "+columns+" FROM ONLY "+d.qualified()+") TO STDOUT"+copyFormat, func(line []byte) error {
			pending = append(pending, line...)
			if len(pending) < chunkSize {
				return nil
			}
			err := send(pending)
			pending = pending[:0]
			return err
		})
		if err != nil || len(pending) == 0 {
			return err
		}
		return send(pending)
	})
}

// gather copies all rows of a table's shards into its shell on the coordinator.
func (o *operation) gather(ctx context.Context, d *definition, shards []shardGroup) error {
	columns := strings.Join(d.stored(), ", ")
	nodes, _ := perNode(shards)
	return o.lossless(ctx, append([]int32{catalog.CoordinatorGroup}, without(nodes, catalog.CoordinatorGroup)...), func() error {
		target, err := o.coordinator(ctx)
		if err != nil {
			return err
		}
		// Those who write to shards never touch the shell, whose lock does not keep them away. And the lock must be had before the
		// statement that reads: a COPY that waited for it would not see what was committed meanwhile.
		lock := ddl.Script([]string{"LOCK TABLE " + ddl.MarkedName(d.Schema, d.Name) + " IN ACCESS EXCLUSIVE MODE"})
		if err := o.onShards(ctx, shards, lock); err != nil {
			return err
		}
		if err := o.exec(ctx, fmt.Sprintf("SELECT trunkline_internal.open_shell(%s::regclass)", sql.QuoteLiteral(d.qualified()))); err != nil {
			return err
		}
		for _, s := range shards {
			shard := qualify(catalog.ShardSchema(d.Schema, s.id), d.Name)
			if s.group == catalog.CoordinatorGroup {
				text := fmt.Sprintf("INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s", d.qualified(), columns, columns, shard)
				if err := o.exec(ctx, text); err != nil {
					return err
				}
				continue
			}
			source, err := o.tx.Conn(ctx, s.group)
			if err != nil {
				return err
			}
			var pending []byte
			flush := func() error {
				if len(pending) == 0 {
					return nil
				}
				err := copyIn(ctx, target, copyFrom(d.qualified(), columns), pending)
				pending = pending[:0]
				return err
			}
			err = copyOut(ctx, source, "COPY (SELECT "+columns+" FROM "+shard+") TO STDOUT"+copyFormat, func(line []byte) error {
				pending = append(pending, line...)
				if len(pending) < chunkSize {
					return nil
				}
				return flush()
			})
			if err == nil {
				err = flush()
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

var errStop = fmt.Errorf("a node that receives rows has failed")

// copyOut runs a COPY TO STDOUT in text format and gives each row, its newline included, to f. An error of f ends the COPY, by
// cancelling it; what else arrives is thrown away.
func copyOut(ctx context.Context, conn *backend.Conn, text string, f func(line []byte) error) error {
	conn.SendQuery(text)
	var stopped, failure error
	for {
		m, err := conn.Receive(ctx)
		if err != nil {
			return err
		}
		switch m.Type {
		case 'd':
			if stopped == nil {
				if stopped = f(m.Body()); stopped != nil {
					conn.Cancel(ctx)
				}
			}
		case 'E':
			if failure == nil {
				failure = backend.DecodeError(m)
			}
		case 'Z':
			if stopped != nil {
				return stopped
			}
			return failure
		}
	}
}

// copyIn runs a COPY FROM STDIN with the given rows, in one round trip.
func copyIn(ctx context.Context, conn *backend.Conn, text string, rows []byte) error {
	conn.SendQuery(text)
	conn.Send(&pgproto3.CopyData{Data: rows})
	conn.Send(&pgproto3.CopyDone{})
	var failure error
	for {
		m, err := conn.Receive(ctx)
		if err != nil {
			return err
		}
		switch m.Type {
		case 'E':
			if failure == nil {
				failure = backend.DecodeError(m)
			}
		case 'Z':
			return failure
		}
	}
}

func without(groups []int32, group int32) []int32 {
	var rest []int32
	for _, g := range groups {
		if g != group {
			rest = append(rest, g)
		}
	}
	return rest
}
