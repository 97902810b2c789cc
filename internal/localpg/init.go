package localpg

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Superuser is the role and the database that every local server has.
const Superuser = "postgres"

// InitOptions are the choices that are made once, when a data directory is
// made.
type InitOptions struct {
	NoSync bool     // do not wait for the disk; for tests
	Extra  []string // further arguments of initdb
}

// Initialized reports whether dir is a data directory.
func Initialized(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "PG_VERSION"))
	return err == nil
}

// Init makes a data directory with the superuser postgres, UTF-8, the locale
// C.UTF-8 where the system has it (the same order of text on every machine),
// and no password asked on loopback and local sockets. On failure it leaves
// no half-made directory behind.
func Init(ctx context.Context, b Binaries, o Owner, dir string, opt InitOptions) error {
	if err := o.MakeDir(dir); err != nil {
		return err
	}
	var last error
	for _, locale := range []string{"C.UTF-8", "C"} {
		args := []string{"-D", dir, "-U", Superuser, "--auth=trust", "--encoding=UTF8", "--locale=" + locale, "--lc-messages=C", "--no-instructions"}
		if opt.NoSync {
			args = append(args, "--no-sync")
		}
		cmd := exec.CommandContext(ctx, b.Path("initdb"), append(args, opt.Extra...)...)
		cmd.Dir = "/"
		cmd.Env = environment()
		attributes(cmd, o)
		out, err := cmd.CombinedOutput()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), os.RemoveAll(dir))
		}
		last = fmt.Errorf("initdb failed for %s: %s", dir, lastLine(string(out), err))
		if !strings.Contains(string(out), "locale") {
			break
		}
	}
	return errors.Join(last, os.RemoveAll(dir))
}

// environment is what PostgreSQL's programs see of ours: none of the PG…
// variables, which would lead them elsewhere, and messages in English.
func environment() []string {
	env := []string{"LC_ALL=C"}
	for _, name := range []string{"PATH", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"} {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	return env
}

// lastLine is the last thing that a failed program said, on one line.
func lastLine(out string, err error) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if l := strings.TrimSpace(lines[i]); l != "" && !strings.HasPrefix(l, "initdb: removing") {
			return l
		}
	}
	return err.Error()
}

// CopyDir copies the data directory of a stopped server, which is much
// quicker than making a new one, and gives the copy to o.
func CopyDir(ctx context.Context, o Owner, from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err := errors.Join(err, ctx.Err()); err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return o.MakeDir(target)
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("%s is neither a file nor a directory", path)
		}
		return copyFile(o, path, target)
	})
}

func copyFile(o Owner, from, to string) (err error) {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	if _, err := io.Copy(dst, src); err != nil {
		return err
	}
	if o.Switch {
		return dst.Chown(o.UID, o.GID)
	}
	return nil
}
