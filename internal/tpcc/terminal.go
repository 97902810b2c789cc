package tpcc

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Terminal runs transactions of the standard mix for one warehouse, of which some reach into others.
type Terminal struct {
	Conn      *pgx.Conn
	Scale     Scale
	Warehouse int
	Random    *rand.Rand

	NewOrders int // committed
	Retries   int // of transactions that ended by a deadlock or a serialization failure
}

// errUnused is the one new order in a hundred that names an item which does not exist (clause 2.4.1.4).
var errUnused = errors.New("item number is not valid")

// Step runs one transaction, again where PostgreSQL asks for that.
func (t *Terminal) Step(ctx context.Context) error {
	run := t.stockLevel
	switch n := t.Random.IntN(100); {
	case n < 45:
		run = t.newOrder
	case n < 88:
		run = t.payment
	case n < 92:
		run = t.orderStatus
	case n < 96:
		run = t.delivery
	}
	for {
		err := pgx.BeginFunc(ctx, t.Conn, func(tx pgx.Tx) error { return run(ctx, tx) })
		var raised *pgconn.PgError
		if errors.As(err, &raised) && (raised.Code == "40P01" || raised.Code == "40001") {
			t.Retries++
			continue
		}
		if errors.Is(err, errUnused) {
			return nil
		}
		return err
	}
}

func (t *Terminal) district() int { return 1 + t.Random.IntN(t.Scale.Districts) }
func (t *Terminal) customer() int { return 1 + t.Random.IntN(t.Scale.Customers) }

// another gives another warehouse than the terminal's own in so many of a hundred cases.
func (t *Terminal) another(percent int) int {
	if t.Scale.Warehouses == 1 || t.Random.IntN(100) >= percent {
		return t.Warehouse
	}
	return 1 + (t.Warehouse+t.Random.IntN(t.Scale.Warehouses-1))%t.Scale.Warehouses
}

// newOrder is clause 2.4.
func (t *Terminal) newOrder(ctx context.Context, tx pgx.Tx) error {
	w, d, c := t.Warehouse, t.district(), t.customer()
	items := make([]int, 5+t.Random.IntN(11))
	for i := range items {
		items[i] = 1 + t.Random.IntN(t.Scale.Items)
	}
	slices.Sort(items) // so that two orders lock stock in one order
	if t.Random.IntN(100) == 0 {
		items[len(items)-1] = t.Scale.Items + 1
	}
	var tax, discount float64
	var order int
	if err := tx.QueryRow(ctx, `SELECT w_tax::float8, c_discount::float8 FROM warehouse JOIN customer ON c_w_id = w_id WHERE w_id = $1 AND c_d_id = $2 AND c_id = $3`, w, d, c).Scan(&tax, &discount); err != nil {
		return err
	}
	if err := tx.QueryRow(ctx, `UPDATE district SET d_next_o_id = d_next_o_id + 1 WHERE d_w_id = $1 AND d_id = $2 RETURNING d_next_o_id - 1`, w, d).Scan(&order); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO orders VALUES ($1, $2, $3, $4, now(), NULL, $5, 1)`, w, d, order, c, len(items)); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `INSERT INTO new_order VALUES ($1, $2, $3)`, w, d, order); err != nil {
		return err
	}
	for n, item := range items {
		var price float64
		err := tx.QueryRow(ctx, `SELECT i_price::float8 FROM item WHERE i_id = $1`, item).Scan(&price)
		if errors.Is(err, pgx.ErrNoRows) {
			return errUnused
		}
		if err != nil {
			return err
		}
		supply, quantity, remote := t.another(5), 1+t.Random.IntN(10), 0
		if supply != w {
			remote = 1
		}
		if _, err := tx.Exec(ctx, `UPDATE stock SET s_quantity = CASE WHEN s_quantity >= $3 + 10 THEN s_quantity - $3 ELSE s_quantity - $3 + 91 END,
			s_ytd = s_ytd + $3, s_order_cnt = s_order_cnt + 1, s_remote_cnt = s_remote_cnt + $4 WHERE s_w_id = $1 AND s_i_id = $2`, supply, item, quantity, remote); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO order_line VALUES ($1, $2, $3, $4, $5, $6, NULL, $7, $8::float8)`, w, d, order, n+1, item, supply, quantity, price*float64(quantity)); err != nil {
			return err
		}
	}
	t.NewOrders++
	return nil
}

