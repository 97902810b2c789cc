package move

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/sql"
)

// progress keeps an operation's row in trunkline.shard_move up to date, over a connection of its own.
type progress struct {
	operation int64

	rowsTotal, rows, bytesTotal, bytes, changes atomic.Int64
	sourceLSN, targetLSN                        atomic.Uint64

	mu      sync.Mutex // for conn and waiting
	conn    *backend.Conn
	waiting string
	end     chan struct{}
	ended   sync.WaitGroup
	once    sync.Once
}

// progressInterval is how often the row is written while nothing but numbers change.
const progressInterval = time.Second

func startProgress(ctx context.Context, o *operation) (*progress, error) {
	conn, err := o.Pools.Connect(ctx, o.Coordinator, o.Admin, nil)
	if err != nil {
		return nil, err
	}
	p := &progress{operation: o.id, conn: conn, end: make(chan struct{})}
	writing := context.WithoutCancel(ctx)
	p.ended.Go(func() {
		tick := time.NewTicker(progressInterval)
		defer tick.Stop()
		for {
			select {
			case <-p.end:
				return
			case <-tick.C:
				p.write(writing, "") // what is missed now is written the next time
			}
		}
	})
	return p, nil
}

// enter records that a step begins.
func (p *progress) enter(ctx context.Context, step string) error {
	p.mu.Lock()
	p.waiting = ""
	p.mu.Unlock()
	return p.write(ctx, "step = "+sql.QuoteLiteral(step)+", ")
}

// waits records what is being waited for, "" for nothing any more.
func (p *progress) waits(ctx context.Context, reason string) {
	p.mu.Lock()
	same := p.waiting == reason
	p.waiting = reason
	p.mu.Unlock()
	if !same {
		p.write(ctx, "")
	}
}

func (p *progress) write(ctx context.Context, step string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	waiting := "NULL"
	if p.waiting != "" {
		waiting = sql.QuoteLiteral(p.waiting)
	}
	text := fmt.Sprintf(`UPDATE trunkline.shard_move SET %swaiting_for = %s, rows_total = %d, rows_copied = %d, bytes_total = %d, bytes_copied = %d,
		changes_applied = %d, source_lsn = %s, target_lsn = %s, updated_at = clock_timestamp() WHERE operation_id = %d`, step, waiting,
		p.rowsTotal.Load(), p.rows.Load(), p.bytesTotal.Load(), p.bytes.Load(), p.changes.Load(), lsnText(p.sourceLSN.Load()), lsnText(p.targetLSN.Load()), p.operation)
	return run(ctx, p.conn, text)
}

// pause keeps the row from being written until the function that it returns is called.
func (p *progress) pause() (resume func()) {
	p.mu.Lock()
	return p.mu.Unlock
}

// stop ends the writing.
func (p *progress) stop() {
	p.once.Do(func() {
		close(p.end)
		p.ended.Wait()
		p.conn.Close()
	})
}

// lsnText writes a position in the WAL as SQL.
func lsnText(lsn uint64) string {
	if lsn == 0 {
		return "NULL"
	}
	return fmt.Sprintf("'%X/%X'", lsn>>32, uint32(lsn))
}
