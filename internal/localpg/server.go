package localpg

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// maxSocketPath is the longest name of a Unix socket that all systems take,
// in bytes: Linux has 108 including the final NUL, macOS 104.
const maxSocketPath = 103

// Config says how to run one server.
type Config struct {
	Name      string // how messages name it: "coordinator"
	Binaries  Binaries
	Owner     Owner
	DataDir   string            // must be Initialized
	SocketDir string            // private directory of its Unix socket; see SocketDirFits
	Port      int               // on 127.0.0.1
	LogFile   string            // appended to
	Settings  map[string]string // over the defaults of PostgreSQL
}

// Server is a PostgreSQL server running as a child of this process. On Linux
// it shuts down when this process dies, however that happens. Its methods may
// be called from several goroutines.
type Server struct {
	Config
	process *os.Process
	exited  chan struct{} // closed when the process has ended
	exit    error         // how; set before exited is closed
	crashed sync.Once
}

// SocketDirFits reports whether Unix sockets can live in dir: their names
// have a small greatest length.
func SocketDirFits(dir string) bool {
	return len(filepath.Join(dir, ".s.PGSQL.65535")) <= maxSocketPath
}

// FreePorts returns n different TCP ports of 127.0.0.1 that nobody listens on
// at the moment. Somebody else may take one before a server does: see
// PortTakenError.
func FreePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		// Kept open until the end, so that all are different.
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// PortFree reports whether a server could listen on port of 127.0.0.1 now.
func PortFree(port int) bool {
	l, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// PortTakenError is Start's error when another program has the port.
type PortTakenError struct {
	Name string
	Port int
}

func (e *PortTakenError) Error() string {
	return fmt.Sprintf("port %d for the %s is taken by another program: stop that one, or try again", e.Port, e.Name)
}

// Start starts a server and returns once it accepts connections. If it fails
// or ctx ends first, nothing is left running.
func Start(ctx context.Context, c Config) (*Server, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	log, err := os.OpenFile(c.LogFile, os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	before, err := log.Seek(0, 2)
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(c.Binaries.Path("postgres"), c.arguments()...)
	cmd.Dir = "/"
	cmd.Env = environment()
	cmd.Stdout, cmd.Stderr = log, log
	attributes(cmd, c.Owner)

	s := &Server{Config: c, exited: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Linux tells a child of the death of the thread that made it, so that
		// thread must live as long as the child.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		s.process = cmd.Process
		started <- err
		if err == nil {
			s.exit = cmd.Wait()
			close(s.exited)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting the %s: %w", c.Name, err)
	}
	if err := s.awaitReady(ctx); err != nil {
		if ctx.Err() != nil {
			s.Crash()
			return nil, ctx.Err()
		}
		return nil, s.explain(before)
	}
	return s, nil
}

func (c Config) check() error {
	if !Initialized(c.DataDir) {
		return fmt.Errorf("%s is not a data directory of PostgreSQL", c.DataDir)
	}
	made, err := os.ReadFile(filepath.Join(c.DataDir, "PG_VERSION"))
	if err != nil {
		return err
	}
	if v := strings.TrimSpace(string(made)); v != strconv.Itoa(c.Binaries.Version) {
		return fmt.Errorf("the data in %s was made by PostgreSQL %s, but the programs in %s are version %d: name those of version %s with --pg-bin", c.DataDir, v, c.Binaries.Dir, c.Binaries.Version, v)
	}
	if !SocketDirFits(c.SocketDir) {
		return fmt.Errorf("the path %s is too long for Unix sockets: choose a shorter directory", c.SocketDir)
	}
	return nil
}

func (c Config) arguments() []string {
	args := []string{
		"-D", c.DataDir,
		"-c", "listen_addresses=127.0.0.1",
		"-c", "port=" + strconv.Itoa(c.Port),
		"-c", `unix_socket_directories="` + strings.ReplaceAll(c.SocketDir, `"`, `""`) + `"`,
		"-c", "unix_socket_permissions=0700",
		"-c", "logging_collector=off",
		"-c", "log_destination=stderr",
		"-c", "lc_messages=C",
	}
	for _, name := range slices.Sorted(maps.Keys(c.Settings)) {
		args = append(args, "-c", name+"="+c.Settings[name])
	}
	return args
}

// awaitReady waits until the server says that it is ready in its lock file,
// as pg_ctl does. The file may still be an earlier server's, so it counts only
// if it names our process.
func (s *Server) awaitReady(ctx context.Context) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if f, err := readLockFile(s.DataDir); err == nil && f.pid == s.process.Pid && f.status == "ready" {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.exited:
			return errors.New("ended")
		case <-tick.C:
		}
	}
}

type lockFile struct {
	pid    int
	status string
}

// readLockFile reads postmaster.pid, whose first line is the process id and
// whose eighth the state (src/include/utils/pidfile.h).
func readLockFile(dataDir string) (lockFile, error) {
	b, err := os.ReadFile(filepath.Join(dataDir, "postmaster.pid"))
	if err != nil {
		return lockFile{}, err
	}
	lines := strings.Split(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(lines[0]))
	if err != nil {
		return lockFile{}, err
	}
	f := lockFile{pid: pid}
	if len(lines) >= 8 {
		f.status = strings.TrimSpace(lines[7])
	}
	return f, nil
}

// explain says in one line why a server that ended at its start did so: the
// first FATAL or ERROR that it logged.
func (s *Server) explain(from int64) error {
	f, err := os.Open(s.LogFile)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(from, 0); err != nil {
		return err
	}
	var why string
	for sc := bufio.NewScanner(f); sc.Scan(); {
		line := sc.Text()
		if strings.Contains(line, "Address already in use") && !strings.Contains(line, "Unix") {
			return &PortTakenError{Name: s.Name, Port: s.Port}
		}
		for _, level := range []string{"FATAL:", "ERROR:", "PANIC:"} {
			if _, text, ok := strings.Cut(line, level); ok && why == "" {
				why = strings.TrimSpace(text)
			}
		}
		if why == "" && strings.HasPrefix(line, "postgres: ") {
			why = strings.TrimPrefix(line, "postgres: ")
		}
	}
	if why == "" {
		why = fmt.Sprint(s.exit)
	}
	return fmt.Errorf("the %s did not start: %s (its log is %s)", s.Name, why, s.LogFile)
}

// PID is the process id of the server.
func (s *Server) PID() int { return s.process.Pid }

// Exited is closed once the server has ended, for whatever reason.
func (s *Server) Exited() <-chan struct{} { return s.exited }

// Address is where the server listens, as host and port.
func (s *Server) Address() string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port))
}

