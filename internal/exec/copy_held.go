package exec

import (
	"context"
	"strconv"
	"strings"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/copyfmt"
	"github.com/trunkline/trunkline/internal/sql"
)

// heldRows are rows that wait until the coordinator has been asked something for all of them at once: the next values of
// sequences, or the hashes of values.
type heldRows struct {
	rows []copyfmt.Row
	data []byte // what the rows consist of, copied
	keys []copyfmt.Field
	ends []heldEnd
}

type heldEnd struct{ data, key int }

const (
	heldBytes = 256 << 10
	heldMost  = 8000
)

func (h *heldRows) full() bool { return len(h.data) >= heldBytes || len(h.ends) >= heldMost }

// add copies a row. Slices into data are made later, since data may still move.
func (h *heldRows) add(row *copyfmt.Row) {
	h.data = append(h.data, row.Data...)
	end := heldEnd{data: len(h.data)}
	own := *row
	own.Data, own.Fields = nil, nil
	if len(row.Fields) > 0 {
		h.keys = append(h.keys, row.Fields[0])
		h.data = append(h.data, row.Fields[0].Value...)
	}
	end.key = len(h.data)
	h.rows, h.ends = append(h.rows, own), append(h.ends, end)
}

// each calls f with every row, and empties the memory.
func (h *heldRows) finish() []copyfmt.Row {
	start := 0
	for i, end := range h.ends {
		h.rows[i].Data = h.data[start:end.data:end.data]
		if len(h.keys) > 0 {
			h.keys[i].Value = h.data[end.data:end.key:end.key]
			h.rows[i].Fields = h.keys[i : i+1]
		}
		start = end.key
	}
	return h.rows
}

func (h *heldRows) reset() {
	h.rows, h.data, h.keys, h.ends = h.rows[:0], h.data[:0], h.keys[:0], h.ends[:0]
}

// routeHeld sends off the rows that were held.
func (in *copyIn) routeHeld(ctx context.Context) error {
	if len(in.held.ends) == 0 {
		return nil
	}
	defer in.held.reset()
	rows := in.held.finish()
	drawn, err := in.draw(ctx, len(rows))
	if err != nil {
		return err
	}
	at, err := in.routeAll(ctx, rows, drawn)
	if err != nil {
		return err
	}
	for i := range rows {
		target := in.targets[at[i]]
		batch := in.begin(target)
		if len(in.extra) > 0 {
			for j := range in.fill {
				in.extra[j] = copyfmt.Value{Integer: drawn[j][i], Width: integerWidth(in.table.Columns[in.fill[j]].TypeOID)}
			}
			batch.data = in.splitter.Append(batch.data, &rows[i], in.extra)
		} else {
			batch.data = append(batch.data, rows[i].Data...)
		}
		if batch.end(&rows[i]) >= in.limit(target) {
			if err := in.flush(ctx, target); err != nil {
				return err
			}
		}
	}
	return nil
}

func integerWidth(oid uint32) int {
	switch oid {
	case 21:
		return 2
	case 23:
		return 4
	}
	return 8
}

// draw takes as many values as there are rows from each sequence that fills a column.
func (in *copyIn) draw(ctx context.Context, rows int) ([][]int64, error) {
	if len(in.fill) == 0 {
		return nil, nil
	}
	in.env.Settle(ctx)
	if _, err := in.env.Tx.Pin(ctx); err != nil { // the session may ask for currval
		return nil, err
	}
	// One long text is read faster than many short rows, here and there.
	var lists, calls strings.Builder
	for i, column := range in.fill {
		if i > 0 {
			lists.WriteString(", ")
			calls.WriteString(", ")
		}
		sequence := in.table.Columns[column].Sequence
		calls.WriteString("pg_catalog.nextval(" + sql.QuoteLiteral(string(appendName(nil, sequence.Schema, sequence.Name))) + ")::pg_catalog.text AS v" + strconv.Itoa(i))
		lists.WriteString("pg_catalog.string_agg(v" + strconv.Itoa(i) + ", ' ')")
	}
	query := "SELECT " + lists.String() + " FROM (SELECT " + calls.String() + " FROM pg_catalog.generate_series(1, " + strconv.Itoa(rows) + ") OFFSET 0) _"
	drawn := make([][]int64, len(in.fill))
	err := in.onCoordinator(func(c *backend.Conn) error {
		results, err := c.Exec(ctx, query)
		if err != nil {
			return err
		}
		for i, list := range results[0].Rows[0] {
			drawn[i] = make([]int64, 0, rows)
			for text := range strings.SplitSeq(string(list), " ") {
				value, err := strconv.ParseInt(text, 10, 64)
				if err != nil {
					return err
				}
				drawn[i] = append(drawn[i], value)
			}
		}
		return nil
	})
	if err == nil && len(drawn[0]) != rows {
		err = sql.Errorf("XX000", "the coordinator gave %d sequence values for %d rows", len(drawn[0]), rows)
	}
	return drawn, err
}

