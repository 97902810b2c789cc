package faulttest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/pgtest"
)

// TestNodesComeAndGo adds and removes nodes through one gateway while clients of two write to reference tables and define types,
// functions and schemas. Every copy has every acknowledged row, and all nodes have all objects.
func TestNodesComeAndGo(t *testing.T) {
	l := newLab(t, 2)
	gateways := []*child{startChild(t, l.coordinator()), startChild(t, l.coordinator())}
	c := l.connect(gateways[0].clientDSN(l.database))
	defer c.Close(context.Background())
	l.exec(c, fmt.Sprintf("SELECT citus_set_coordinator_host('127.0.0.1', %d)", l.nodes[0].server.Port))
	l.exec(c, fmt.Sprintf("SELECT citus_add_node('127.0.0.1', %d)", l.nodes[1].server.Port))
	l.exec(c, "CREATE TABLE kinds (id int PRIMARY KEY, who int, n int DEFAULT 0)")
	l.exec(c, "CREATE TABLE labels (kind int REFERENCES kinds ON DELETE CASCADE, label text)")
	l.exec(c, "SELECT create_reference_table('kinds'); SELECT create_reference_table('labels')")
	l.exec(c, "CREATE TABLE things (id int PRIMARY KEY, kind int)")
	l.exec(c, "SELECT create_distributed_table('things', 'id')")

	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var rows, objects atomic.Int64
	retried := map[string]int{}
	var mu sync.Mutex
	failed := func(who int, err error) bool {
		switch sqlState(err) {
		case "40001", "40P01":
			mu.Lock()
			retried[sqlState(err)]++
			mu.Unlock()
			return true
		}
		if ctx.Err() == nil {
			t.Errorf("client %d: %v", who, err)
		}
		return false
	}
	for who := range 4 {
		clients.Go(func() {
			c, err := connect(ctx, gateways[who%2].clientDSN(l.database))
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close(context.Background())
			for i := 0; ctx.Err() == nil; i++ {
				id := who*1_000_000 + i
				var err error
				switch i % 4 {
				case 0:
					_, err = c.Exec(ctx, "INSERT INTO kinds VALUES ($1, $2)", id, who)
					if err == nil {
						rows.Add(1)
					}
				case 1: // which its client runs again should it meet a new node
					_, err = c.Exec(ctx, "BEGIN")
					if err == nil {
						_, err = c.Exec(ctx, "INSERT INTO kinds VALUES ($1, $2)", id, who)
					}
					if err == nil {
						_, err = c.Exec(ctx, "INSERT INTO labels VALUES ($1, 'x')", id)
					}
					if err == nil {
						_, err = c.Exec(ctx, "COMMIT")
						if err == nil {
							rows.Add(1)
						}
					} else {
						c.Exec(ctx, "ROLLBACK")
					}
				case 2:
					_, err = c.Exec(ctx, "UPDATE kinds SET n = n + 1 WHERE who = $1", who)
				case 3:
					_, err = c.Exec(ctx, "INSERT INTO things SELECT $1, min(id) FROM kinds WHERE who = $2", id, who)
				}
				if err != nil && !failed(who, err) {
					return
				}
			}
		})
	}
	clients.Go(func() {
		c, err := connect(ctx, gateways[1].clientDSN(l.database))
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close(context.Background())
		for i := 0; ctx.Err() == nil; i++ {
			_, err := c.Exec(ctx, []string{
				fmt.Sprintf("CREATE TYPE mood_%d AS ENUM ('a')", i),
				fmt.Sprintf("CREATE FUNCTION f_%d() RETURNS int LANGUAGE sql AS 'SELECT 1'", i),
				fmt.Sprintf("CREATE SCHEMA s_%d", i),
			}[i%3])
			if err != nil && !failed(100, err) {
				return
			}
			if err == nil {
				objects.Add(1)
			}
		}
	})
	port := l.nodes[2].server.Port
	var waits time.Duration
	for round := range 4 {
		had := rows.Load()
		began := time.Now()
		l.exec(c, fmt.Sprintf("SELECT citus_add_node('127.0.0.1', %d)", port))
		waits = max(waits, time.Since(began))
		eventually(t, patience, "rows are written with the new node", func() bool { return rows.Load() > had+10 })
		if round == 3 {
			break
		}
		if round%2 == 0 {
			l.exec(c, fmt.Sprintf("SELECT citus_disable_node('127.0.0.1', %d)", port))
			l.exec(c, fmt.Sprintf("SELECT citus_activate_node('127.0.0.1', %d)", port))
		}
		had = rows.Load()
		l.exec(c, fmt.Sprintf("SELECT citus_remove_node('127.0.0.1', %d)", port))
		eventually(t, patience, "rows are written without the node", func() bool { return rows.Load() > had+10 })
	}
	stop()
	clients.Wait()
	l.settled(patience) // clients have left in the middle of statements
	t.Logf("%d rows and %d objects; run again: %v; a node was added within %v", rows.Load(), objects.Load(), retried, waits)
	l.same("SELECT count(*)::text || md5(string_agg(k::text, ' ' ORDER BY id)) FROM kinds k")
	l.same("SELECT count(*)::text FROM labels")
	l.same("SELECT md5(string_agg(typname, ' ' ORDER BY typname)) FROM pg_type WHERE typname LIKE 'mood%'")
	l.same("SELECT md5(string_agg(proname, ' ' ORDER BY proname)) FROM pg_proc WHERE proname LIKE 'f\\_%'")
	l.same("SELECT md5(string_agg(nspname, ' ' ORDER BY nspname)) FROM pg_namespace WHERE nspname LIKE 's\\_%'")
	if got := pgtest.Rows(l, l.coordinator(), fmt.Sprintf("SELECT count(*), count(*) >= %d FROM kinds", rows.Load()))[0]; got[1] != "t" {
		t.Errorf("%s rows are there, %d were acknowledged", got[0], rows.Load())
	}
}
