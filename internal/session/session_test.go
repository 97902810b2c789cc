package session_test

import "testing"

func TestPassThrough(t *testing.T) {
	g := start(t)
	c := g.connect()
	g.exec(c, "SELECT 1")
}
