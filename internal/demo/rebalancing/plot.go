package main

import (
	"bytes"
	"fmt"
	"time"
)

// step is how much time one point of the plot stands for.
const step = 250 * time.Millisecond

// The plot's measures, in SVG's units.
const (
	width, height = 900.0, 320.0
	left, right   = 60.0, 20.0
	top, bottom   = 40.0, 40.0
)

// draw plots the statements per second over time, and when shards moved.
func draw(r *results, began time.Time, took time.Duration, moves []moved) []byte {
	first, last := began, began
	for _, s := range r.samples {
		if s.began.Before(first) {
			first = s.began
		}
		if end := s.began.Add(s.took); end.After(last) {
			last = end
		}
	}
	counts := make([][2]float64, int(last.Sub(first)/step)+1)
	for _, s := range r.samples {
		counts[s.began.Add(s.took).Sub(first)/step][s.kind] += 1 / step.Seconds()
	}
	most := 1.0
	for _, c := range counts {
		most = max(most, c[read], c[write])
	}
	span := last.Sub(first).Seconds()
	x := func(t time.Time) float64 { return left + (width-left-right)*t.Sub(first).Seconds()/span }
	y := func(v float64) float64 { return height - bottom - (height-top-bottom)*v/most }

	var b bytes.Buffer
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%g" height="%g" fill="white"/>`+"\n", width, height)
	fmt.Fprintf(&b, `<text x="%g" y="20" font-size="14">Statements per second while %d shard groups move to two new workers</text>`+"\n", left, len(moves))
	fmt.Fprintf(&b, `<rect x="%.1f" y="%g" width="%.1f" height="%g" fill="#f2f2f2"><title>the rebalance</title></rect>`+"\n", x(began), top, x(began.Add(took))-x(began), height-top-bottom)
	for i, m := range moves {
		fmt.Fprintf(&b, `<rect x="%.1f" y="%.1f" width="%.1f" height="4" fill="#e6994d"><title>move %d</title></rect>`+"\n", x(m.began), top+2+float64(i%2)*6, max(1, x(m.ended)-x(m.began)), i+1)
	}
	for i := range 5 {
		v := most * float64(i) / 4
		fmt.Fprintf(&b, `<line x1="%g" x2="%g" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%g" y="%.1f" text-anchor="end">%.0f</text>`+"\n", left, width-right, y(v), y(v), left-6, y(v)+4, v)
	}
	for s := 0; s <= int(span); s += max(1, int(span)/10) {
		at := x(first.Add(time.Duration(s) * time.Second))
		fmt.Fprintf(&b, `<text x="%.1f" y="%g" text-anchor="middle">%d s</text>`+"\n", at, height-bottom+18, s)
	}
	for k, style := range []struct{ name, colour string }{{"reads", "#2a6fbb"}, {"writes", "#3a9a5b"}} {
		b.WriteString(`<polyline fill="none" stroke-width="1.5" stroke="` + style.colour + `" points="`)
		for i, c := range counts[:max(1, len(counts)-1)] { // the last step is not a whole one
			fmt.Fprintf(&b, "%.1f,%.1f ", x(first.Add(time.Duration(i)*step+step/2)), y(c[k]))
		}
		fmt.Fprintf(&b, `"/><text x="%g" y="20" fill="%s">%s</text>`+"\n", width-right-180+float64(k)*60, style.colour, style.name)
	}
	fmt.Fprintf(&b, `<text x="%g" y="20" fill="#e6994d">moves</text>`+"\n</svg>\n", width-right-50)
	return b.Bytes()
}
