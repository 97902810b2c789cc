package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"golang.org/x/sync/errgroup"

	"github.com/trunkline/trunkline/internal/localpg"
)

const (
	idleCount  = 1000
	markIdle   = 64  // KiB of each idle client
	markStream = 256 // MiB: a quarter of what is streamed
)

// idleClients measures what a client costs that has run a statement and waits.
func idleClients(ctx context.Context, l *lab, r *report) error {
	gate, err := l.startGateway(ctx)
	if err != nil {
		return err
	}
	defer gate.stop()
	if _, err := gate.memory("VmRSS"); err != nil {
		say("no memory is measured: %v", err)
		return nil
	}
	// What the first client brings about, pools and plans, is not what each costs.
	if err := execute(ctx, gate.port, "SELECT abalance FROM pgbench_accounts WHERE aid = 1"); err != nil {
		return err
	}
	before, err := gate.memory("VmRSS")
	if err != nil {
		return err
	}
	clients := make([]*rawClient, idleCount)
	defer func() {
		for _, c := range clients {
			if c != nil {
				c.net.Close()
			}
		}
	}()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(16)
	for i := range clients {
		g.Go(func() (err error) {
			if clients[i], err = dial(gctx, gate.port); err != nil {
				return err
			}
			return clients[i].query(fmt.Sprintf("SELECT abalance FROM pgbench_accounts WHERE aid = %d", i+1), nil)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	after, err := gate.memory("VmRSS")
	if err != nil {
		return err
	}
	r.add(line{name: fmt.Sprintf("memory of each of %d idle clients", idleCount), unit: "KiB", gate: (after - before) / idleCount, mark: markIdle, atMost: true})
	return nil
}

// streaming measures how much memory the gateway needs at most while it streams 1 GB to a client that reads slowly.
func streaming(ctx context.Context, l *lab, r *report) error {
	width := 1_000_000_000/(100_000*l.scale) + 1
	for _, q := range []struct{ name, text string }{
		{"1 GB to a slow client", fmt.Sprintf("SELECT aid, repeat('x', %d) FROM pgbench_accounts", width)},
		{"1 GB to a slow client, ORDER BY", fmt.Sprintf("SELECT aid, repeat('x', %d) FROM pgbench_accounts ORDER BY aid", width)},
	} {
		gate, err := l.startGateway(ctx)
		if err != nil {
			return err
		}
		err = func() error {
			defer gate.stop()
			if _, err := gate.memory("VmHWM"); err != nil {
				say("no memory is measured: %v", err)
				return nil
			}
			client, err := dial(ctx, gate.port)
			if err != nil {
				return err
			}
			defer client.net.Close()
			before, err := gate.memory("VmHWM")
			if err != nil {
				return err
			}
			slow := &throttle{r: client.net, perSecond: 100 << 20, pause: 2 * time.Second}
			if err := client.query(q.text, slow); err != nil {
				return err
			}
			if slow.read < 1_000_000_000 {
				return fmt.Errorf("%s: only %d bytes came", q.text, slow.read)
			}
			peak, err := gate.memory("VmHWM")
			if err != nil {
				return err
			}
			r.add(line{
				name: q.name, unit: "MiB peak", gate: peak / 1024, mark: markStream, atMost: true,
				remark: fmt.Sprintf("the gateway had %.0f MiB before; %d bytes came.", before/1024, slow.read),
			})
			return nil
		}()
		if err != nil {
			return err
		}
	}
	return nil
}

// memory reads one of the figures, in KiB, that Linux keeps of a process.
func (c *child) memory(name string) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for text := range strings.Lines(string(b)) {
		if fields := strings.Fields(text); len(fields) == 3 && fields[0] == name+":" {
			return strconv.ParseFloat(fields[1], 64)
		}
	}
	return 0, fmt.Errorf("the system does not tell %s", name)
}

// throttle reads at a bounded rate, after a pause in which nothing is read at all.
type throttle struct {
	r         io.Reader
	perSecond int
	pause     time.Duration
	began     time.Time
	read      int64
}

func (t *throttle) Read(b []byte) (int, error) {
	if t.began.IsZero() {
		time.Sleep(t.pause)
		t.began = time.Now()
	}
	due := time.Duration(float64(t.read) / float64(t.perSecond) * float64(time.Second))
	if ahead := due - time.Since(t.began); ahead > 0 {
		time.Sleep(ahead)
	}
	n, err := t.r.Read(b)
	t.read += int64(n)
	return n, err
}

// rawClient speaks just enough of the protocol to cost this process little.
type rawClient struct{ net net.Conn }

func dial(ctx context.Context, port int) (*rawClient, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, err
	}
	c := &rawClient{conn}
	startup := &pgproto3.StartupMessage{
		ProtocolVersion: pgproto3.ProtocolVersionNumber, Parameters: map[string]string{"user": localpg.Superuser, "database": database},
	}
	message, err := startup.Encode(nil)
	if err == nil {
		_, err = conn.Write(message)
	}
	if err == nil {
		err = c.await(conn)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// query runs a statement and reads its answer through from, nil for the connection itself.
func (c *rawClient) query(text string, from io.Reader) error {
	message, err := (&pgproto3.Query{String: text}).Encode(nil)
	if err != nil {
		return err
	}
	if _, err := c.net.Write(message); err != nil {
		return err
	}
	if from == nil {
		from = c.net
	}
	return c.await(from)
}

// await reads up to ReadyForQuery.
func (c *rawClient) await(from io.Reader) error {
	r := bufio.NewReaderSize(from, 16<<10)
	var failure error
	for {
		head, err := r.Peek(5)
		if err != nil {
			return err
		}
		kind, length := head[0], int(binary.BigEndian.Uint32(head[1:]))
		if kind == 'E' && failure == nil {
			body := make([]byte, length-4)
			r.Discard(5)
			if _, err := io.ReadFull(r, body); err != nil {
				return err
			}
			failure = fmt.Errorf("%q", body)
			continue
		}
		if _, err := r.Discard(1 + length); err != nil {
			return err
		}
		if kind == 'Z' {
			return failure
		}
	}
}
