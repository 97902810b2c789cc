// Package tpcc is a small TPC-C (www.tpc.org/tpcc): its tables distributed by warehouse, its five transactions, and the consistency
// conditions of clause 3.3.2, which hold after any mix of them if no write was lost or doubled.
//
// It speaks to any PostgreSQL through pgx and imports nothing of the project. Read Scale first, then Terminal.
package tpcc

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Scale is how large the database is. TPC-C has 10 districts, 3,000 customers per district and 100,000 items.
type Scale struct {
	Warehouses, Districts, Customers, Items int
}

var schema = []string{
	`CREATE TABLE item (i_id int PRIMARY KEY, i_im_id int, i_name varchar(24), i_price numeric(5,2), i_data varchar(50))`,
	`CREATE TABLE warehouse (w_id int PRIMARY KEY, w_name varchar(10), w_city varchar(20), w_tax numeric(4,4), w_ytd numeric(12,2))`,
	`CREATE TABLE district (d_w_id int, d_id int, d_name varchar(10), d_tax numeric(4,4), d_ytd numeric(12,2), d_next_o_id int,
		PRIMARY KEY (d_w_id, d_id), FOREIGN KEY (d_w_id) REFERENCES warehouse)`,
	`CREATE TABLE customer (c_w_id int, c_d_id int, c_id int, c_last varchar(16), c_credit char(2), c_discount numeric(4,4), c_balance numeric(12,2) DEFAULT 0,
		c_ytd_payment numeric(12,2) DEFAULT 0, c_payment_cnt int DEFAULT 0, c_delivery_cnt int DEFAULT 0, c_data varchar(500),
		PRIMARY KEY (c_w_id, c_d_id, c_id), FOREIGN KEY (c_w_id, c_d_id) REFERENCES district)`,
	`CREATE INDEX customer_last ON customer (c_w_id, c_d_id, c_last)`,
	`CREATE TABLE history (h_c_id int, h_c_d_id int, h_c_w_id int, h_d_id int, h_w_id int, h_date timestamptz, h_amount numeric(6,2), h_data varchar(24))`,
	`CREATE TABLE orders (o_w_id int, o_d_id int, o_id int, o_c_id int, o_entry_d timestamptz, o_carrier_id int, o_ol_cnt int, o_all_local int,
		PRIMARY KEY (o_w_id, o_d_id, o_id), FOREIGN KEY (o_w_id, o_d_id, o_c_id) REFERENCES customer)`,
	`CREATE TABLE new_order (no_w_id int, no_d_id int, no_o_id int, PRIMARY KEY (no_w_id, no_d_id, no_o_id), FOREIGN KEY (no_w_id, no_d_id, no_o_id) REFERENCES orders)`,
	`CREATE TABLE order_line (ol_w_id int, ol_d_id int, ol_o_id int, ol_number int, ol_i_id int, ol_supply_w_id int, ol_delivery_d timestamptz, ol_quantity int,
		ol_amount numeric(6,2), PRIMARY KEY (ol_w_id, ol_d_id, ol_o_id, ol_number), FOREIGN KEY (ol_w_id, ol_d_id, ol_o_id) REFERENCES orders)`,
	`CREATE TABLE stock (s_w_id int, s_i_id int, s_quantity int, s_ytd int DEFAULT 0, s_order_cnt int DEFAULT 0, s_remote_cnt int DEFAULT 0,
		PRIMARY KEY (s_w_id, s_i_id), FOREIGN KEY (s_w_id) REFERENCES warehouse, FOREIGN KEY (s_i_id) REFERENCES item)`,
}

// Distribution are the statements that spread the empty tables by warehouse; a plain PostgreSQL goes without.
var Distribution = []string{
	`SELECT create_reference_table('item')`,
	`SELECT create_distributed_table('warehouse', 'w_id')`,
	`SELECT create_distributed_table('district', 'd_w_id', colocate_with => 'warehouse')`,
	`SELECT create_distributed_table('customer', 'c_w_id', colocate_with => 'warehouse')`,
	`SELECT create_distributed_table('history', 'h_w_id', colocate_with => 'warehouse')`,
	`SELECT create_distributed_table('orders', 'o_w_id', colocate_with => 'warehouse')`,
	`SELECT create_distributed_table('new_order', 'no_w_id', colocate_with => 'warehouse')`,
	`SELECT create_distributed_table('order_line', 'ol_w_id', colocate_with => 'warehouse')`,
	`SELECT create_distributed_table('stock', 's_w_id', colocate_with => 'warehouse')`,
}

