package localpg

import (
	"os/exec"
	"syscall"
)

// attributes makes cmd a process of its own group, so that a Ctrl-C at the
// terminal reaches only this process, which then stops its servers in order;
// run as o; and, on Linux, stop (a fast shutdown) if this process dies.
func attributes(cmd *exec.Cmd, o Owner) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGINT}
	become(cmd.SysProcAttr, o)
}
