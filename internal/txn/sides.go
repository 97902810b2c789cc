package txn

import (
	"context"
	"strings"
)

// sides are the participants by what they did.
type sides struct {
	writers []*participant
	readers []*participant // but for the coordinator
	late    []*participant // the coordinator if it only read: its COMMIT sends notifications, so it must come after the decision
}

// sides tells who wrote. With several participants, those not known to have written are asked whether they did after all (a
// function may have), unless the block is read-only: to commit a writer as if it had only read could lose its half.
func (t *Tx) sides(ctx context.Context) (s sides, err error) {
	var unsure, readers []*participant
	for _, p := range t.participants {
		if t.wrote(p.group) {
			s.writers = append(s.writers, p)
		} else {
			unsure = append(unsure, p)
		}
	}
	if len(t.participants) < 2 || len(t.log) == 0 && strings.Contains(strings.ToUpper(t.begin), "READ ONLY") {
		readers, unsure = unsure, nil
	}
	for _, p := range unsure {
		p.conn.SendQuery("SELECT 1 WHERE pg_catalog.pg_current_xact_id_if_assigned() IS NOT NULL")
		p.conn.Flush()
	}
	for _, p := range unsure {
		results, failure := p.conn.Collect(ctx)
		switch {
		case failure != nil:
			err = failure
		case len(results) == 1 && len(results[0].Rows) == 1:
			s.writers = append(s.writers, p)
		default:
			readers = append(readers, p)
		}
	}
	for _, p := range readers {
		if p.group == coordinator {
			s.late = append(s.late, p)
		} else {
			s.readers = append(s.readers, p)
		}
	}
	return s, err
}

// commitPlain commits where at most one participant has written.
func (t *Tx) commitPlain(ctx context.Context, s sides) (string, error) {
	first, late := append(s.writers, s.readers...), s.late
	if len(s.writers) == 0 {
		first, late = append(first, late...), nil
	}
	answers, crash := t.exchange(ctx, "commit", first, "COMMIT")
	if crash != nil {
		return "", crash
	}
	for i, a := range answers {
		switch {
		case a.lost && i == 0:
			return "", unknownOutcome("Node "+first[i].conn.Address().String()+" was lost before it answered COMMIT.", "")
		case a.err != nil && (i == 0 || len(s.writers) == 0):
			return "", a.err
		case a.err != nil:
			t.manager.config.Log.Warn("a node that only read failed to commit", "group", first[i].group, "error", a.err)
		case a.tag == "ROLLBACK" && i == 0:
			return "ROLLBACK", nil
		}
	}
	return "COMMIT", t.commitLate(ctx, late)
}

// commitLate commits the coordinator where it only read, once the others' changes are there. Only a fault point's error counts.
func (t *Tx) commitLate(ctx context.Context, late []*participant) error {
	answers, crash := t.exchange(context.WithoutCancel(ctx), "commit", late, "COMMIT")
	for i, a := range answers {
		if a.err != nil {
			t.manager.config.Log.Warn("a node that only read failed to commit", "group", late[i].group, "error", a.err)
		}
	}
	return crash
}
