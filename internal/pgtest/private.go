//go:build unix

package pgtest

import (
	"fmt"
	"os"
	"syscall"
)

// privateToUs makes sure that a directory in a place where everybody may
// write is ours alone.
func privateToUs(dir string) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || info.Mode().Perm() != 0o700 || !ok || int(st.Uid) != os.Geteuid() {
		return fmt.Errorf("%s is not a private directory of this user: remove it", dir)
	}
	return nil
}
