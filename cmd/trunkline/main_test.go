package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/trunkline/trunkline/internal/localpg"
)

// asTrunkline makes this test binary behave as the program itself.
const asTrunkline = "TRUNKLINE_TEST_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asTrunkline) != "" {
		main()
	}
	os.Exit(m.Run())
}

// clusterDir returns the name of a directory for a cluster, not made yet,
// which is cleaned up, running servers and all, when the test ends.
func clusterDir(t *testing.T) string {
	t.Helper()
	parent, err := os.MkdirTemp("/tmp", "tlup")
	if err != nil {
		t.Fatal(err)
	}
	// The servers' user must be able to get through.
	if err := os.Chmod(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(parent, "c")
	t.Cleanup(func() {
		if r, lock, err := findRunning(dir); err == nil {
			if t.Failed() {
				b, _ := os.ReadFile(filepath.Join(dir, gatewayLogName))
				t.Logf("log of the gateway:\n%s", b)
			}
			if err := stopAndWait(context.Background(), r, lock); err != nil {
				t.Error(err)
			}
			lock.Close()
		}
		awaitNoServers(t, dir)
		if err := os.RemoveAll(parent); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// awaitNoServers waits until no server of the cluster runs.
func awaitNoServers(t *testing.T, dir string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		left := serversOf(t, dir)
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Errorf("servers are left running: %v", left)
			return
		}
	}
}

// serversOf lists the processes of the cluster's servers.
func serversOf(t *testing.T, dir string) (pids []int) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*", "postmaster.pid"))
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if pid := localpg.Running(filepath.Dir(n)); pid != 0 {
			pids = append(pids, pid)
		}
	}
	return pids
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), commandTimeout)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append(os.Environ(), asTrunkline+"=1")
	return cmd
}

// commandTimeout is the most that any one command may take.
const commandTimeout = 2 * time.Minute

// trunkline runs the program and returns what it printed and its exit code.
func trunkline(t *testing.T, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	cmd := command(t, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must runs the program and returns what it printed; it has to succeed.
func must(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, code := trunkline(t, args...)
	if code != 0 {
		t.Fatalf("trunkline %s: exit code %d: %s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// refused runs the program, which has to fail with one line that has all of
// wants in it.
func refused(t *testing.T, args []string, wants ...string) {
	t.Helper()
	out, errs, code := trunkline(t, args...)
	if code == 0 || strings.Count(errs, "\n") != 1 || !strings.HasPrefix(errs, "trunkline: ") {
		t.Errorf("trunkline %s: exit code %d, %q, %q: want one line of error", strings.Join(args, " "), code, out, errs)
	}
	for _, want := range wants {
		if !strings.Contains(errs, want) {
			t.Errorf("trunkline %s: error is %q, want one with %q", strings.Join(args, " "), errs, want)
		}
	}
}

// dsnOf is the connection string of the cluster that runs in dir.
func dsnOf(t *testing.T, dir string) string {
	t.Helper()
	dsn, err := runningDSN(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dsn
}

// ask runs statements over the gateway of dir and returns the last one's rows
// as text.
func ask(t *testing.T, dir string, statements ...string) string {
	t.Helper()
	var b strings.Builder
	err := query(t.Context(), dsnOf(t, dir), func(conn *pgx.Conn) error {
		for i, s := range statements {
			results, err := conn.PgConn().Exec(t.Context(), s).ReadAll()
			if err != nil {
				return fmt.Errorf("%s: %w", s, err)
			}
			if i < len(statements)-1 {
				continue
			}
			for _, row := range results[0].Rows {
				fmt.Fprintf(&b, "%s\n", bytes.Join(row, []byte("|")))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(b.String())
}

func clusterFileOf(t *testing.T, dir string) (f clusterFile) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, clusterFileName))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(err)
	}
	return f
}

// kill ends the process that runs the cluster, as kill -9 does.
func kill(t *testing.T, dir string) {
	t.Helper()
	r, lock, err := findRunning(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if err := syscall.Kill(r.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if err := stopAndWait(t.Context(), r, lock); err != nil {
		t.Fatal(err)
	}
}
