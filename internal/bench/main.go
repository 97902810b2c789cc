// Command bench compares a gateway with plain PostgreSQL and with PgBouncer in one run and prints ratios, since absolute numbers
// say more about the machine than about the gateway. `make bench` runs it.
//
// It starts servers of its own on loopback: one plain PostgreSQL, PgBouncer in front of that, and a cluster of a coordinator and two
// workers behind a gateway. Everything is removed at the end. Read lab.go, then router.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// options say what to measure and how long.
type options struct {
	gateway string        // the program
	only    string        // sections to run, separated by commas; empty for all
	rounds  int           // runs of each measurement, of which the median counts
	time    time.Duration // of one run of pgbench
	scale   int           // of pgbench: 100,000 accounts each
	clients int
}

func (o options) wants(section string) bool {
	if o.only == "" {
		return true
	}
	for s := range strings.SplitSeq(o.only, ",") {
		if s == section {
			return true
		}
	}
	return false
}

func main() {
	var o options
	flag.StringVar(&o.gateway, "gateway", "bin/trunkline", "the program to measure")
	flag.StringVar(&o.only, "only", "", "measure only these, separated by commas: copy, router, tpcb, fanout, tpch, idle, stream, move")
	flag.IntVar(&o.rounds, "rounds", 3, "runs of each measurement; the median counts")
	flag.DurationVar(&o.time, "time", 3*time.Second, "duration of one run of pgbench")
	flag.IntVar(&o.scale, "scale", 10, "scale of pgbench's tables: 100,000 accounts each")
	flag.IntVar(&o.clients, "clients", 16, "clients of pgbench")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

// section is one group of measurements.
type section struct {
	name string
	run  func(context.Context, *lab, *report) error
}

// sections are in the order in which they run: copy comes first because it fills the tables that the others read.
var sections = []section{
	{"copy", copyRows},
	{"router", router},
	{"tpcb", tpcb},
	{"fanout", fanout},
	{"tpch", decision},
	{"idle", idleClients},
	{"stream", streaming},
	{"move", movePauses},
}

func run(ctx context.Context, o options, out io.Writer) (err error) {
	began := time.Now()
	say("starting servers")
	l, err := start(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	r := &report{}
	for _, s := range sections {
		if !o.wants(s.name) && s.name != "copy" {
			continue
		}
		say("measuring %s", s.name)
		if err := s.run(ctx, l, r); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	fmt.Fprintf(out, "\n%s, %d CPUs, PostgreSQL %s, %s, scale %d, %d clients, medians of %d runs, %s in all\n\n",
		runtime.GOOS+"/"+runtime.GOARCH, runtime.NumCPU(), l.binaries.Full, l.bouncerVersion(), o.scale, o.clients, o.rounds, time.Since(began).Round(time.Second))
	r.print(out)
	return nil
}

// say tells the person who waits what happens.
func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "bench: "+format+"\n", args...) }
