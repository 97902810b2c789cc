package exec

import (
	"context"
	"encoding/binary"
	"io"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/sql"
)

// Direct runs the client's own text on a connection to the coordinator, with what the client bound, and passes its rows on. Errors
// keep their positions.
func Direct(ctx context.Context, env *Env, c *backend.Conn, p *Prepared, bind *Bind, out RowWriter) (string, error) {
	var key []byte
	name, known := "", false
	if bind.Reuse {
		key = directKey(bind.Text, p.Params, env.Snapshot.Fingerprint)
		name, known = c.Prepared(key)
	}
	tag, wrote, err := direct(ctx, env, c, p, bind, name, known, out)
	if err != nil && key != nil && stateOf(err) == "0A000" && !wrote && c.TxStatus() == 'I' {
		// The table has changed since ("cached plan must not change result type"): prepare it anew, if the result is still what the
		// client has been told.
		if bind.Then != nil {
			if _, err := c.Collect(ctx); err != nil {
				return "", err
			}
		}
		_, fields, failure := Describe(ctx, c, bind.Text, p.Params)
		if failure != nil || !SameTypes(fields, p.Fields) {
			bind.Then = nil // has been answered
			return "", err
		}
		c.Unprepare(string(key))
		name, known = c.Prepared(key)
		tag, _, err = direct(ctx, env, c, p, bind, name, known, out)
	}
	return tag, err
}

func directKey(text string, params []uint32, fingerprint uint64) []byte {
	key := make([]byte, 0, len(text)+9+4*len(params))
	key = append(append(key, text...), 0)
	key = binary.BigEndian.AppendUint64(key, fingerprint)
	for _, oid := range params {
		key = binary.BigEndian.AppendUint32(key, oid)
	}
	return key
}

func direct(ctx context.Context, env *Env, c *backend.Conn, p *Prepared, bind *Bind, name string, known bool, out RowWriter) (tag string, wrote bool, err error) {
	x := &execution{env: env, prepared: p, renderer: renderer{plan: p.Plan, bind: bind}}
	m := env.message[:0]
	if !known {
		m = x.appendParse(m, name, []byte(bind.Text), true)
	}
	m = x.appendBind(m, name, bind.ResultFormats)
	m = append(m, 'E', 0, 0, 0, 9, 0, 0, 0, 0, 0, 'S', 0, 0, 0, 4)
	c.SendRaw(m)
	env.message = m
	if bind.Then != nil {
		bind.Then()
	}
	var failure error
	bound := false
	seen := func(m backend.Message) backend.Verdict {
		switch m.Type {
		case '2':
			bound = true
		case 'C':
			tag = internTag(m.Body())
		case 'E':
			failure = x.bindError(bound, backend.DecodeError(m))
		case 'G', 'W':
			failure = sql.Errorf("0A000", "COPY FROM STDIN cannot be used here")
			c.Close()
			return backend.Stop
		case 'H', 'c':
			return backend.Forward
		}
		return backend.Drop
	}
	counted := &countingWriter{}
	if w, ok := out.(io.Writer); ok {
		counted.raw = w
		err = c.Relay(ctx, counted, seen)
	} else {
		for err == nil {
			var m backend.Message
			if m, err = c.Receive(ctx); err != nil {
				break
			}
			if m.Type == 'D' {
				err = out.Row(m.Raw)
				continue
			}
			if seen(m) == backend.Stop || m.Type == 'Z' {
				break
			}
		}
	}
	if err == nil {
		err = failure
	}
	return tag, counted.wrote, err
}

type countingWriter struct {
	raw   io.Writer
	wrote bool
}

func (w *countingWriter) Write(b []byte) (int, error) {
	w.wrote = true
	return w.raw.Write(b)
}
