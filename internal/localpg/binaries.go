// Package localpg runs PostgreSQL servers of this machine: it finds the
// binaries, makes data directories, and starts and stops servers as children
// of this process. `trunkline up` and the tests stand on it.
//
// Server is the type to read first. The package knows nothing of gateways,
// catalogs or shards, and imports only the standard library.
package localpg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// MinVersion is the oldest major version of PostgreSQL that can be a node.
const MinVersion = 15

// Binaries is one installation of PostgreSQL's server programs.
type Binaries struct {
	Dir     string // the directory that holds postgres and initdb
	Version int    // major version
	Full    string // as the server says it: "15.14"
}

// Path returns the path of one of the installation's programs.
func (b Binaries) Path(program string) string { return filepath.Join(b.Dir, program) }

// places are where packages put the server's programs, outside PATH.
var places = []string{
	"/usr/lib/postgresql/*/bin",                          // Debian, Ubuntu
	"/usr/pgsql-*/bin",                                   // PGDG on Red Hat and relatives
	"/usr/libexec/postgresql*",                           // Alpine
	"/usr/lib/postgresql*/bin",                           // SUSE
	"/usr/local/pgsql/bin",                               // built from source
	"/opt/homebrew/opt/postgresql*/bin",                  // Homebrew on ARM
	"/usr/local/opt/postgresql*/bin",                     // Homebrew on Intel
	"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",     // Homebrew on Linux
	"/Applications/Postgres.app/Contents/Versions/*/bin", // Postgres.app
}

// Find returns the installation in dir, or, if dir is empty, the newest one
// found in PATH and where packages usually put it. Its errors are one line
// that says what to do.
func Find(ctx context.Context, dir string) (Binaries, error) {
	if dir != "" {
		b, err := inspect(ctx, dir)
		if err != nil {
			return Binaries{}, fmt.Errorf("no PostgreSQL server in %s (%w): name the directory that holds postgres and initdb", dir, err)
		}
		if b.Version < MinVersion {
			return Binaries{}, tooOld(b)
		}
		return b, nil
	}
	var candidates []string
	if p, err := exec.LookPath("postgres"); err == nil {
		if real, err := filepath.EvalSymlinks(p); err == nil {
			p = real
		}
		candidates = append(candidates, filepath.Dir(p))
	}
	for _, pattern := range places {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return Binaries{}, err
		}
		candidates = append(candidates, found...)
	}
	var best Binaries
	for _, c := range candidates {
		if b, err := inspect(ctx, c); err == nil && b.Version > best.Version {
			best = b
		}
	}
	switch {
	case best.Version == 0:
		return Binaries{}, fmt.Errorf("no PostgreSQL server programs found on this machine: install PostgreSQL %d or newer (server and contrib; scripts/install-postgres.sh does it), or name their directory with --pg-bin", MinVersion)
	case best.Version < MinVersion:
		return Binaries{}, tooOld(best)
	}
	return best, nil
}

func tooOld(b Binaries) error {
	return fmt.Errorf("PostgreSQL %s in %s is too old: install version %d or newer, or name its directory with --pg-bin", b.Full, b.Dir, MinVersion)
}

// versionText matches what `postgres --version` prints, such as
// "postgres (PostgreSQL) 15.14 (Debian …)" and "postgres (PostgreSQL) 19beta1".
var versionText = regexp.MustCompile(`\(PostgreSQL\) ((\d+)[^\s]*)`)

func inspect(ctx context.Context, dir string) (Binaries, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Binaries{}, err
	}
	for _, program := range []string{"postgres", "initdb"} {
		info, err := os.Stat(filepath.Join(dir, program))
		if errors.Is(err, os.ErrNotExist) {
			return Binaries{}, fmt.Errorf("%s is not there", program)
		} else if err != nil {
			return Binaries{}, err
		}
		if info.IsDir() || info.Mode()&0o111 == 0 {
			return Binaries{}, fmt.Errorf("%s is not a program", program)
		}
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output()
	if err != nil {
		return Binaries{}, fmt.Errorf("asking postgres for its version: %w", err)
	}
	m := versionText.FindStringSubmatch(string(out))
	if m == nil {
		return Binaries{}, fmt.Errorf("postgres does not say its version, but %q", string(out))
	}
	major, err := strconv.Atoi(m[2])
	if err != nil {
		return Binaries{}, err
	}
	return Binaries{Dir: dir, Version: major, Full: m[1]}, nil
}
