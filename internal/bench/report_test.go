package main

import "testing"

func TestThroughput(t *testing.T) {
	const out = "number of transactions actually processed: 5\nnumber of failed transactions: 0 (0.000%)\ntps = 123.5 (without initial connection time)\n"
	if tps, err := throughput(out); err != nil || tps != 123.5 {
		t.Errorf("got %v, %v", tps, err)
	}
	for _, bad := range []string{"", "number of failed transactions: 2 (40.000%)\ntps = 123.5 (without initial connection time)\n"} {
		if tps, err := throughput(bad); err == nil {
			t.Errorf("%q: got %v and no error", bad, tps)
		}
	}
}

func TestRates(t *testing.T) {
	// The second round was disturbed on both sides alike: the ratio is not moved by it.
	l := rates("x", "1/s", []float64{100, 20, 110}, nil, []float64{50, 10, 60}, 0.5)
	if l.direct != 100 || l.gate != 50 || l.ofDirect != 0.5 || l.ofBouncer != 0 || l.verdict() != "met" {
		t.Errorf("got %+v, %s", l, l.verdict())
	}
	if l.mark = 0.6; l.verdict() != "MISSED" {
		t.Errorf("a ratio of %v is no %v", l.ofDirect, l.mark)
	}
	idle := line{gate: 16, mark: 64, atMost: true}
	if idle.verdict() != "met" {
		t.Error("16 is at most 64")
	}
}