// routeAll gives the index of each row's target.
func (in *copyIn) routeAll(ctx context.Context, rows []copyfmt.Row, drawn [][]int64) ([]int, error) {
	at := make([]int, len(rows))
	if own := in.drawnKey(); own >= 0 {
		for i := range rows {
			hash, ok := in.snapshot.HashText(in.key, strconv.FormatInt(drawn[own][i], 10))
			if !ok {
				return nil, sql.Errorf("XX000", "cannot hash a sequence's value")
			}
			at[i] = in.groups.GroupFor(hash)
		}
		return at, nil
	}
	if in.keyAt < 0 {
		for i := range at {
			at[i] = in.unkeyed()
		}
		return at, nil
	}
	var unknown []int
	var values [][]byte
	for i := range rows {
		field := &rows[i].Fields[0]
		if missing, err := in.judge(field, &rows[i]); err != nil {
			return nil, err
		} else if missing {
			at[i] = in.groups.GroupFor(catalog.NullHash)
			continue
		}
		hash, ok, err := in.hash(field.Value)
		if err != nil {
			return nil, in.where(err, rows[i].Line, in.columnContext(field.Value))
		}
		if ok {
			at[i] = in.groups.GroupFor(hash)
			continue
		}
		unknown = append(unknown, i)
		values = append(values, field.Value)
	}
	if len(unknown) == 0 {
		return at, nil
	}
	hashes, valid, err := in.askHashes(ctx, values)
	if err != nil {
		blamed := &rows[unknown[0]]
		for _, i := range unknown {
			if strings.Contains(err.Error(), "\""+string(rows[i].Fields[0].Value)+"\"") {
				blamed = &rows[i]
				break
			}
		}
		return nil, in.where(err, blamed.Line, in.columnContext(blamed.Fields[0].Value))
	}
	for n, i := range unknown {
		if valid[n] {
			at[i] = in.groups.GroupFor(hashes[n])
		}
	}
	return at, nil
}

// askHashes has the coordinator hash values of the distribution column. Where a value is not valid and errors are to be ignored,
// any shard will do, since it ignores the row.
func (in *copyIn) askHashes(ctx context.Context, values [][]byte) (hashes []int32, valid []bool, err error) {
	if in.options.format == copyfmt.Binary && !isText(in.key.TypeOID) {
		return nil, nil, sql.Unsupported("cannot COPY binary data into a table distributed by a column of type "+in.key.SQLType,
			"The gateway cannot hash this type's binary format.", "Use text or CSV format.")
	}
	expression, err := in.snapshot.HashExpression(in.key, "v")
	if err != nil {
		return nil, nil, err
	}
	if in.options.ignoreErrors {
		expression = "CASE WHEN pg_catalog.pg_input_is_valid(v, " + sql.QuoteLiteral(in.key.SQLType) + ") THEN " + expression + " END"
	}
	var array []byte
	for i, v := range values {
		if i > 0 {
			array = append(array, ',')
		}
		array = appendArrayElement(array, v)
	}
	own := plainEncoding(in.options.encoding)
	if own != "" && own != plainEncoding(in.coordinator.Parameter("client_encoding")) && !isASCII(array) {
		return nil, nil, sql.Unsupported("cannot COPY such values of the distribution column in encoding "+in.options.encoding,
			"The gateway cannot convert them.", "Set client_encoding instead of using the option ENCODING.")
	}
	query := []byte("SELECT " + expression + " FROM pg_catalog.unnest(E'{")
	query = appendEscaped(query, array)
	query = append(query, "}'::pg_catalog.text[]) WITH ORDINALITY AS _(v, n) ORDER BY n"...)
	err = in.onCoordinator(func(c *backend.Conn) error {
		results, err := c.Exec(ctx, string(query))
		if err != nil {
			return err
		}
		for _, row := range results[len(results)-1].Rows {
			valid = append(valid, row[0] != nil)
			hash := int64(0)
			if row[0] != nil {
				if hash, err = strconv.ParseInt(string(row[0]), 10, 32); err != nil {
					return err
				}
			}
			hashes = append(hashes, int32(hash))
		}
		return nil
	})
	if err == nil && len(hashes) != len(values) {
		err = sql.Errorf("XX000", "the coordinator gave %d hashes for %d values", len(hashes), len(values))
	}
	return hashes, valid, err
}
