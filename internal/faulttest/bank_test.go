package faulttest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	bankAccounts = 200
	bankInitial  = 1000
)

// transfer is what a client knows of a transfer that it tried.
type transfer struct {
	id       int64
	from, to int
	amount   int
	outcome  outcome
}

// TestBank moves money between shards while servers and gateways are killed. TRUNKLINE_FAULT_KILLS and TRUNKLINE_FAULT_SEED make
// longer and other runs of it.
func TestBank(t *testing.T) {
	kills, seed := 6, uint64(1)
	if text := os.Getenv("TRUNKLINE_FAULT_KILLS"); text != "" {
		kills, _ = strconv.Atoi(text)
	}
	if text := os.Getenv("TRUNKLINE_FAULT_SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	l := newLab(t, 2)
	gateways := []*child{startChild(t, l.coordinator()), startChild(t, l.coordinator())}
	l.form(gateways[0].clientDSN(l.database))
	admin := l.connect(gateways[0].clientDSN(l.database))
	for _, text := range []string{
		"CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL)",
		"CREATE TABLE entry (account int, transfer bigint, amount int NOT NULL, PRIMARY KEY (account, transfer))",
		"CREATE TABLE tally (id int PRIMARY KEY, n bigint NOT NULL)",
		"CREATE TABLE journal (transfer bigint PRIMARY KEY)",
		"SELECT create_distributed_table('account', 'id')",
		"SELECT create_distributed_table('entry', 'account')",
		"SELECT create_reference_table('tally')",
		fmt.Sprintf("INSERT INTO account SELECT g, %d FROM generate_series(1, %d) g", bankInitial, bankAccounts),
		"INSERT INTO tally SELECT g, 0 FROM generate_series(0, 9) g",
	} {
		l.exec(admin, text)
	}
	admin.Close(t.Context())

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var ids atomic.Int64
	var confirmed atomic.Int64
	const clients = 16
	ledgers := make([][]transfer, clients)
	var running sync.WaitGroup
	for i := range clients {
		b := banker{
			dsn: gateways[i%2].clientDSN(l.database), ids: &ids, confirmed: &confirmed, random: rand.New(rand.NewPCG(seed, uint64(i))),
			mode: []pgx.QueryExecMode{pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeCacheStatement, pgx.QueryExecModeExec}[i%3],
		}
		running.Go(func() { ledgers[i] = b.work(ctx, t) })
	}
	torment(t, l, gateways, kills, rand.New(rand.NewPCG(seed, 999)), &confirmed)
	stop()
	running.Wait()

	fresh := l.connect(gateways[1].clientDSN(l.database))
	defer fresh.Close(context.Background())
	eventually(t, 30*time.Second, "recovery goes through", func() bool {
		_, err := one(t.Context(), fresh, "SELECT recover_prepared_transactions()")
		return err == nil
	})
	l.settled(20 * time.Second)
	audit(l, fresh, ledgers)
}

// torment breaks one thing after the other, each after some transfers have gone through since the last.
func torment(t *testing.T, l *lab, gateways []*child, kills int, random *rand.Rand, confirmed *atomic.Int64) {
	for n := range kills {
		goal := confirmed.Load() + 5 + random.Int64N(60)
		eventually(t, 60*time.Second, fmt.Sprintf("transfers go on after %d kills", n), func() bool { return confirmed.Load() >= goal })
		if t.Failed() {
			return
		}
		pause := time.Duration(random.IntN(400)) * time.Millisecond
		restart := func(n *node) {
			time.Sleep(pause)
			if err := n.restart(); err != nil {
				t.Errorf("restarting the %s: %v", n.server.Name, err)
			}
		}
		victim := l.nodes[random.IntN(len(l.nodes))]
		switch what := random.IntN(10); {
		case what < 3:
			t.Logf("killing the %s", victim.server.Name)
			victim.kill()
			restart(victim)
		case what < 5:
			t.Logf("ending the %s at once", victim.server.Name)
			victim.crash()
			restart(victim)
		case what < 7:
			t.Logf("killing a process of the %s", victim.server.Name)
			victim.killBackend(random.IntN)
		default:
			g := gateways[random.IntN(len(gateways))]
			t.Logf("killing the gateway on port %d", g.port)
			g.kill()
			time.Sleep(pause)
			// It may be refused while the coordinator recovers.
			eventually(t, 30*time.Second, "the gateway starts again", func() bool { return g.start() == nil })
		}
	}
	goal := confirmed.Load() + 50
	eventually(t, 60*time.Second, "transfers go on after the last kill", func() bool { return confirmed.Load() >= goal })
}

// banker is a client that makes transfers, and connects anew whenever its connection is lost.
type banker struct {
	dsn       string
	mode      pgx.QueryExecMode
	ids       *atomic.Int64
	confirmed *atomic.Int64
	random    *rand.Rand
}

func (b *banker) work(ctx context.Context, t *testing.T) (ledger []transfer) {
	var conn *pgx.Conn
	defer func() {
		if conn != nil {
			conn.Close(context.WithoutCancel(ctx))
		}
	}()
	for ctx.Err() == nil {
		if conn == nil || conn.IsClosed() {
			var err error
			if conn, err = connect(ctx, b.dsn); err != nil {
				conn = nil
				time.Sleep(20 * time.Millisecond) // the gateway or the coordinator is down
				continue
			}
		}
		x := transfer{id: b.ids.Add(1), from: 1 + b.random.IntN(bankAccounts), to: 1 + b.random.IntN(bankAccounts), amount: 1 + b.random.IntN(50)}
		if x.from == x.to {
			continue
		}
		attempt, done := context.WithTimeout(context.WithoutCancel(ctx), 40*time.Second)
		err := b.transfer(attempt, conn, &x)
		if attempt.Err() != nil {
			t.Errorf("transfer %d hangs", x.id)
		}
		done()
		ledger = append(ledger, x)
		if x.outcome == confirmed {
			b.confirmed.Add(1)
		}
		switch state := sqlState(err); {
		case err == nil, conn.IsClosed():
		case state == "40P01", state == "40001", state == "40000", state == "57P01", state == "57P02", state == "57P03", state[:min(len(state), 2)] == "08":
		case errors.Is(err, errGivenUp):
		default:
			t.Errorf("transfer %d: unexpected error: %v", x.id, err)
		}
		if err != nil && !conn.IsClosed() {
			back, done := context.WithTimeout(context.WithoutCancel(ctx), 20*time.Second)
			if _, err := conn.Exec(back, "ROLLBACK"); err != nil {
				conn.Close(back)
			}
			done()
		}
	}
	return ledger
}

var errGivenUp = errors.New("the client has changed its mind")

// transfer makes one transfer and notes what it knows of the outcome.
func (b *banker) transfer(ctx context.Context, conn *pgx.Conn, x *transfer) error {
	exec := func(text string, args ...any) error {
		tag, err := conn.Exec(ctx, text, append([]any{b.mode}, args...)...)
		if err == nil && tag.RowsAffected() != 1 {
			return fmt.Errorf("%s: %s", text, tag)
		}
		return err
	}
	if _, err := conn.Exec(ctx, "BEGIN"); err != nil {
		return err
	}
	steps := []func() error{
		func() error { return exec("UPDATE account SET balance = balance - $2 WHERE id = $1", x.from, x.amount) },
		func() error { return exec("UPDATE account SET balance = balance + $2 WHERE id = $1", x.to, x.amount) },
		func() error { return exec("INSERT INTO entry VALUES ($1, $2, $3)", x.from, x.id, -x.amount) },
		func() error { return exec("INSERT INTO entry VALUES ($1, $2, $3)", x.to, x.id, x.amount) },
	}
	if x.id%4 == 0 {
		steps = append(steps, func() error { return exec("UPDATE tally SET n = n + 1 WHERE id = $1", int(x.id%10)) })
	}
	if x.id%3 == 0 {
		steps = append(steps, func() error { return exec("INSERT INTO journal VALUES ($1)", x.id) })
	}
	for i, step := range steps {
		if x.id%5 == 0 && i == 2 {
			// A savepoint, and an error that it undoes.
			if _, err := conn.Exec(ctx, "SAVEPOINT s"); err != nil {
				return err
			}
			if err := exec("INSERT INTO account VALUES ($1, 0)", x.from); sqlState(err) != "23505" {
				return fmt.Errorf("inserting an account again: %w", err)
			}
			if _, err := conn.Exec(ctx, "ROLLBACK TO s"); err != nil {
				return err
			}
		}
		if err := step(); err != nil {
			return err
		}
	}
	if x.id%13 == 0 {
		return errGivenUp
	}
	tag, err := conn.Exec(ctx, "COMMIT")
	x.outcome = outcomeOf(err)
	if err == nil && tag.String() != "COMMIT" {
		x.outcome = refused
		return fmt.Errorf("COMMIT gave %s", tag)
	}
	return err
}

// audit compares what the clients know with what is there.
func audit(l *lab, c *pgx.Conn, ledgers [][]transfer) {
	l.Helper()
	if got, want := l.one(c, "SELECT sum(balance) FROM account"), strconv.Itoa(bankAccounts*bankInitial); got != want {
		l.Errorf("the total is %s, not %s", got, want)
	}
	if got := l.one(c, "SELECT count(*) FROM account a WHERE balance <> $1 + coalesce((SELECT sum(amount) FROM entry e WHERE e.account = a.id), 0)", bankInitial); got != "0" {
		l.Errorf("%s balances do not agree with the entries", got)
	}
	entries := map[int64][2]int{} // how many there are of a transfer, and their sum
	rows, err := c.Query(l.Context(), "SELECT transfer, amount FROM entry")
	if err != nil {
		l.Fatal(err)
	}
	var id int64
	var amount int
	if _, err := pgx.ForEachRow(rows, []any{&id, &amount}, func() error {
		e := entries[id]
		entries[id] = [2]int{e[0] + 1, e[1] + amount}
		return nil
	}); err != nil {
		l.Fatal(err)
	}
	journal := map[int64]bool{}
	rows, err = c.Query(l.Context(), "SELECT transfer FROM journal")
	if err != nil {
		l.Fatal(err)
	}
	if _, err := pgx.ForEachRow(rows, []any{&id}, func() error { journal[id] = true; return nil }); err != nil {
		l.Fatal(err)
	}
	counts := map[outcome]int{}
	tally, present := 0, 0
	for _, ledger := range ledgers {
		for _, x := range ledger {
			counts[x.outcome]++
			e := entries[x.id]
			there := e[0] == 2 && e[1] == 0
			switch {
			case e[0] != 0 && !there:
				l.Errorf("transfer %d (%d) is there in part: %v", x.id, x.outcome, e)
			case x.outcome == confirmed && !there:
				l.Errorf("transfer %d was acknowledged and is not there", x.id)
			case x.outcome == refused && there:
				l.Errorf("transfer %d was refused and is there", x.id)
			}
			if x.id%3 == 0 && journal[x.id] != there {
				l.Errorf("transfer %d: its entries are there: %v; in the journal: %v", x.id, there, journal[x.id])
			}
			if there {
				present++
				if x.id%4 == 0 {
					tally++
				}
			}
		}
	}
	if len(entries) != present {
		l.Errorf("%d transfers are there, %d of them known", len(entries), present)
	}
	if got := l.one(c, "SELECT sum(n) FROM tally"); got != strconv.Itoa(tally) {
		l.Errorf("the tally is %s, not %d", got, tally)
	}
	l.same("SELECT string_agg(t::text, ',' ORDER BY id) FROM tally t")
	l.Logf("%d transfers confirmed, %d refused, %d unknown", counts[confirmed], counts[refused], counts[unknown])
	for i, g := range l.everywhere("SELECT count(*) FROM trunkline.commit_record WHERE decided_at < clock_timestamp() - interval '30 seconds'") {
		if g != "0" {
			l.Errorf("%s old commit records are left on node %d", g, i)
		}
	}
}
