package backend

import (
	"net"
	"syscall"
)

// probe looks at an idle connection's socket without reading from it or waiting.
type probe struct {
	raw   syscall.RawConn
	look  func(fd uintptr) bool
	quiet bool
}

func newProbe(conn net.Conn) *probe {
	if wrapped, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = wrapped.NetConn()
	}
	source, ok := conn.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := source.SyscallConn()
	if err != nil {
		return nil
	}
	p := &probe{raw: raw}
	p.look = func(fd uintptr) bool {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		p.quiet = err == syscall.EAGAIN || err == syscall.EINTR
		return true
	}
	return p
}

// idle tells whether the connection is open and the node has sent nothing. A node that has something to say to an idle connection
// mostly says that it is closing it.
func (p *probe) idle() bool {
	if p == nil {
		return true
	}
	if err := p.raw.Read(p.look); err != nil {
		return false
	}
	return p.quiet
}

// Readable tells whether the node has sent something that has not been received, or has closed the connection.
func (c *Conn) Readable() bool {
	if c.watch.ctx != nil && c.watch.ctx.Err() != nil && len(c.units) == 0 {
		c.watch.stop(c) // it has made reads end at once, which would look like a closed connection
	}
	return c.r+c.consumed < c.w || !c.probe.idle()
}
