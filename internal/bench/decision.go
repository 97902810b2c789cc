package main

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/tpch"
)

const (
	decisionScale = 0.1
	markDecision  = 1 / 1.3 // of the plain server's speed: at most 1.3 times its time
	markPlanning  = 1000.0  // microseconds
)

// decision measures TPC-H: the 22 queries one after the other on each side, from one client.
func decision(ctx context.Context, l *lab, r *report) error {
	if err := l.loadDecision(ctx); err != nil {
		return err
	}
	queries := tpch.Queries(decisionScale)
	speeds := map[int][]float64{}
	times := map[int]map[int]time.Duration{} // by query, by side: the least
	for round := range l.rounds + 1 {
		for _, side := range l.sides() {
			total := time.Duration(0)
			for _, q := range queries {
				began := time.Now()
				if err := execute(ctx, side, q.SQL); err != nil {
					return err
				}
				took := time.Since(began)
				total += took
				if times[q.Number] == nil {
					times[q.Number] = map[int]time.Duration{}
				}
				if least, ok := times[q.Number][side]; !ok || took < least {
					times[q.Number][side] = took
				}
			}
			if round > 0 { // the first one plans, and reads from disk
				speeds[side] = append(speeds[side], float64(len(queries))/total.Seconds())
			}
		}
	}
	result := rates(fmt.Sprintf("TPC-H, scale %g", decisionScale), "queries/s", speeds[l.plain.Port], nil, speeds[l.gate.port], markDecision)
	var slow []string
	for _, q := range queries {
		if ratio := float64(times[q.Number][l.gate.port]) / float64(times[q.Number][l.plain.Port]); ratio > 1.5 {
			slow = append(slow, fmt.Sprintf("Q%d %.1f", q.Number, ratio))
		}
	}
	result.remark = "least time of each query, as a multiple of the plain server's, where that is over 1.5: " + strings.Join(slow, ", ")
	say("%s: %s of direct", result.name, ratio(result.ofDirect))
	r.add(result)
	return l.planning(ctx, r)
}

// loadDecision makes TPC-H's tables on both sides.
func (l *lab) loadDecision(ctx context.Context) error {
	for _, side := range l.sides() {
		statements := tpch.Schema()
		if side == l.gate.port {
			statements = append(statements, tpch.Distribute()...)
		}
		if err := execute(ctx, side, statements...); err != nil {
			return err
		}
	}
	for _, table := range tpch.Tables {
		var rows bytes.Buffer
		if err := tpch.Write(&rows, table, decisionScale); err != nil {
			return err
		}
		for _, side := range l.sides() {
			if _, err := copyInto(ctx, side, table, rows.Bytes()); err != nil {
				return err
			}
		}
	}
	for _, side := range l.sides() {
		if err := execute(ctx, side, tpch.Indexes()...); err != nil {
			return err
		}
	}
	return l.settle(ctx)
}

// planning measures how long it takes to parse and to plan a join of five tables that was not seen before.
func (l *lab) planning(ctx context.Context, r *report) error {
	address, identity, options, err := backend.ParseDSN(l.nodes[0].DSN(database))
	if err != nil {
		return err
	}
	conn, err := backend.Connect(ctx, address, identity, options)
	if err != nil {
		return err
	}
	defer conn.Close()
	snapshot, err := catalog.Load(ctx, conn)
	if err != nil {
		return err
	}
	const text = `SELECT n_name, count(*), sum(l_quantity) FROM customer, orders, lineitem, supplier, nation WHERE c_custkey = o_custkey
		AND l_orderkey = o_orderkey AND l_suppkey = s_suppkey AND s_nationkey = n_nationkey AND o_orderdate > '1994-01-01' GROUP BY n_name`
	var spent []float64
	for range 200 {
		began := time.Now()
		statements, err := sql.Parse(text)
		if err != nil {
			return err
		}
		var scanned sql.Scanned
		sql.Scan(text, &scanned)
		if _, err := plan.Make(statements[0], scanned.Literals, snapshot, plan.Settings{SearchPath: []string{"public"}}); err != nil {
			return err
		}
		spent = append(spent, float64(time.Since(began).Microseconds()))
	}
	r.add(line{name: "parse and plan, 5 tables, cold", unit: "µs", gate: median(spent), mark: markPlanning, atMost: true})
	return nil
}
