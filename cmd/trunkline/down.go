package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

func downCommand() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "down",
		Short: "Stop the sharded PostgreSQL that trunkline up started",
		Args:  noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, lock, err := findRunning(dir)
			if errors.Is(err, errNotRunning) {
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "The cluster in %s is not running.\n", dir)
				return err
			}
			if err != nil {
				return err
			}
			defer lock.Close()
			if err := stopAndWait(cmd.Context(), r, lock); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "Stopped. The data stay in %s; trunkline up%s goes on with them.\n", dir, dirArgument(dir))
			return err
		},
	}
	cmd.Flags().StringVar(&dir, "dir", defaultDir, "directory of the cluster")
	return cmd
}

// stopAndWait asks the process that runs a cluster to stop and waits until it
// has let go of the lock, which it does last.
func stopAndWait(ctx context.Context, r running, lock *os.File) error {
	if r.PID == 0 {
		return errors.New("the cluster is just starting: try again in a moment")
	}
	if err := syscall.Kill(r.PID, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		if errors.Is(err, syscall.EPERM) {
			return fmt.Errorf("the cluster is another user's (process %d): become that user or root", r.PID)
		}
		return err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(2 * stopTimeout)
	for {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return err
		}
		select {
		case <-ctx.Done():
			return errors.New("interrupted; the cluster is still stopping")
		case <-limit:
			return fmt.Errorf("process %d does not stop: end it with kill -9 %d, after which its servers stop by themselves", r.PID, r.PID)
		case <-tick.C:
		}
	}
}
