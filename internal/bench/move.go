package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// moves is how often the shard group is moved; nomads how many rows of about 1 kB it has per unit of scale.
const (
	moves  = 20
	nomads = 20_000
)

// pause is the longest that any client waited for one statement, since it was last taken.
type pause struct{ longest atomic.Int64 }

func (p *pause) saw(d time.Duration) {
	for {
		old := p.longest.Load()
		if int64(d) <= old || p.longest.CompareAndSwap(old, int64(d)) {
			return
		}
	}
}

// take gives the pause in milliseconds and begins anew.
func (p *pause) take() float64 { return float64(p.longest.Swap(0)) / 1e6 }

// movePauses moves a shard group to and fro under writing and reading clients, and measures how long any of them waits for a statement.
func movePauses(ctx context.Context, l *lab, r *report) error {
	err := execute(ctx, l.gate.port, "DROP TABLE IF EXISTS nomads", "DROP TABLE IF EXISTS settled", "CREATE TABLE nomads (id int PRIMARY KEY, n int DEFAULT 0, filler text)",
		"CREATE TABLE settled (id int PRIMARY KEY, n int DEFAULT 0)",
		"SELECT create_distributed_table('nomads', 'id', colocate_with := 'none', shard_count := 1)", "SELECT create_distributed_table('settled', 'id', colocate_with := 'none', shard_count := 1)",
		fmt.Sprintf("INSERT INTO nomads SELECT g, 0, repeat(md5(g::text), 30) FROM generate_series(1, %d) g", nomads*l.scale),
		fmt.Sprintf("INSERT INTO settled SELECT g FROM generate_series(1, %d) g", nomads*l.scale))
	if err != nil {
		return err
	}
	var writes, reads, others pause
	var failed atomic.Int64
	working, stop := context.WithCancel(ctx)
	defer stop()
	var clients sync.WaitGroup
	defer clients.Wait()
	defer stop()
	client := func(text string, p *pause) error {
		conn, err := connect(ctx, l.gate.port)
		if err != nil {
			return err
		}
		clients.Go(func() {
			defer conn.Close(context.WithoutCancel(ctx))
			for working.Err() == nil {
				began := time.Now()
				if err := conn.ExecParams(ctx, text, [][]byte{[]byte(strconv.Itoa(rand.IntN(nomads*l.scale) + 1))}, nil, nil, nil).Read().Err; err != nil {
					failed.Add(1)
				}
				p.saw(time.Since(began))
			}
		})
		return nil
	}
	for i := range l.clients {
		if err := client("UPDATE nomads SET n = n + 1 WHERE id = $1", &writes); err != nil {
			return err
		}
		if i%4 == 0 {
			if err := client("SELECT n FROM nomads WHERE id = $1", &reads); err != nil {
				return err
			}
			if err := client("UPDATE settled SET n = n + 1 WHERE id = $1", &others); err != nil {
				return err
			}
		}
	}
	admin, err := connect(ctx, l.gate.port)
	if err != nil {
		return err
	}
	defer admin.Close(context.WithoutCancel(ctx))
	var paused, readers, bystanders, quiet []float64
	for range moves {
		writes.take()
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		quiet = append(quiet, writes.take())
		reads.take()
		others.take()
		if err := moveNomads(ctx, admin); err != nil {
			return err
		}
		paused, readers, bystanders = append(paused, writes.take()), append(readers, reads.take()), append(bystanders, others.take())
	}
	stop()
	clients.Wait()
	most := func(values []float64) (m float64) {
		for _, v := range values {
			m = max(m, v)
		}
		return m
	}
	for _, row := range []line{
		{name: "longest write without a move, median", gate: median(quiet)},
		{name: "longest write during a move, median", gate: median(paused), mark: markMovePause, atMost: true},
		{name: "longest write during a move, most", gate: most(paused), mark: markMovePauseMost, atMost: true},
		{name: "longest read during a move, most", gate: most(readers), mark: markMoveRead, atMost: true},
		{name: "longest write to another shard group", gate: most(bystanders)},
	} {
		row.unit = "ms"
		r.add(row)
	}
	if n := failed.Load(); n > 0 {
		return fmt.Errorf("%d statements failed", n)
	}
	return copySpeed(ctx, l, r, admin)
}

// The marks, in milliseconds, and as a part of COPY's speed.
const (
	markMovePause, markMovePauseMost, markMoveRead = 30, 200, 50
	markMoveCopy                                   = 0.7
)

// place tells on which node the moving table is, and which other worker there is.
const place = `SELECT s.shardid, n.nodeid, o.nodeid, n.nodeport, o.nodeport FROM pg_dist_shard s JOIN pg_dist_placement l USING (shardid) JOIN pg_dist_node n ON n.groupid = l.groupid
	JOIN pg_dist_node o ON o.groupid <> n.groupid AND o.groupid <> 0 WHERE s.logicalrelid = 'nomads'::regclass`

func moveNomads(ctx context.Context, admin *pgconn.PgConn) error {
	at := admin.ExecParams(ctx, place, nil, nil, nil, nil).Read()
	if at.Err != nil {
		return at.Err
	}
	row := at.Rows[0]
	_, err := admin.Exec(ctx, fmt.Sprintf("SELECT citus_move_shard_placement(%s, %s, %s)", row[0], row[1], row[2])).ReadAll()
	return err
}

// copySpeed compares a whole move without clients, its indexes included, with COPY TO piped into COPY FROM between the same servers and
// the making of the index there.
func copySpeed(ctx context.Context, l *lab, r *report, admin *pgconn.PgConn) error {
	var direct, moved []float64
	for range l.rounds {
		at := admin.ExecParams(ctx, place, nil, nil, nil, nil).Read()
		if at.Err != nil {
			return at.Err
		}
		row := at.Rows[0]
		from, _ := strconv.Atoi(string(row[3]))
		to, _ := strconv.Atoi(string(row[4]))
		took, err := pipeCopy(ctx, from, to, "public_"+string(row[0])+".nomads")
		if err != nil {
			return err
		}
		direct = append(direct, float64(nomads*l.scale)/took.Seconds())
		began := time.Now()
		if err := moveNomads(ctx, admin); err != nil {
			return err
		}
		moved = append(moved, float64(nomads*l.scale)/time.Since(began).Seconds())
	}
	r.add(rates("move of a shard group, against COPY | COPY", "rows/s", direct, nil, moved, markMoveCopy))
	return nil
}

// pipeCopy copies a table to another server as psql would, with its index, and tells how long that took.
func pipeCopy(ctx context.Context, from, to int, table string) (time.Duration, error) {
	if err := execute(ctx, to, "DROP TABLE IF EXISTS copied", "CREATE TABLE copied (id int, n int, filler text)"); err != nil {
		return 0, err
	}
	source, err := connect(ctx, from)
	if err != nil {
		return 0, err
	}
	defer source.Close(ctx)
	target, err := connect(ctx, to)
	if err != nil {
		return 0, err
	}
	defer target.Close(ctx)
	began := time.Now()
	out, in := io.Pipe()
	defer out.Close()
	go func() {
		_, err := source.CopyTo(ctx, in, "COPY "+table+" TO STDOUT")
		in.CloseWithError(err)
	}()
	if _, err := target.CopyFrom(ctx, out, "COPY copied FROM STDIN"); err != nil {
		return 0, err
	}
	if err := execute(ctx, to, "ALTER TABLE copied ADD PRIMARY KEY (id)"); err != nil {
		return 0, err
	}
	took := time.Since(began)
	return took, execute(ctx, to, "DROP TABLE copied")
}
