package exec

import (
	"context"
	"errors"

	"github.com/trunkline/trunkline/internal/plan"
)

// source is one sorted stream of rows: the answer to a task, live from its connection or, where the connection had to go on to
// its next task, kept.
type source struct {
	lane *lane // nil if the rows are kept
	kept *Spool
	next int64
	copy []byte

	bound bool // its node has bound the task

	raw    []byte // the row at hand; nil at the end
	values [][]byte
	key    [][]byte // the hidden ones of values
}

// merge passes on rows of sorted tasks in their common order.
func (x *execution) merge(ctx context.Context, g *plan.Gather, lanes []*lane, f *form, w *window) (string, error) {
	for _, k := range g.Merge {
		if !comparableType(k.Type) {
			return "", errors.New("exec: a plan merges by a type that Go does not compare")
		}
	}
	var sources []*source
	defer func() {
		for _, s := range sources {
			if s.kept != nil {
				s.kept.Close()
			}
		}
	}()
	var total tagSum
	for _, l := range lanes {
		for i := range l.tasks {
			s := &source{}
			if i < len(l.tasks)-1 {
				s.kept = NewSpool(0)
				tag, err := x.receive(ctx, l.conn, f, s.kept.Add)
				if err != nil {
					return "", err
				}
				total.add(tag)
			} else {
				s.lane = l
			}
			sources = append(sources, s)
		}
	}
	heap := sources[:0:0]
	for _, s := range sources {
		if err := x.advance(ctx, s, f, &total); err != nil {
			return "", err
		}
		if s.raw != nil {
			heap = append(heap, s)
		}
	}
	for i := len(heap)/2 - 1; i >= 0; i-- {
		siftDown(heap, i, g.Merge)
	}
	for len(heap) > 0 {
		top := heap[0]
		if err := w.row(top.raw); errors.Is(err, errStop) {
			break
		} else if err != nil {
			return "", err
		}
		if err := x.advance(ctx, top, f, &total); err != nil {
			return "", err
		}
		if top.raw == nil {
			heap[0] = heap[len(heap)-1]
			heap = heap[:len(heap)-1]
		}
		siftDown(heap, 0, g.Merge)
	}
	return total.String(), nil
}

// advance takes the next row of a source.
func (x *execution) advance(ctx context.Context, s *source, f *form, total *tagSum) error {
	s.raw = nil
	if s.kept != nil {
		if s.next == s.kept.Len() {
			return nil
		}
		raw, err := s.kept.Row(s.next)
		if err != nil {
			return err
		}
		s.next++
		s.copy = append(s.copy[:0], raw...) // the window cuts rows in place
		return s.take(s.copy, f)
	}
	var failure error
	for {
		m, err := s.lane.conn.Receive(ctx)
		if err != nil {
			return err
		}
		switch m.Type {
		case 'D':
			if failure == nil {
				return s.take(m.Raw, f)
			}
		case 'C':
			total.add(internTag(m.Body()))
		case '2':
			s.bound = true
		case 'E':
			if failure == nil {
				failure = x.bindError(s.bound, x.taskError(s.lane.conn, m))
			}
		case 'Z':
			return failure
		}
	}
}

// take makes raw the row at hand. Its key aliases raw, which stays until the source advances.
func (s *source) take(raw []byte, f *form) error {
	var err error
	if s.values, err = splitRow(raw, s.values); err != nil {
		return err
	}
	if len(s.values) != f.columns {
		return columnsDiffer(f.columns, len(s.values))
	}
	s.key = s.values[f.columns-f.hidden:]
	s.raw = raw
	return nil
}

func siftDown(heap []*source, i int, keys []plan.MergeKey) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(heap); child++ {
			if compareKeys(heap[child].key, heap[least].key, keys) < 0 {
				least = child
			}
		}
		if least == i {
			return
		}
		heap[i], heap[least] = heap[least], heap[i]
		i = least
	}
}
