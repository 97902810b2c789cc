package main

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/localpg"
)

func TestUpInTheForeground(t *testing.T) {
	t.Parallel()
	dir := clusterDir(t)
	for _, signal := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd := command(t, "up", "--dir", dir, "--port", "0", "--workers", "1")
		cmd.Stderr = os.Stderr
		stdout, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(stdout)
		for lines.Scan() && !strings.HasPrefix(lines.Text(), "Connect with: ") {
		}
		if got := ask(t, dir, "SELECT count(*) FROM pg_dist_node WHERE groupid > 0"); got != "1" {
			t.Errorf("%s workers", got)
		}
		must(t, "status", "--dir", dir)
		refused(t, []string{"up", "--dir", dir, "--port", "0"}, "is already run by process", "trunkline down --dir "+dir)
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v", signal, err)
		}
		if left := serversOf(t, dir); len(left) > 0 {
			t.Errorf("%v: servers are left running: %v", signal, left)
		}
		refused(t, []string{"status", "--dir", dir}, "is not running", "trunkline up --dir "+dir)
	}
}

func TestUpGoesOnWithItsData(t *testing.T) {
	t.Parallel()
	dir := clusterDir(t)
	out := must(t, "up", "--dir", dir, "--port", "0", "--detach", "--shard-count", "8")
	for _, want := range []string{"2 workers", "psql postgresql://postgres@127.0.0.1:", "trunkline down --dir " + dir} {
		if !strings.Contains(out, want) {
			t.Errorf("up says %q, not %q", out, want)
		}
	}
	rows := ask(t, dir, "CREATE TABLE t (a int PRIMARY KEY)", "SELECT create_distributed_table('t', 'a')",
		"INSERT INTO t SELECT generate_series(1, 1000)", "SELECT count(*), sum(a) FROM t")
	if got := ask(t, dir, "SELECT shard_count FROM citus_tables"); got != "8" {
		t.Errorf("%s shards with --shard-count 8", got)
	}
	check := func(when string, workers int) {
		t.Helper()
		if got := ask(t, dir, "SELECT count(*), sum(a) FROM t"); got != rows {
			t.Errorf("%s the rows are %s, they were %s", when, got, rows)
		}
		if got := ask(t, dir, "SELECT count(*) FROM citus_get_active_worker_nodes()"); got != fmt.Sprint(workers) {
			t.Errorf("%s there are %s workers, want %d", when, got, workers)
		}
	}

	must(t, "down", "--dir", dir)
	if out := must(t, "down", "--dir", dir); !strings.Contains(out, "is not running") {
		t.Errorf("the second down says %q", out)
	}
	must(t, "up", "--dir", dir, "--port", "0", "--detach")
	check("after down and up", 2)

	kill(t, dir)
	must(t, "up", "--dir", dir, "--port", "0", "--detach")
	check("after kill -9 and up", 2)

	must(t, "down", "--dir", dir)
	var listeners []net.Listener
	for _, s := range clusterFileOf(t, dir).Servers {
		l, err := net.Listen("tcp4", address(s.Port))
		if err != nil {
			t.Fatal(err)
		}
		listeners = append(listeners, l)
	}
	must(t, "up", "--dir", dir, "--port", "0", "--detach", "--workers", "3")
	check("with other programs on its ports and one more worker", 3)
	for _, l := range listeners {
		l.Close()
	}
	refused(t, []string{"demo", "--dir", dir, "--scale", "-1"}, "scale must be more than 0")
	must(t, "down", "--dir", dir)
	refused(t, []string{"up", "--dir", dir, "--workers", "1"}, "has 3 workers", "citus_remove_node")
}

func TestServersThatEndAreStartedAgain(t *testing.T) {
	t.Parallel()
	dir := clusterDir(t)
	must(t, "up", "--dir", dir, "--port", "0", "--detach", "--workers", "1")
	data := filepath.Join(dir, workerName(1))
	before := localpg.Running(data)
	if err := syscall.Kill(before, syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if pid := localpg.Running(data); pid != 0 && pid != before {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the worker did not come back")
		}
	}
	must(t, "down", "--dir", dir)
}

func TestUpWithoutWorkers(t *testing.T) {
	t.Parallel()
	dir := clusterDir(t)
	out := must(t, "up", "--dir", dir, "--port", "0", "--detach", "--workers", "0")
	if !strings.Contains(out, "shards on the coordinator") {
		t.Errorf("up says %q", out)
	}
	got := ask(t, dir, "CREATE TABLE t (a int PRIMARY KEY)", "SELECT create_distributed_table('t', 'a')",
		"INSERT INTO t VALUES (1), (2), (3)", "SELECT count(*) FROM t")
	if got != "3" {
		t.Errorf("%s rows", got)
	}
	must(t, "down", "--dir", dir)
	must(t, "up", "--dir", dir, "--port", "0", "--detach", "--workers", "1")
	if got := ask(t, dir, "SELECT count(*) FROM t"); got != "3" {
		t.Errorf("%s rows with a worker more", got)
	}
}

