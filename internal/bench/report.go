package main

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// report is the table that a run prints.
type report struct{ lines []line }

// line is one measurement. Ratios are the gateway's result as a part of the other's; those of one round are compared with each
// other before the median is taken, so that what else the machine does disturbs both sides.
type line struct {
	name                  string
	unit                  string
	direct, bouncer, gate float64 // 0 for not measured
	ofDirect, ofBouncer   float64
	mark                  float64 // what ofDirect must be at least, or gate at most if atMost is set; 0 for none
	atMost                bool
	remark                string
}

// rates makes a line from the rounds' results of each side. bouncer may be empty.
func rates(name, unit string, direct, bouncer, gate []float64, mark float64) line {
	l := line{name: name, unit: unit, direct: median(direct), bouncer: median(bouncer), gate: median(gate), mark: mark}
	l.ofDirect = median(quotients(gate, direct))
	l.ofBouncer = median(quotients(gate, bouncer))
	return l
}

func (r *report) add(l line) { r.lines = append(r.lines, l) }

func (r *report) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "measurement\tunit\tdirect\tPgBouncer\tgateway\t/ direct\t/ PgBouncer\tmark\t\t")
	for _, l := range r.lines {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", l.name, l.unit, number(l.direct), number(l.bouncer), number(l.gate),
			ratio(l.ofDirect), ratio(l.ofBouncer), l.markText(), l.verdict())
	}
	w.Flush()
	for _, l := range r.lines {
		if l.remark != "" {
			fmt.Fprintf(out, "\n%s: %s", l.name, l.remark)
		}
	}
	fmt.Fprintln(out)
}

func (l line) markText() string {
	switch {
	case l.mark == 0:
		return ""
	case l.atMost:
		return "<= " + number(l.mark)
	}
	return fmt.Sprintf(">= %.2f", l.mark)
}

func (l line) verdict() string {
	switch {
	case l.mark == 0:
		return ""
	case l.atMost && l.gate <= l.mark, !l.atMost && l.ofDirect >= l.mark:
		return "met"
	}
	return "MISSED"
}

func number(v float64) string {
	switch {
	case v == 0:
		return "-"
	case v < 100:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}

func ratio(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3f", v)
}

// median is 0 for no values.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

// quotients divides pairwise; it is empty if either side was not measured.
func quotients(a, b []float64) []float64 {
	var q []float64
	for i := range min(len(a), len(b)) {
		if b[i] > 0 {
			q = append(q, a[i]/b[i])
		}
	}
	return q
}