// DSN is the connection string of a database of the server for its superuser.
func (s *Server) DSN(database string) string { return DSN(s.Port, database) }

// DSN is the connection string of a database of a local server on port, for
// its superuser.
func DSN(port int, database string) string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=%s dbname='%s' sslmode=disable", port, Superuser,
		strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(database))
}

// Stop shuts the server down cleanly: sessions are ended, everything is
// written. When ctx ends first, the server is stopped without the writing, and
// recovers at its next start. Stopping a stopped server does nothing.
func (s *Server) Stop(ctx context.Context) error {
	if err := s.signal(syscall.SIGINT); err != nil {
		return err
	}
	select {
	case <-s.exited:
		return nil
	case <-ctx.Done():
		s.Crash()
		return fmt.Errorf("the %s did not stop in time and was ended at once: %w", s.Name, ctx.Err())
	}
}

// Crash ends the server at once, as a crash would: nothing more is written,
// clients see the connection close, and the next start recovers.
func (s *Server) Crash() {
	s.crashed.Do(func() {
		// The process may just have ended by itself, which is what we want.
		_ = s.signal(syscall.SIGQUIT)
		select {
		case <-s.exited:
		case <-time.After(10 * time.Second):
			_ = s.signal(syscall.SIGKILL)
		}
	})
	<-s.exited
}

// Pause stops the server's main process from being scheduled, as on a machine
// that hangs: connections that exist go on, new ones are not answered. Resume
// ends it.
func (s *Server) Pause() error { return s.signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (s *Server) Resume() error { return s.signal(syscall.SIGCONT) }

func (s *Server) signal(sig os.Signal) error {
	if err := s.process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signalling the %s: %w", s.Name, err)
	}
	return nil
}

// Running returns the process id of a server that runs in the data directory,
// whoever started it, or 0.
func Running(dataDir string) int {
	f, err := readLockFile(dataDir)
	if err != nil || syscall.Kill(f.pid, 0) == syscall.ESRCH || !looksLikePostgres(f.pid) {
		return 0
	}
	return f.pid
}

// looksLikePostgres guards against a lock file that was left behind and whose
// process id has gone to another program since. Where there is no /proc it
// trusts the file.
func looksLikePostgres(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		_, noProc := os.Stat("/proc/self/cmdline")
		return noProc != nil
	}
	program, _, _ := strings.Cut(string(b), "\x00")
	return strings.HasPrefix(filepath.Base(program), "postgres")
}

// StopDir shuts down the server that runs in a data directory, if one does,
// and waits for its end. It is for servers that are not children of this
// process, left over by one that was killed.
func StopDir(ctx context.Context, dataDir string) error {
	pid := Running(dataDir)
	if pid == 0 {
		return nil
	}
	if err := syscall.Kill(pid, syscall.SIGINT); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for Running(dataDir) == pid {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the server in %s (process %d) does not stop: end it by hand", dataDir, pid)
		case <-tick.C:
		}
	}
	return nil
}
