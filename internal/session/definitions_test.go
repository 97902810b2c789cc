package session_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
)

// Definitions that come through one gateway hold for statements through another at once.
func TestDefinitionsFromTwoGateways(t *testing.T) {
	g := start(t)
	c := g.connect()
	other := g.another(c)
	g.distributed(c, 10)
	g.want(other, "SELECT count(*) FROM t", "10") // a definition by a gateway that takes the table for local gets 40001
	for i, at := range []*pgx.Conn{other, c, other, c} {
		beside := map[*pgx.Conn]*pgx.Conn{c: other, other: c}[at]
		column := fmt.Sprintf("c%d", i)
		g.exec(at, "ALTER TABLE t ADD COLUMN "+column+" int DEFAULT 7")
		g.want(beside, "SELECT sum("+column+") FROM t", "70")
		g.exec(beside, "UPDATE t SET "+column+" = 8 WHERE k = 1")
		g.want(at, "SELECT sum("+column+") FROM t", "71")
		g.exec(at, "CREATE UNIQUE INDEX CONCURRENTLY u ON t (k, "+column+")")
		g.fails(beside, "INSERT INTO t (k, "+column+") VALUES (1, 8)", "23505")
		g.exec(beside, "DROP INDEX CONCURRENTLY u")
		g.exec(beside, "ALTER TABLE t RENAME TO passing")
		g.want(at, "SELECT count(*) FROM passing", "10")
		g.exec(at, "ALTER TABLE passing RENAME TO t")
		g.want(beside, "SELECT count(*) FROM t", "10")
	}
	g.exec(other, "DROP TABLE t")
	g.fails(c, "SELECT * FROM t", "42P01")
}

// Definitions through two gateways at once follow one another, while statements write to the table through both.
func TestDefinitionsBesideWrites(t *testing.T) {
	g := start(t)
	c := g.connect()
	other := g.another(c)
	g.distributed(c, 10)
	g.want(other, "SELECT count(*) FROM t", "10") // a definition by a gateway that takes the table for local gets 40001
	const changes = 4
	var definers, writers errgroup.Group
	var over atomic.Bool
	var written atomic.Int64
	for n, at := range []*pgx.Conn{c, other} {
		definers.Go(func() error {
			for i := range changes {
				for _, text := range []string{"ALTER TABLE t ADD COLUMN c%d_%d int DEFAULT 1", "CREATE INDEX i%d_%d ON t (k)"} {
					if _, err := at.Exec(t.Context(), fmt.Sprintf(text, n, i)); err != nil {
						return fmt.Errorf("%s: %w", text, err)
					}
				}
			}
			return nil
		})
		config := at.Config().Copy()
		writer, err := pgx.ConnectConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { writer.Close(t.Context()) })
		writers.Go(func() error {
			for i := 0; !over.Load(); i++ {
				key := 1_000_000*(n+1) + i
				if _, err := writer.Exec(t.Context(), fmt.Sprintf("INSERT INTO t (k) VALUES (%d)", key)); err != nil {
					return fmt.Errorf("writing: %w", err)
				}
				written.Add(1)
				if _, err := writer.Exec(t.Context(), fmt.Sprintf("UPDATE t SET v = 'x' WHERE k = %d", key)); err != nil {
					return fmt.Errorf("updating: %w", err)
				}
			}
			return nil
		})
	}
	err := definers.Wait()
	over.Store(true)
	if err != nil {
		t.Error(err)
	}
	if err := writers.Wait(); err != nil {
		t.Error(err)
	}
	g.want(c, "SELECT count(*) FROM t", fmt.Sprint(10+written.Load()))
	g.want(other, "SELECT sum(c0_0 + c0_3 + c1_0 + c1_3) FROM t", fmt.Sprint(4*(10+written.Load())))
	g.want(c, "SELECT count(*) FROM pg_indexes WHERE tablename = 't' AND schemaname = 'public' AND indexname ~ '^i[01]_'", fmt.Sprint(2*changes))
}
