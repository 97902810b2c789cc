package main

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// moveState is a move under way, as the catalog has it.
type moveState struct {
	id          int64
	group       int64
	table       string
	from, to    string
	step        string
	waiting     *string
	rows        int64
	bytes, size int64 // copied, and on disk to begin with
	lag         int64 // bytes of the source's log that the target has not followed yet
	began       time.Time

	lagSeen   int64 // the lag when the move was last looked at
	lagSeenAt time.Time
	left      time.Duration // estimated; negative if there is nothing to go by
}

// movesUnderWay reads all moves, and estimates how long they take by what was seen of them before.
func movesUnderWay(ctx context.Context, conn *pgx.Conn, seen map[int64]moveState) ([]moveState, error) {
	rows, err := conn.Query(ctx, `SELECT m.operation_id, m.shardgroupid,
			coalesce((SELECT min(p.logicalrelid::text) FROM pg_dist_partition p WHERE p.colocationid = m.colocationid), '?'),
			coalesce(f.nodename || ':' || f.nodeport, '?'), coalesce(t.nodename || ':' || t.nodeport, '?'),
			m.step, m.waiting_for, m.rows_copied, m.bytes_copied, m.bytes_total, coalesce(greatest(m.source_lsn - m.target_lsn, 0), 0)::bigint, m.started_at
		FROM trunkline.shard_move m LEFT JOIN pg_dist_node f ON f.groupid = m.source_group AND f.noderole = 'primary'
			LEFT JOIN pg_dist_node t ON t.groupid = m.target_groups[1] AND t.noderole = 'primary' ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	var moves []moveState
	var m moveState
	_, err = pgx.ForEachRow(rows, []any{&m.id, &m.group, &m.table, &m.from, &m.to, &m.step, &m.waiting, &m.rows, &m.bytes, &m.size, &m.lag, &m.began}, func() error {
		m.estimate(seen[m.id], now)
		seen[m.id] = m
		moves = append(moves, m)
		return nil
	})
	return moves, err
}

// estimate works out how long a move still takes: while it copies, from the bytes so far; while it follows changes, from how fast the
// lag shrinks.
func (m *moveState) estimate(before moveState, now time.Time) {
	m.left, m.lagSeen, m.lagSeenAt = -1, m.lag, now
	switch m.step {
	case "copying":
		if m.bytes > 0 && m.size > 0 {
			m.left = time.Duration(float64(now.Sub(m.began)) * max(0, float64(m.size-m.bytes)/float64(m.bytes)))
		}
	case "catching up":
		if caught := before.lagSeen - m.lag; before.step == m.step && caught > 0 {
			m.left = time.Duration(float64(now.Sub(before.lagSeenAt)) * float64(m.lag) / float64(caught))
		}
	}
}

func (m *moveState) String() string {
	return fmt.Sprintf("shard group %d (%s) from %s to %s", m.group, m.table, m.from, m.to)
}

// describe writes how far a move is.
func (m *moveState) describe() string {
	text := fmt.Sprintf("%s, %d rows, %s of %s", m.step, m.rows, size(m.bytes), size(m.size))
	if m.step == "catching up" || m.step == "switching" {
		text += ", " + size(m.lag) + " behind"
	}
	if m.waiting != nil {
		text += ", waiting for " + *m.waiting
	}
	if m.left >= 0 {
		text += ", " + m.left.Round(time.Second).String() + " left"
	}
	return text
}

func size(bytes int64) string { return fmt.Sprintf("% .1f", decor.SizeB1024(bytes)) }

// newMovesView shows moves as bars on a terminal, as lines elsewhere.
func newMovesView(out io.Writer) movesView {
	if isTerminal(out) {
		return &moveBars{bars: mpb.New(mpb.WithOutput(out), mpb.WithWidth(40)), moves: map[int64]*moveBar{}}
	}
	return &moveLines{out: out, steps: map[int64]string{}, known: map[int64]moveState{}}
}

// moveLines writes a line for each step of a move.
type moveLines struct {
	out   io.Writer
	steps map[int64]string
	known map[int64]moveState
	done  int
}

func (v *moveLines) update(done, all int, moves []moveState) {
	here := map[int64]bool{}
	for _, m := range moves {
		here[m.id] = true
		if v.steps[m.id] != m.step {
			v.steps[m.id] = m.step
			fmt.Fprintf(v.out, "%s: %s\n", &m, m.describe())
		}
		v.known[m.id] = m
	}
	for id, m := range v.known {
		if !here[id] {
			fmt.Fprintf(v.out, "%s: over after %s, %d rows\n", &m, time.Since(m.began).Round(10*time.Millisecond), m.rows)
			delete(v.known, id)
		}
	}
	if done != v.done {
		v.done = done
		fmt.Fprintf(v.out, "%d of %d moves made\n", done, all)
	}
}

func (v *moveLines) finish(bool) {}

// moveBars shows a bar for the whole rebalance and one for each move under way.
type moveBars struct {
	bars  *mpb.Progress
	total *mpb.Bar
	all   int64
	moves map[int64]*moveBar
}

// moveBar is one move's bar; its text is read by the goroutine that draws.
type moveBar struct {
	bar  *mpb.Bar
	mu   sync.Mutex
	text string
}

func (b *moveBar) read(decor.Statistics) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text
}

func (v *moveBars) update(done, all int, moves []moveState) {
	if v.total == nil {
		v.all = int64(max(all, 1))
		v.total = v.bars.AddBar(v.all, mpb.BarPriority(1<<30),
			mpb.PrependDecorators(decor.Name("rebalance ", decor.WCSyncSpaceR)),
			mpb.AppendDecorators(decor.CountersNoUnit("%d of %d moves, "), decor.AverageETA(decor.ET_STYLE_MMSS), decor.Name(" left")))
	}
	if int64(done) < v.all { // the last one completes the bar, in finish
		v.total.SetCurrent(int64(done))
	}
	here := map[int64]bool{}
	for _, m := range moves {
		here[m.id] = true
		b := v.moves[m.id]
		if b == nil {
			b = &moveBar{}
			b.bar = v.bars.AddBar(0, // a size that may still be set
				mpb.PrependDecorators(decor.Name(fmt.Sprintf("%d %s → %s ", m.group, m.from, m.to), decor.WCSyncSpaceR)),
				mpb.AppendDecorators(decor.Any(b.read)))
			v.moves[m.id] = b
		}
		b.mu.Lock()
		b.text = m.describe()
		b.mu.Unlock()
		b.bar.SetTotal(max(m.size, m.bytes+1), false)
		b.bar.SetCurrent(m.bytes)
	}
	for id, b := range v.moves {
		if !here[id] {
			b.bar.Abort(true)
			delete(v.moves, id)
		}
	}
}

func (v *moveBars) finish(whole bool) {
	for _, b := range v.moves {
		b.bar.Abort(true)
	}
	if v.total != nil {
		if whole {
			v.total.SetCurrent(v.all)
		} else {
			v.total.Abort(false)
		}
	}
	v.bars.Wait()
}
