package backend_test

import (
	"context"
	"testing"
	"time"
)

// What several statements sent at once have left is read under another context after theirs has ended. The canceller of the first
// waits for the reader, so the reader must not wait for it.
func TestDrainAfterCancel(t *testing.T) {
	c := connect(t)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for range 3 {
		c.SendQuery("SELECT pg_sleep(30)")
	}
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, stop)
	_, err := c.Collect(ctx)
	wantCode(t, err, "57014")
	started := time.Now()
	for c.Pending() > 0 {
		_, err := c.Collect(t.Context())
		wantCode(t, err, "57014")
	}
	if took := time.Since(started); took > 5*time.Second {
		t.Errorf("reading what was left took %s", took)
	}
	if got := one(t, c, "SELECT 7"); got != "7" {
		t.Error(got)
	}
}
