package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Marks of the first release, as parts of a direct connection's throughput.
const (
	markSimple   = 0.35
	markPrepared = 0.25
	markCopy     = 0.6
)

// router measures point SELECTs by the distribution column in each of pgbench's protocols.
func router(ctx context.Context, l *lab, r *report) error {
	for _, mode := range []struct {
		name string
		mark float64
	}{{"simple", markSimple}, {"extended", 0}, {"prepared", markPrepared}} {
		name := "router SELECT, " + mode.name
		// Before 1.21 PgBouncer cannot pool prepared statements by transaction.
		bouncer := mode.name != "prepared" || l.bouncerPrepares()
		line, err := l.compare(ctx, name, bouncer, mode.mark, "-M", mode.name, "-S")
		if err != nil {
			return err
		}
		if mode.name == "prepared" && !bouncer && l.bouncer != nil {
			line.remark = "this PgBouncer does not support prepared statements when it pools by transaction."
		}
		r.add(line)
	}
	return nil
}

// tpcb measures transactions: pgbench's simple update, which is of one shard group since accounts and history are co-located, and
// its TPC-B-like one, which is of several nodes unless by chance all its rows are on one.
func tpcb(ctx context.Context, l *lab, r *report) error {
	line, err := l.compare(ctx, "one-node transaction, simple", true, 0, "-M", "simple", "-b", "simple-update")
	if err != nil {
		return err
	}
	r.add(line)
	if line, err = l.compare(ctx, "TPC-B transaction, simple", true, 0, "-M", "simple", "-b", "tpcb-like"); err != nil {
		return err
	}
	line.remark = "commits are by two-phase commit where rows of both workers changed; branches are few, so clients wait for each other."
	r.add(line)
	return l.settle(ctx)
}

// fanout measures queries that need all shards.
func fanout(ctx context.Context, l *lab, r *report) error {
	for i, q := range []struct{ name, script string }{
		{"count and avg, GROUP BY, all rows", "SELECT bid, count(*), avg(abalance) FROM pgbench_accounts GROUP BY bid ORDER BY bid;"},
		{"count and avg of 20 keys", "\\set low random(1, 100000 * :scale)\nSELECT count(*), avg(abalance) FROM pgbench_accounts WHERE aid BETWEEN :low AND :low + 19;"},
		{"ORDER BY key DESC LIMIT 10", "SELECT aid, abalance FROM pgbench_accounts ORDER BY aid DESC LIMIT 10;"},
	} {
		file := filepath.Join(l.dir, "script-"+strconv.Itoa(i)+".sql")
		if err := os.WriteFile(file, []byte(q.script+"\n"), 0o644); err != nil {
			return err
		}
		line, err := l.compare(ctx, q.name, false, 0, "-c", "8", "-M", "simple", "-f", file)
		if err != nil {
			return err
		}
		r.add(line)
	}
	return nil
}

// compare runs pgbench against the plain server, PgBouncer and the gateway in turn, as many times as asked for.
func (l *lab) compare(ctx context.Context, name string, bouncer bool, mark float64, args ...string) (line, error) {
	var direct, pooled, gate []float64
	for range l.rounds {
		for _, side := range []struct {
			port    int
			results *[]float64
		}{{l.plain.Port, &direct}, {l.bouncerPort(bouncer), &pooled}, {l.gate.port, &gate}} {
			if side.port == 0 {
				continue
			}
			tps, err := l.pgbench(ctx, side.port, args...)
			if err != nil {
				return line{}, err
			}
			*side.results = append(*side.results, tps)
		}
	}
	result := rates(name, "1/s", direct, pooled, gate, mark)
	say("%s: %s of direct", name, ratio(result.ofDirect))
	return result, nil
}

func (l *lab) bouncerPort(wanted bool) int {
	if !wanted || l.bouncer == nil {
		return 0
	}
	return l.bouncer.port
}

var bouncerNumber = regexp.MustCompile(`(\d+)\.(\d+)`)

func (l *lab) bouncerPrepares() bool {
	m := bouncerNumber.FindStringSubmatch(l.bouncerText)
	if m == nil {
		return false
	}
	major, _ := strconv.Atoi(m[1])
	minor, _ := strconv.Atoi(m[2])
	return major > 1 || minor >= 22 // by default on since then
}

// pgbench gives the transactions per second of one run. A failed transaction is an error.
func (l *lab) pgbench(ctx context.Context, port int, args ...string) (float64, error) {
	program := l.binaries.Path("pgbench")
	if _, err := os.Stat(program); err != nil {
		program = "pgbench"
	}
	all := append([]string{
		"-h", "127.0.0.1", "-p", strconv.Itoa(port), "-U", "postgres", "-n", "-s", strconv.Itoa(l.scale), "-c", strconv.Itoa(l.clients), "-j", "2",
		"-T", strconv.Itoa(int(l.time / time.Second)),
	}, args...)
	cmd := exec.CommandContext(ctx, program, append(all, database)...)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("pgbench %s: %w: %s", strings.Join(args, " "), err, firstLines(complaints.String()))
	}
	return throughput(string(out))
}

var (
	tpsLine    = regexp.MustCompile(`(?m)^tps = ([0-9.]+)`)
	failedLine = regexp.MustCompile(`(?m)^number of failed transactions: ([0-9]+)`)
)

// throughput reads what pgbench prints.
func throughput(out string) (float64, error) {
	if m := failedLine.FindStringSubmatch(out); m != nil && m[1] != "0" {
		return 0, fmt.Errorf("%s transactions failed", m[1])
	}
	m := tpsLine.FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("pgbench printed no rate: %s", firstLines(out))
	}
	return strconv.ParseFloat(m[1], 64)
}

func firstLines(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[:min(len(lines), 5)], " / ")
}