// TestUpIsInterrupted kills and interrupts a start at different moments: the
// next one goes on where it was.
func TestUpIsInterrupted(t *testing.T) {
	t.Parallel()
	dir := clusterDir(t)
	stages := []string{lockFileName, coordinatorName + ".new", coordinatorName, coordinatorName + "/postmaster.pid"}
	for i, stage := range stages {
		signal := syscall.SIGKILL
		if i%2 == 1 {
			signal = syscall.SIGTERM
		}
		cmd := command(t, "up", "--dir", dir, "--port", "0", "--workers", "1")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if _, err := os.Lstat(filepath.Join(dir, stage)); err == nil {
				break
			}
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Wait(); err == nil && signal == syscall.SIGKILL {
			t.Errorf("%s: the start ended before it was killed", stage)
		}
		if signal == syscall.SIGTERM {
			if left := serversOf(t, dir); len(left) > 0 {
				t.Errorf("%s: servers are left running: %v", stage, left)
			}
			continue
		}
		// Where servers end with who started them, that takes them a moment, in which the next start could end too.
		for end := time.Now().Add(10 * time.Second); len(serversOf(t, dir)) > 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
		}
	}
	must(t, "up", "--dir", dir, "--port", "0", "--detach", "--workers", "1")
	if got := ask(t, dir, "SELECT count(*) FROM citus_get_active_worker_nodes()"); got != "1" {
		t.Errorf("%s workers", got)
	}
}

func TestUpRefuses(t *testing.T) {
	t.Parallel()
	dir := clusterDir(t)
	busy, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	port := fmt.Sprint(busy.Addr().(*net.TCPAddr).Port)
	old := t.TempDir()
	for _, p := range []string{"postgres", "initdb"} {
		if err := os.WriteFile(filepath.Join(old, p), []byte("#!/bin/sh\necho 'x (PostgreSQL) 14.9'\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	foreign := t.TempDir()
	if err := os.WriteFile(filepath.Join(foreign, "PG_VERSION"), []byte("15\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(foreign, "PG_VERSION")
	damaged := t.TempDir()
	if err := os.WriteFile(filepath.Join(damaged, clusterFileName), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	future := t.TempDir()
	if err := os.WriteFile(filepath.Join(future, clusterFileName), []byte(`{"format": 99}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, detach := range [][]string{nil, {"--detach"}} {
		for _, c := range []struct {
			args []string
			want []string
		}{
			{[]string{"--dir", dir, "--port", port}, []string{"port " + port + " is in use", "--port"}},
			{[]string{"--dir", dir, "--port", "0", "--pg-bin", "/nonexistent"}, []string{"no PostgreSQL server in /nonexistent"}},
			{[]string{"--dir", dir, "--port", "0", "--pg-bin", old}, []string{"PostgreSQL 14.9", "too old", "15"}},
			{[]string{"--dir", foreign}, []string{"is not a Trunkline cluster's", "--dir"}},
			{[]string{"--dir", file}, []string{"not a directory", "--dir"}},
			{[]string{"--dir", filepath.Join(file, "x")}, []string{"not a directory", "--dir"}},
			{[]string{"--dir", "/proc/trunkline"}, []string{"cannot make the directory", "--dir"}},
			{[]string{"--dir", damaged, "--port", "0"}, []string{"damaged"}},
			{[]string{"--dir", future, "--port", "0"}, []string{"another version of Trunkline"}},
			{[]string{"--dir", ""}, []string{"--dir is empty"}},
			{[]string{"--port", "65536"}, []string{"--port 65536"}},
			{[]string{"--workers", "-1"}, []string{"--workers -1"}},
			{[]string{"--shard-count", "0"}, []string{"--shard-count 0"}},
			{[]string{"--max-connections", "0"}, []string{"--max-connections 0"}},
			{[]string{"--nonsense"}, []string{"--nonsense", "--help"}},
			{[]string{"nonsense"}, []string{"nonsense", "--help"}},
		} {
			refused(t, append(append([]string{"up"}, c.args...), detach...), c.want...)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, coordinatorName)); err == nil {
		t.Error("a refused start has made a server's data")
	}
}

// TestUpRefusesDataFromElsewhere swaps a server's data for another's.
func TestUpRefusesDataFromElsewhere(t *testing.T) {
	t.Parallel()
	dir, other := clusterDir(t), clusterDir(t)
	for _, d := range []string{dir, other} {
		must(t, "up", "--dir", d, "--port", "0", "--detach", "--workers", "1")
		must(t, "down", "--dir", d)
	}
	worker := filepath.Join(dir, workerName(1))
	if err := os.Rename(worker, worker+".kept"); err != nil {
		t.Fatal(err)
	}
	refused(t, []string{"up", "--dir", dir, "--port", "0"}, "are gone from", worker)
	if err := os.Rename(filepath.Join(other, workerName(1)), worker); err != nil {
		t.Fatal(err)
	}
	refused(t, []string{"up", "--dir", dir, "--port", "0"}, "are another server's", "worker-1")
	if left := serversOf(t, dir); len(left) > 0 {
		t.Errorf("servers are left running: %v", left)
	}
}

func TestUpWhereRootsServersCannotGo(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root runs servers as another user")
	}
	closed := filepath.Join(clusterDir(t), "closed")
	if err := os.MkdirAll(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	refused(t, []string{"up", "--dir", filepath.Join(closed, "x"), "--port", "0"}, "refuses to run as root", "--dir")
	if _, err := os.Lstat(filepath.Join(closed, "x")); err == nil {
		t.Error("the refused directory was made")
	}
}

func TestOtherCommandsWithoutACluster(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"status"}, {"down"}, {"demo"}} {
		refused(t, append(args, "--dir", "/nonexistent/x"), "there is no cluster in /nonexistent/x")
	}
	if out := must(t, "version"); !strings.HasPrefix(out, "trunkline ") {
		t.Errorf("version says %q", out)
	}
}
