package wire

import (
	"net"
	"syscall"
)

// Gone tells whether the client has closed its connection, as far as one can tell without reading what it may have sent before. It
// may be called from any goroutine.
func (c *Conn) Gone() bool {
	socket := c.net
	for {
		wrapped, ok := socket.(interface{ NetConn() net.Conn })
		if !ok {
			break
		}
		socket = wrapped.NetConn()
	}
	source, ok := socket.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := source.SyscallConn()
	if err != nil {
		return false
	}
	gone := false
	err = raw.Control(func(fd uintptr) {
		var one [1]byte
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		gone = n == 0 && err == nil || err != nil && err != syscall.EAGAIN && err != syscall.EINTR
	})
	return gone || err != nil
}