// payment is clause 2.5: for a customer by number or by last name, in one of seven cases of another warehouse.
func (t *Terminal) payment(ctx context.Context, tx pgx.Tx) error {
	w, d, amount := t.Warehouse, t.district(), 1+t.Random.IntN(5000)
	cw, cd, c := t.another(15), t.district(), t.customer()
	if _, err := tx.Exec(ctx, `UPDATE warehouse SET w_ytd = w_ytd + $2 WHERE w_id = $1`, w, amount); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE district SET d_ytd = d_ytd + $3 WHERE d_w_id = $1 AND d_id = $2`, w, d, amount); err != nil {
		return err
	}
	if t.Random.IntN(100) < 60 {
		err := tx.QueryRow(ctx, `SELECT c_id FROM customer WHERE c_w_id = $1 AND c_d_id = $2 AND c_last = $3 ORDER BY c_id LIMIT 1`, cw, cd, "NAME"+string(rune('0'+t.Random.IntN(7)))).Scan(&c)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
	}
	if _, err := tx.Exec(ctx, `UPDATE customer SET c_balance = c_balance - $4, c_ytd_payment = c_ytd_payment + $4, c_payment_cnt = c_payment_cnt + 1,
		c_data = CASE WHEN c_credit = 'BC' THEN left(c_id || ' ' || coalesce(c_data, ''), 500) ELSE c_data END WHERE c_w_id = $1 AND c_d_id = $2 AND c_id = $3`, cw, cd, c, amount); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `INSERT INTO history VALUES ($1, $2, $3, $4, $5, now(), $6, 'payment')`, c, cd, cw, d, w, amount)
	return err
}

// orderStatus is clause 2.6.
func (t *Terminal) orderStatus(ctx context.Context, tx pgx.Tx) error {
	rows, err := tx.Query(ctx, `SELECT ol_i_id, ol_quantity, ol_amount, ol_delivery_d FROM order_line WHERE ol_w_id = $1 AND ol_d_id = $2
		AND ol_o_id = (SELECT max(o_id) FROM orders WHERE o_w_id = $1 AND o_d_id = $2 AND o_c_id = $3)`, t.Warehouse, t.district(), t.customer())
	if err != nil {
		return err
	}
	rows.Close()
	return rows.Err()
}

// delivery is clause 2.7: the oldest new order of each district.
func (t *Terminal) delivery(ctx context.Context, tx pgx.Tx) error {
	w := t.Warehouse
	for d := 1; d <= t.Scale.Districts; d++ {
		var order, customer int
		err := tx.QueryRow(ctx, `DELETE FROM new_order WHERE no_w_id = $1 AND no_d_id = $2 AND no_o_id =
			(SELECT min(no_o_id) FROM new_order WHERE no_w_id = $1 AND no_d_id = $2) RETURNING no_o_id`, w, d).Scan(&order)
		if errors.Is(err, pgx.ErrNoRows) {
			continue
		}
		if err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, `UPDATE orders SET o_carrier_id = 7 WHERE o_w_id = $1 AND o_d_id = $2 AND o_id = $3 RETURNING o_c_id`, w, d, order).Scan(&customer); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE order_line SET ol_delivery_d = now() WHERE ol_w_id = $1 AND ol_d_id = $2 AND ol_o_id = $3`, w, d, order); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE customer SET c_delivery_cnt = c_delivery_cnt + 1, c_balance = c_balance + (SELECT sum(ol_amount) FROM order_line
			WHERE ol_w_id = $1 AND ol_d_id = $2 AND ol_o_id = $3) WHERE c_w_id = $1 AND c_d_id = $2 AND c_id = $4`, w, d, order, customer); err != nil {
			return err
		}
	}
	return nil
}

// stockLevel is clause 2.8.
func (t *Terminal) stockLevel(ctx context.Context, tx pgx.Tx) error {
	var low int
	return tx.QueryRow(ctx, `SELECT count(DISTINCT s_i_id) FROM district JOIN order_line ON ol_w_id = d_w_id AND ol_d_id = d_id AND ol_o_id BETWEEN d_next_o_id - 20 AND d_next_o_id - 1
		JOIN stock ON s_w_id = d_w_id AND s_i_id = ol_i_id WHERE d_w_id = $1 AND d_id = $2 AND s_quantity < $3`, t.Warehouse, t.district(), 10+t.Random.IntN(11)).Scan(&low)
}
