package session_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// A bank's total, read by statements over all shards through two gateways while money moves between shards through both, is always the
// same.
func TestReadsAtOneInstant(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.connect()
	const accounts, tellers, reads = 40, 4, 60
	g.exec(c, "CREATE TABLE account (id int PRIMARY KEY, money int)")
	g.exec(c, "SELECT create_distributed_table('account', 'id')")
	g.exec(c, fmt.Sprintf("INSERT INTO account SELECT i, 100 FROM generate_series(1, %d) i", accounts))
	other := g.another(c)
	connect := func(n int) *pgx.Conn {
		config := []*pgx.Conn{c, other}[n%2].Config().Copy()
		conn, err := pgx.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(context.Background()) })
		return conn
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var moving errgroup.Group
	for n := range tellers {
		conn := connect(n)
		moving.Go(func() error {
			for i := 0; ctx.Err() == nil; i++ {
				// Each teller has accounts of its own.
				from, to := 1+n+tellers*(i%10), 1+n+tellers*((i*3+1)%10)
				_, err := conn.Exec(t.Context(), fmt.Sprintf("BEGIN; UPDATE account SET money = money - 1 WHERE id = %d; UPDATE account SET money = money + 1 WHERE id = %d; COMMIT", from, to), pgx.QueryExecModeSimpleProtocol)
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	const total = "SELECT sum(money)::int, count(*)::int FROM account"
	var reading errgroup.Group
	for n, mode := range []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec, pgx.QueryExecModeDescribeExec} {
		conn := connect(n)
		reading.Go(func() error {
			read := func(q interface {
				QueryRow(context.Context, string, ...any) pgx.Row
			}, text string) error {
				var sum, count int
				err := q.QueryRow(t.Context(), text, mode).Scan(&sum, &count)
				if err == nil && (sum != 100*accounts || count != accounts) {
					err = fmt.Errorf("%s: %d in %d accounts", text, sum, count)
				}
				return err
			}
			for i := range reads {
				if err := read(conn, total); err != nil {
					return err
				}
				if i%10 > 0 {
					continue
				}
				tx, err := conn.Begin(t.Context())
				if err != nil {
					return err
				}
				for range 3 {
					if err := read(tx, total); err != nil {
						return err
					}
				}
				if err := tx.Rollback(t.Context()); err != nil {
					return err
				}
				// A block that keeps its snapshot: whatever it reads, however late.
				if _, err := conn.Exec(t.Context(), "SET trunkline.read_at_one_instant = 'transaction'"); err != nil {
					return err
				}
				tx, err = conn.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
				if err != nil {
					return err
				}
				sum := 0
				for id := 1; id <= accounts; id++ {
					var money int
					if err := tx.QueryRow(t.Context(), "SELECT money FROM account WHERE id = $1", mode, id).Scan(&money); err != nil {
						return err
					}
					sum += money
				}
				if sum != 100*accounts {
					return fmt.Errorf("one by one there is %d", sum)
				}
				if err := read(tx, total); err != nil {
					return err
				}
				if err := tx.Commit(t.Context()); err != nil {
					return err
				}
				if _, err := conn.Exec(t.Context(), "RESET trunkline.read_at_one_instant"); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := reading.Wait(); err != nil {
		t.Error(err)
	}
	stop()
	if err := moving.Wait(); err != nil {
		t.Error(err)
	}
}

// A reader at the gates that waits for a lock on a table lets the transaction commit that has it.
func TestInstantBesideDefinition(t *testing.T) {
	t.Parallel()
	g := start(t)
	c, other := g.connect(), g.connect()
	g.distributed(c, 20)
	const sum = "SELECT sum(n)::int FROM t"
	for _, begin := range []string{"", "BEGIN; SELECT 1"} {
		g.rows(other, sum) // so that it need not be planned, which would wait at the coordinator, before the gates
		g.exec(c, "BEGIN")
		g.exec(c, "ALTER TABLE t ALTER COLUMN n TYPE bigint")
		g.exec(c, "UPDATE t SET n = 1")
		if begin != "" {
			g.exec(other, begin, pgx.QueryExecModeSimpleProtocol)
		}
		read := make(chan error, 1)
		var got int
		go func() { read <- other.QueryRow(t.Context(), sum, pgx.QueryExecModeSimpleProtocol).Scan(&got) }()
		g.until("the reader waits for the table", func() bool {
			return g.rows(c, "SELECT count(*) FROM citus_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") != "0"
		})
		g.exec(c, "COMMIT")
		if err := <-read; err != nil || got != 20 {
			t.Fatalf("%d, %v", got, err)
		}
		g.exec(other, "ROLLBACK")
	}
}

func TestInstantSetting(t *testing.T) {
	t.Parallel()
	g := start(t)
	c := g.connect()
	g.distributed(c, 20)
	g.want(c, "SHOW trunkline.read_at_one_instant", "statement")
	g.fails(c, "SET trunkline.read_at_one_instant = 'perhaps'", "22023")
	for _, value := range []string{"off", "transaction", "statement"} {
		g.exec(c, "SET trunkline.read_at_one_instant = '"+value+"'")
		g.want(c, "SHOW trunkline.read_at_one_instant", value)
		for _, begin := range []string{"BEGIN", "BEGIN ISOLATION LEVEL REPEATABLE READ", "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE"} {
			g.exec(c, begin)
			g.want(c, "SELECT count(*) FROM t", "20")
			g.want(c, "SELECT v FROM t WHERE k = 7", "v7")
			g.fails(c, "SELECT count(*) FROM t WHERE 1 / (k - 7) > 0", "22012")
			g.exec(c, "ROLLBACK")
		}
		g.want(c, "SELECT count(*), sum(pg_backend_pid() * 0) FROM t", "20|0")
	}
}
