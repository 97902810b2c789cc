package main

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Files in the directory of a local cluster.
const (
	clusterFileName = "trunkline.json" // what the cluster consists of
	lockFileName    = "lock"           // held by the process that runs it; says which one that is
	gatewayLogName  = "gateway.log"
)

// directory is the directory of a local cluster, locked by this process.
type directory struct {
	path string
	lock *os.File
	clusterFile
}

// clusterFile is what is remembered of a cluster between runs.
type clusterFile struct {
	Format  int          `json:"format"`
	Cluster string       `json:"cluster"` // an id made once
	Servers []serverFile `json:"servers"` // the coordinator first
}

// serverFile is one server of a cluster. Its files are in the directory of
// its name.
type serverFile struct {
	Name string `json:"name"`
	Port int    `json:"port"`
	// System is PostgreSQL's own identifier of the data, by which a directory
	// from elsewhere is told apart; empty until the server first ran.
	System string `json:"system,omitempty"`
	// Registered is the port under which the cluster's catalog has the server,
	// or, while Node is false, may have it; 0 before it is told of it.
	Registered int `json:"registered,omitempty"`
	// Node says that the catalog has the server. It is not made a node again,
	// so that one that its user removed stays removed.
	Node bool `json:"node,omitempty"`
}

const clusterFormat = 1

// running is what the lock file says of the process that holds it.
type running struct {
	PID   int  `json:"pid"`
	Port  int  `json:"port"`
	Ready bool `json:"ready"` // the gateway answers
}

// openDirectory makes or opens the directory of a local cluster and locks it.
func openDirectory(path string) (*directory, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(path, 0o755); err != nil {
		return nil, fmt.Errorf("cannot make the directory %s: %w: choose another one with --dir", path, cause(err))
	}
	if err := ours(path); err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(filepath.Join(path, lockFileName), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("cannot write in the directory %s: %w: become its owner, or choose another one with --dir", path, cause(err))
	}
	d := &directory{path: path, lock: lock}
	if err := d.take(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	if err := d.load(); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return d, nil
}

// cause is an error without the path that it repeats.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// ours refuses a directory that holds something else than a local cluster.
func ours(path string) error {
	entries, err := os.ReadDir(path)
	if err != nil {
		return fmt.Errorf("cannot read the directory %s: %w: choose another one with --dir", path, cause(err))
	}
	var foreign string
	for _, e := range entries {
		switch e.Name() {
		case clusterFileName:
			return nil
		case lockFileName, gatewayLogName: // left by a start that failed early
		default:
			foreign = e.Name()
		}
	}
	if foreign != "" {
		return fmt.Errorf("the directory %s is not a Trunkline cluster's, it holds %s: choose an empty or a new one with --dir", path, foreign)
	}
	return nil
}

// take takes the lock, or says who has it.
func (d *directory) take() error {
	for range 20 {
		err := syscall.Flock(int(d.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		r, err := readRunning(d.path)
		if err == nil && r.PID != 0 {
			return fmt.Errorf("the cluster in %s is already run by process %d: stop it with trunkline down --dir %s, or choose another directory with --dir", d.path, r.PID, d.path)
		}
		// Either a start that has not said yet who it is, or a trunkline status
		// that is just looking.
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("the cluster in %s is locked by another process: try again, or choose another directory with --dir", d.path)
}

func (d *directory) load() error {
	b, err := os.ReadFile(filepath.Join(d.path, clusterFileName))
	if errors.Is(err, fs.ErrNotExist) {
		d.clusterFile = clusterFile{Format: clusterFormat, Cluster: rand.Text()}
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot read what cluster %s holds: %w", d.path, cause(err))
	}
	if err := json.Unmarshal(b, &d.clusterFile); err != nil {
		return fmt.Errorf("%s is damaged (%w): restore it, or start anew in another directory with --dir", filepath.Join(d.path, clusterFileName), err)
	}
	if d.Format != clusterFormat {
		return fmt.Errorf("the cluster in %s was made by another version of Trunkline (format %d, this one knows %d): use that version, or another directory", d.path, d.Format, clusterFormat)
	}
	return nil
}

// save writes the cluster file, all of it or nothing.
func (d *directory) save() error {
	b, err := json.MarshalIndent(d.clusterFile, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join(d.path, clusterFileName)
	if err := os.WriteFile(path+".new", append(b, '\n'), 0o644); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// announce writes into the lock file who runs the cluster.
func (d *directory) announce(r running) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	if err := d.lock.Truncate(0); err != nil {
		return err
	}
	_, err = d.lock.WriteAt(append(b, '\n'), 0)
	return err
}

// close lets go of the directory. One in which no cluster came to be is
// removed, if there was nothing else in it.
func (d *directory) close() error {
	if _, err := os.Stat(filepath.Join(d.path, clusterFileName)); errors.Is(err, fs.ErrNotExist) {
		_ = os.Remove(d.lock.Name())
		_ = os.Remove(d.path)
	}
	return errors.Join(d.lock.Truncate(0), d.lock.Close())
}

// errNotRunning says that nobody runs the cluster of a directory.
var errNotRunning = errors.New("not running")

// findRunning says which process runs the cluster in path. Its error is
// errNotRunning if none does. The file that it returns can be waited on with
// awaitUnlocked, and must be closed.
func findRunning(path string) (running, *os.File, error) {
	f, err := os.Open(filepath.Join(path, lockFileName))
	if errors.Is(err, fs.ErrNotExist) {
		if info, statErr := os.Stat(path); statErr != nil || !info.IsDir() {
			return running{}, nil, fmt.Errorf("there is no cluster in %s: name its directory with --dir", path)
		}
		if err := ours(path); err != nil {
			return running{}, nil, err
		}
		return running{}, nil, errNotRunning
	}
	if err != nil {
		return running{}, nil, fmt.Errorf("cannot see whether the cluster in %s runs: %w", path, cause(err))
	}
	switch err := syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB); {
	case errors.Is(err, syscall.EWOULDBLOCK):
	case err != nil:
		return running{}, nil, errors.Join(err, f.Close())
	default:
		return running{}, nil, errors.Join(errNotRunning, f.Close())
	}
	r, err := readRunning(path)
	if err != nil {
		return running{}, nil, errors.Join(err, f.Close())
	}
	return r, f, nil
}

func readRunning(path string) (r running, err error) {
	f, err := os.Open(filepath.Join(path, lockFileName))
	if err != nil {
		return r, err
	}
	defer f.Close()
	b, err := io.ReadAll(f)
	if err != nil || len(b) == 0 {
		return r, err // the process that took the lock has not said who it is yet
	}
	return r, json.Unmarshal(b, &r)
}