// Prepare makes the tables, spreads them by the statements of distribution, and fills them. Orders begin with none.
func Prepare(ctx context.Context, c *pgx.Conn, s Scale, distribution []string) error {
	load := []string{
		fmt.Sprintf(`INSERT INTO item SELECT i, i, 'item ' || i, 1 + i %% 99, 'data' FROM generate_series(1, %d) AS i`, s.Items),
		fmt.Sprintf(`INSERT INTO warehouse SELECT w, 'w' || w, 'city', 0.1, 0 FROM generate_series(1, %d) AS w`, s.Warehouses),
		fmt.Sprintf(`INSERT INTO district SELECT w_id, d, 'd' || d, 0.05, 0, 1 FROM warehouse, generate_series(1, %d) AS d`, s.Districts),
		fmt.Sprintf(`INSERT INTO customer (c_w_id, c_d_id, c_id, c_last, c_credit, c_discount) SELECT d_w_id, d_id, c, 'NAME' || c %% 7, CASE WHEN c %% 10 = 0 THEN 'BC' ELSE 'GC' END, 0.1
			FROM district, generate_series(1, %d) AS c`, s.Customers),
		`INSERT INTO stock (s_w_id, s_i_id, s_quantity) SELECT w_id, i_id, 50 FROM warehouse, item`,
	}
	for _, list := range [][]string{schema, distribution, load} {
		for _, text := range list {
			if _, err := c.Exec(ctx, text); err != nil {
				return fmt.Errorf("%s: %w", text, err)
			}
		}
	}
	return nil
}

// conditions are queries that find what breaks a consistency condition, by the condition's number in clause 3.3.2.
var conditions = []struct{ number, query string }{
	{"1", `SELECT w_id FROM warehouse JOIN district ON d_w_id = w_id GROUP BY w_id, w_ytd HAVING w_ytd <> sum(d_ytd)`},
	{"2", `SELECT d_w_id, d_id FROM district JOIN orders ON o_w_id = d_w_id AND o_d_id = d_id GROUP BY d_w_id, d_id, d_next_o_id HAVING d_next_o_id - 1 <> max(o_id)`},
	{"3", `SELECT no_w_id, no_d_id FROM new_order GROUP BY no_w_id, no_d_id HAVING max(no_o_id) - min(no_o_id) + 1 <> count(*)`},
	{"4", `SELECT * FROM (SELECT o_w_id, o_d_id, sum(o_ol_cnt) AS n FROM orders GROUP BY 1, 2) o
		FULL JOIN (SELECT ol_w_id, ol_d_id, count(*) AS n FROM order_line GROUP BY 1, 2) l ON ol_w_id = o_w_id AND ol_d_id = o_d_id WHERE o.n IS DISTINCT FROM l.n`},
	{"5", `SELECT o_w_id, o_d_id, o_id FROM orders LEFT JOIN new_order ON no_w_id = o_w_id AND no_d_id = o_d_id AND no_o_id = o_id WHERE (o_carrier_id IS NULL) <> (no_o_id IS NOT NULL)`},
	{"6", `SELECT o_w_id, o_d_id, o_id FROM orders WHERE o_ol_cnt <> (SELECT count(*) FROM order_line WHERE ol_w_id = o_w_id AND ol_d_id = o_d_id AND ol_o_id = o_id)`},
	{"7", `SELECT o_w_id, o_d_id, o_id FROM orders JOIN order_line ON ol_w_id = o_w_id AND ol_d_id = o_d_id AND ol_o_id = o_id WHERE (ol_delivery_d IS NULL) <> (o_carrier_id IS NULL)`},
	{"8", `SELECT w_id FROM warehouse WHERE w_ytd <> (SELECT coalesce(sum(h_amount), 0) FROM history WHERE h_w_id = w_id)`},
	{"9", `SELECT d_w_id, d_id FROM district WHERE d_ytd <> (SELECT coalesce(sum(h_amount), 0) FROM history WHERE h_w_id = d_w_id AND h_d_id = d_id)`},
	{"10 and 12", `SELECT c_w_id, c_d_id, c_id FROM customer
		LEFT JOIN (SELECT o_w_id, o_d_id, o_c_id, sum(ol_amount) AS delivered FROM orders JOIN order_line ON ol_w_id = o_w_id AND ol_d_id = o_d_id AND ol_o_id = o_id
			WHERE ol_delivery_d IS NOT NULL GROUP BY 1, 2, 3) o ON o_w_id = c_w_id AND o_d_id = c_d_id AND o_c_id = c_id
		LEFT JOIN (SELECT h_c_w_id, h_c_d_id, h_c_id, sum(h_amount) AS paid FROM history GROUP BY 1, 2, 3) h ON h_c_w_id = c_w_id AND h_c_d_id = c_d_id AND h_c_id = c_id
		WHERE c_balance <> coalesce(delivered, 0) - coalesce(paid, 0) OR c_ytd_payment <> coalesce(paid, 0)`},
	{"of stock", `SELECT s.n, l.n FROM (SELECT sum(s_ytd) AS n FROM stock) s, (SELECT coalesce(sum(ol_quantity), 0) AS n FROM order_line) l WHERE s.n <> l.n`},
}

// Check tells which consistency condition is broken, if one is.
func Check(ctx context.Context, c *pgx.Conn) error {
	for _, condition := range conditions {
		var broken int
		if err := c.QueryRow(ctx, "SELECT count(*) FROM ("+condition.query+") AS broken").Scan(&broken); err != nil {
			return fmt.Errorf("condition %s: %w", condition.number, err)
		}
		if broken > 0 {
			return fmt.Errorf("condition %s is broken %d times", condition.number, broken)
		}
	}
	return nil
}
