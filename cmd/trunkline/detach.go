package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
)

// The first byte of what a cluster in the background reports of its start.
const (
	reportReady  = "+"
	reportFailed = "-"
)

// errInterrupted is the end of a start that a signal interrupted.
var errInterrupted = errors.New("interrupted; nothing is left running")

// upDetached starts the cluster in a process of its own session, waits until
// that one accepts queries, and leaves it running. If it fails, or this
// command is interrupted, nothing is left running.
func upDetached(ctx context.Context, o upOptions, stdout io.Writer) (err error) {
	if err := prepareDetached(o.dir); err != nil {
		return err
	}
	log, err := logTo(o.dir)
	if err != nil {
		return err
	}
	defer log.Close()
	self, err := os.Executable()
	if err != nil {
		return err
	}
	read, write, err := os.Pipe()
	if err != nil {
		return err
	}
	defer read.Close()
	args := []string{
		"up", "--ready-fd", "3", "--dir", o.dir, "--port", strconv.Itoa(o.port), "--shard-count", strconv.Itoa(o.shardCount),
		"--pg-bin", o.pgBin, "--max-connections", strconv.Itoa(o.maxConnections),
	}
	if o.workersChosen {
		args = append(args, "--workers", strconv.Itoa(o.workers))
	}
	child := exec.Command(self, args...)
	child.Stdout, child.Stderr = log, log
	child.ExtraFiles = []*os.File{write}
	child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := errors.Join(child.Start(), write.Close()); err != nil {
		return err
	}
	interrupt := context.AfterFunc(ctx, func() { _ = child.Process.Signal(syscall.SIGTERM) })
	defer interrupt()
	said, err := io.ReadAll(read)
	if err != nil {
		return err
	}
	if text, ok := strings.CutPrefix(string(said), reportReady); ok && ctx.Err() == nil {
		_, err := fmt.Fprintf(stdout, "%sIt runs in the background; stop it with: trunkline down%s\n", text, dirArgument(o.dir))
		return errors.Join(err, child.Process.Release())
	}
	ended := child.Wait()
	if ctx.Err() != nil {
		return errInterrupted
	}
	if text, ok := strings.CutPrefix(string(said), reportFailed); ok {
		return errors.New(text)
	}
	return fmt.Errorf("the cluster did not start (%w): see %s", ended, log.Name())
}

// prepareDetached makes the directory, since the background process's log
// lies in it, and finds out early if there is something else in it.
func prepareDetached(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("cannot make the directory %s: %w: choose another one with --dir", dir, cause(err))
	}
	return ours(dir)
}

// dirArgument repeats --dir in a command to type, where it is needed.
func dirArgument(dir string) string {
	if dir == defaultDir {
		return ""
	}
	return " --dir " + dir
}
