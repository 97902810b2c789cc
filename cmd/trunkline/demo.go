package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/trunkline/trunkline/internal/demo"
	"github.com/trunkline/trunkline/internal/localpg"
)

func demoCommand() *cobra.Command {
	var (
		dir, dsn string
		scale    float64
		streams  int
		replace  bool
		noWalk   bool
	)
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Load an example and walk through a few queries over it",
		Long: `Load DineHub, an example of restaurants and their orders, and walk through a
few queries over it.

Scale 1 is 10,000 restaurants, 100,000 users and 1,000,000 orders; the same
scale always makes the same rows. If they are loaded already, only the walk
is done.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			data, err := demo.New(scale)
			if err != nil {
				return usageError{err}
			}
			if dsn == "" {
				if dsn, err = runningDSN(dir); err != nil {
					return err
				}
			}
			out := cmd.OutOrStdout()
			opt := demo.LoadOptions{Streams: streams, Replace: replace, Any: !cmd.Flags().Changed("scale")}
			if err := load(cmd.Context(), out, dsn, data, opt); err != nil || noWalk {
				return err
			}
			return demo.Walk(cmd.Context(), dsn, out)
		},
	}
	f := cmd.Flags()
	f.StringVar(&dir, "dir", defaultDir, "directory of the running cluster to load it into")
	f.StringVar(&dsn, "dsn", "", "connection string of another gateway to load it into, instead of --dir")
	f.Float64Var(&scale, "scale", 1, "how much data; if some is loaded already, that is used unless a scale is asked for")
	f.IntVar(&streams, "streams", max(2, min(8, runtime.NumCPU())), "COPY commands at a time")
	f.BoolVar(&replace, "replace", false, "drop the demo's tables first if they are there")
	f.BoolVar(&noWalk, "no-walk", false, "only load")
	return cmd
}

// runningDSN is the connection string of the cluster that runs in dir.
func runningDSN(dir string) (string, error) {
	r, lock, err := findRunning(dir)
	if errors.Is(err, errNotRunning) {
		return "", fmt.Errorf("the cluster in %s is not running: start it with trunkline up%s, or name another gateway with --dsn", dir, dirArgument(dir))
	}
	if err != nil {
		return "", err
	}
	if err := lock.Close(); err != nil {
		return "", err
	}
	if !r.Ready {
		return "", fmt.Errorf("the cluster in %s is just starting (process %d): try again in a moment", dir, r.PID)
	}
	return localpg.DSN(r.Port, localpg.Superuser), nil
}

// load loads the data set with a progress bar, where out is a terminal, and
// says what it did.
func load(ctx context.Context, out io.Writer, dsn string, data *demo.Dataset, opt demo.LoadOptions) error {
	bar := newProgress(out)
	opt.Report = bar.report
	began := time.Now()
	scale, loaded, err := demo.Load(ctx, dsn, data, opt)
	bar.finish(err == nil)
	if err != nil {
		if ctx.Err() != nil {
			return errors.New("interrupted: the next trunkline demo loads anew")
		}
		return err
	}
	if !loaded {
		fmt.Fprintf(out, "DineHub is loaded already, at scale %v.\n\n", scale)
		return nil
	}
	fmt.Fprintf(out, "Loaded DineHub: %d restaurants, %d users, %d orders, in %.1f s (%.0f rows/s).\n\n",
		data.Restaurants, data.Users, data.Orders, time.Since(began).Seconds(), float64(bar.total)/time.Since(began).Seconds())
	return nil
}

// progress shows how far loading is: a bar on a terminal, a line per quarter
// elsewhere.
type progress struct {
	out      io.Writer
	terminal bool

	mu      sync.Mutex
	bars    *mpb.Progress
	bar     *mpb.Bar
	total   int64
	quarter int64
}

func newProgress(out io.Writer) *progress {
	return &progress{out: out, terminal: isTerminal(out)}
}

func (p *progress) report(done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.total = total
	if !p.terminal {
		if q := done * 4 / total; q > p.quarter {
			p.quarter = q
			fmt.Fprintf(p.out, "loading: %d of %d rows\n", done, total)
		}
		return
	}
	if p.bars == nil {
		p.bars = mpb.New(mpb.WithOutput(p.out), mpb.WithWidth(60))
		p.bar = p.bars.AddBar(total,
			mpb.PrependDecorators(decor.Name("loading "), decor.Percentage()),
			mpb.AppendDecorators(decor.CurrentNoUnit("%d"), decor.Name(" rows, "), decor.AverageETA(decor.ET_STYLE_MMSS), decor.Name(" left")))
	}
	if done > p.bar.Current() {
		p.bar.SetCurrent(done)
	}
}

// finish ends the bar, full or as it is.
func (p *progress) finish(whole bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bars == nil {
		return
	}
	if whole {
		p.bar.SetCurrent(p.total)
	} else {
		p.bar.Abort(false)
	}
	p.bars.Wait()
}
