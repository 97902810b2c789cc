//go:build unix

package localpg

import (
	"io/fs"
	"syscall"
)

func become(a *syscall.SysProcAttr, o Owner) {
	if o.Switch {
		a.Credential = &syscall.Credential{Uid: uint32(o.UID), Gid: uint32(o.GID)}
	}
}

func ownerOf(info fs.FileInfo) (uid, gid int, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(st.Uid), int(st.Gid), true
}
