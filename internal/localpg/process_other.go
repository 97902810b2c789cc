//go:build unix && !linux

package localpg

import (
	"os/exec"
	"syscall"
)

// attributes makes cmd a process of its own group, so that a Ctrl-C at the
// terminal reaches only this process, which then stops its servers in order,
// and run as o.
func attributes(cmd *exec.Cmd, o Owner) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	become(cmd.SysProcAttr, o)
}
