package difftest

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/trunkline/trunkline/internal/tpcc"
)

// TestTPCC runs the transactions of TPC-C on tables that are distributed by warehouse, and then checks the conditions that hold for
// its database.
func TestTPCC(t *testing.T) {
	pair := NewPair(t, &shared, 2, 4)
	connect := func() *pgx.Conn {
		c, err := pgx.Connect(t.Context(), pair.Gateway)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close(context.WithoutCancel(t.Context())) })
		return c
	}
	c := connect()
	scale := tpcc.Scale{Warehouses: 4, Districts: 3, Customers: 20, Items: 60}
	if err := tpcc.Prepare(t.Context(), c, scale, tpcc.Distribution); err != nil {
		t.Fatal(err)
	}
	var terminals []*tpcc.Terminal
	for i := range 6 {
		terminals = append(terminals, &tpcc.Terminal{Conn: connect(), Scale: scale, Warehouse: 1 + i%scale.Warehouses, Random: rand.New(rand.NewPCG(1, uint64(i)))})
	}
	var all sync.WaitGroup
	for _, terminal := range terminals {
		all.Go(func() {
			for range 50 {
				if err := terminal.Step(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	all.Wait()
	orders, retries := 0, 0
	for _, terminal := range terminals {
		orders, retries = orders+terminal.NewOrders, retries+terminal.Retries
	}
	t.Logf("%d new orders, %d transactions tried again", orders, retries)
	if orders == 0 {
		t.Error("no order was made")
	}
	if err := tpcc.Check(t.Context(), c); err != nil {
		t.Error(err)
	}
	// A check that cannot fail proves nothing.
	if _, err := c.Exec(t.Context(), "UPDATE warehouse SET w_ytd = w_ytd + 1 WHERE w_id = 1"); err != nil {
		t.Fatal(err)
	}
	if err := tpcc.Check(t.Context(), c); err == nil {
		t.Error("the conditions hold although a warehouse has a wrong total")
	}
}
