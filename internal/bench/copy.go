package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"
)

// copyRows measures COPY FROM STDIN into the accounts, and leaves them filled.
func copyRows(ctx context.Context, l *lab, r *report) error {
	rows := 100_000 * l.scale
	data := accounts(rows)
	rounds := l.rounds
	if !l.wants("copy") {
		rounds = 1
	}
	results := map[int][]float64{}
	for range rounds {
		for _, side := range l.sides() {
			if err := execute(ctx, side, "TRUNCATE pgbench_accounts"); err != nil {
				return err
			}
			for _, s := range l.servers() {
				if err := execute(ctx, s.Port, "CHECKPOINT"); err != nil {
					return err
				}
			}
			took, err := copyInto(ctx, side, "pgbench_accounts", data)
			if err != nil {
				return err
			}
			results[side] = append(results[side], float64(rows)/took.Seconds())
		}
	}
	if l.wants("copy") {
		line := rates(fmt.Sprintf("COPY FROM, %d rows", rows), "rows/s", results[l.plain.Port], nil, results[l.gate.port], markCopy)
		say("%s: %s of direct", line.name, ratio(line.ofDirect))
		r.add(line)
	}
	return l.settle(ctx)
}

// accounts are the rows of pgbench_accounts as pgbench makes them, in COPY's text format.
func accounts(n int) []byte {
	var b bytes.Buffer
	filler := strings.Repeat(" ", 84)
	for i := 1; i <= n; i++ {
		fmt.Fprintf(&b, "%d\t%d\t0\t%s\n", i, (i-1)/100_000+1, filler)
	}
	return b.Bytes()
}

// copyInto copies rows into a table and tells how long that took.
func copyInto(ctx context.Context, port int, table string, rows []byte) (time.Duration, error) {
	conn, err := connect(ctx, port)
	if err != nil {
		return 0, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	began := time.Now()
	_, err = conn.CopyFrom(ctx, bytes.NewReader(rows), "COPY "+table+" FROM STDIN")
	return time.Since(began), err
}
