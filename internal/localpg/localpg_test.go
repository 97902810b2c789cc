package localpg_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/localpg"
	"github.com/trunkline/trunkline/internal/pgtest"
)

// fake makes a directory of programs that say they are a version of
// PostgreSQL.
func fake(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	for _, program := range []string{"postgres", "initdb"} {
		script := fmt.Sprintf("#!/bin/sh\necho '%s (PostgreSQL) %s'\n", program, version)
		if err := os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestFind(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, dir, problem string
		version            int
	}{
		{name: "release", dir: fake(t, "15.3 (Debian 15.3-1)"), version: 15},
		{name: "beta", dir: fake(t, "19beta2"), version: 19},
		{name: "old", dir: fake(t, "14.9"), problem: "PostgreSQL 14.9 in"},
		{name: "ancient", dir: fake(t, "9.6.24"), problem: "is too old: install version 15 or newer"},
		{name: "something else", dir: fake(t, "?"), problem: "does not say its version"},
		{name: "empty", dir: t.TempDir(), problem: "postgres is not there"},
		{name: "missing", dir: "/nonexistent", problem: "no PostgreSQL server in /nonexistent"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b, err := localpg.Find(t.Context(), c.dir)
			switch {
			case c.problem == "" && err != nil:
				t.Fatal(err)
			case c.problem != "" && (err == nil || !strings.Contains(err.Error(), c.problem)):
				t.Fatalf("error is %v, want one with %q", err, c.problem)
			case b.Version != c.version:
				t.Fatalf("version is %d, want %d", b.Version, c.version)
			}
		})
	}
}

func TestFindPrefersNoneOverOld(t *testing.T) {
	t.Setenv("PATH", fake(t, "12.1"))
	b, err := localpg.Find(t.Context(), "")
	// A machine with a newer one in a usual place uses that one.
	if err == nil && b.Version < localpg.MinVersion {
		t.Errorf("found version %d", b.Version)
	}
}

func TestStopKeepsDataAndCrashRecovers(t *testing.T) {
	t.Parallel()
	s := pgtest.Server(t)
	ctx := t.Context()
	if err := pgtest.Exec(ctx, s.DSN("postgres"), "CREATE TABLE t AS SELECT 1 AS a"); err != nil {
		t.Fatal(err)
	}
	if err := s.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if pid := localpg.Running(s.DataDir); pid != 0 {
		t.Errorf("process %d still runs", pid)
	}
	s2, err := localpg.Start(ctx, s.Config)
	if err != nil {
		t.Fatal(err)
	}
	if err := pgtest.Exec(ctx, s2.DSN("postgres"), "INSERT INTO t VALUES (2)"); err != nil {
		t.Fatal(err)
	}
	s2.Crash()
	s3, err := localpg.Start(ctx, s.Config)
	if err != nil {
		t.Fatal(err)
	}
	defer s3.Crash()
	if got := pgtest.Rows(t, s3.DSN("postgres"), "SELECT count(*) FROM t"); got[0][0] != "2" {
		t.Errorf("%s rows after a crash", got[0][0])
	}
	if err := localpg.StopDir(ctx, s.DataDir); err != nil {
		t.Fatal(err)
	}
	select {
	case <-s3.Exited():
	case <-time.After(time.Minute):
		t.Error("the server goes on after StopDir")
	}
}

func TestStartSaysThatThePortIsTaken(t *testing.T) {
	t.Parallel()
	s := pgtest.Server(t)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c := s.Config
	c.Port = l.Addr().(*net.TCPAddr).Port
	_, err = localpg.Start(t.Context(), c)
	var taken *localpg.PortTakenError
	if !errors.As(err, &taken) || taken.Port != c.Port {
		t.Errorf("error is %v", err)
	}
	if localpg.PortFree(c.Port) {
		t.Error("PortFree of a port in use")
	}
}

func TestStartExplainsFailures(t *testing.T) {
	t.Parallel()
	s := pgtest.Server(t)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, want string
		change     func(*localpg.Config)
	}{
		{"bad setting", "unrecognized configuration parameter", func(c *localpg.Config) { c.Settings = map[string]string{"nonsense": "1"} }},
		{"no data", "is not a data directory", func(c *localpg.Config) { c.DataDir = t.TempDir() }},
		{"other version", "was made by PostgreSQL", func(c *localpg.Config) { c.Binaries.Version = 99 }},
		{"long socket path", "too long for Unix sockets", func(c *localpg.Config) { c.SocketDir = "/tmp/" + strings.Repeat("x", 100) }},
	} {
		config := s.Config
		c.change(&config)
		started, err := localpg.Start(t.Context(), config)
		if err == nil {
			started.Crash()
			t.Errorf("%s: started", c.name)
		} else if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: error is %v, want one line with %q", c.name, err, c.want)
		}
	}
}

func TestStartGivesUpWithItsContext(t *testing.T) {
	t.Parallel()
	s := pgtest.Server(t)
	if err := s.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if started, err := localpg.Start(ctx, s.Config); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
		if err == nil {
			started.Crash()
		}
	}
	if pid := localpg.Running(s.DataDir); pid != 0 {
		t.Errorf("process %d was left running", pid)
	}
}

func TestStopDirIgnoresLockFilesOfThePast(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	// Our own process is alive, but it is no PostgreSQL.
	if err := os.WriteFile(filepath.Join(dir, "postmaster.pid"), fmt.Appendf(nil, "%d\n%s\n", os.Getpid(), dir), 0o600); err != nil {
		t.Fatal(err)
	}
	if pid := localpg.Running(dir); pid != 0 {
		t.Errorf("process %d counts as a server", pid)
	}
	if err := localpg.StopDir(t.Context(), dir); err != nil {
		t.Error(err)
	}
}

func TestInitLeavesNothingBehindWhenItFails(t *testing.T) {
	t.Parallel()
	s := pgtest.Server(t)
	dir := filepath.Join(filepath.Dir(s.DataDir), "second")
	err := localpg.Init(t.Context(), s.Binaries, s.Owner, dir, localpg.InitOptions{Extra: []string{"--nonsense"}})
	if err == nil || !strings.Contains(err.Error(), "initdb failed") {
		t.Errorf("error is %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the directory is still there (%v)", err)
	}
}

func TestOwnerReaches(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root runs servers as another user")
	}
	owner, err := localpg.ChooseOwner("/nonexistent")
	if err != nil {
		t.Fatal(err)
	}
	if owner.UID == 0 {
		t.Fatal("servers would run as root")
	}
	closed := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := owner.Reaches(filepath.Join(closed, "data")); err == nil || !strings.Contains(err.Error(), "choose another directory") {
		t.Errorf("error is %v", err)
	}
	if err := owner.Reaches("/var/lib/trunkline"); err != nil {
		t.Error(err)
	}
}
