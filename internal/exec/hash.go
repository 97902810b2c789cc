package exec

import (
	"context"
	"errors"
	"strconv"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// Hashes remembers what PostgreSQL said of the hashes of values whose types are not hashed in Go. All sessions share one.
type Hashes struct {
	mu    sync.Mutex
	known map[hashKey]int32
}

// hashKey is all that a hash depends on. What a text means as a date or time depends on settings, and their defaults on the user.
type hashKey struct {
	key     catalog.Key
	text    string
	reading string
}

// reading names the settings by which the session's texts are read.
func (x *execution) reading() string {
	settings := x.env.Tx.Settings()
	names := x.env.Tx.Identity().User
	for _, name := range []string{"timezone", "datestyle", "intervalstyle"} {
		value, _ := settings.Get(name)
		names += "\x00" + value
	}
	return names
}

const (
	maxHashes   = 10_000
	maxHashText = 256 // longer values are asked for every time
)

// NewHashes makes an empty memory.
func NewHashes() *Hashes { return &Hashes{known: map[hashKey]int32{}} }

// ask gives the hashes of values in text format, which it has the coordinator compute where it must.
func (h *Hashes) ask(ctx context.Context, x *execution, key catalog.Key, texts []string) ([]int32, error) {
	hashes := make([]int32, len(texts))
	var missing []int
	reading := x.reading()
	h.mu.Lock()
	for i, text := range texts {
		if hash, ok := h.known[hashKey{key, text, reading}]; ok && !x.env.ForeignEncoding {
			hashes[i] = hash
		} else {
			missing = append(missing, i)
		}
	}
	h.mu.Unlock()
	if len(missing) == 0 {
		return hashes, nil
	}
	expression, err := x.snapshot.HashExpression(key, "v")
	if err != nil {
		return nil, err
	}
	query := []byte("SELECT (" + expression + ")::text FROM pg_catalog.unnest(E'{")
	var array []byte
	for n, i := range missing {
		if n > 0 {
			array = append(array, ',')
		}
		array = appendArrayElement(array, []byte(texts[i]))
	}
	query = appendEscaped(query, array)
	query = append(query, "}'::text[]) WITH ORDINALITY AS _(v, n) ORDER BY n"...)
	rows, err := x.ask(ctx, query)
	if err != nil {
		return nil, elsewhere(err)
	}
	if len(rows) != len(missing) {
		return nil, sql.Errorf("XX000", "the coordinator gave %d hashes for %d values", len(rows), len(missing))
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for n, i := range missing {
		hash, err := strconv.ParseInt(string(rows[n][0]), 10, 32)
		if err != nil {
			return nil, err
		}
		hashes[i] = int32(hash)
		if len(h.known) >= maxHashes {
			clear(h.known)
		}
		if len(texts[i]) <= maxHashText && !x.env.ForeignEncoding {
			h.known[hashKey{key, texts[i], reading}] = int32(hash)
		}
	}
	return hashes, nil
}

// key is all that the hashes of a statement's distribution values depend on. A value to be stored is first brought to the column's
// own precision; one to be compared with is not.
func (x *execution) key(c *catalog.Colocation, stored bool) catalog.Key {
	if stored {
		for i := range x.plan.Tables {
			t := &x.plan.Tables[i]
			if !t.Write || t.ColocationID != c.ID {
				continue
			}
			if r := x.snapshot.Relations[catalog.Name{Schema: t.Schema, Name: t.Name}]; r != nil {
				if key, ok := r.Key(); ok {
					return key
				}
			}
		}
	}
	return catalog.Key{TypeOID: c.TypeOID, TypMod: -1, Collation: c.Collation, SQLType: typeSQL(x.snapshot, c.TypeOID)}
}

// hashText hashes a value given as text, if Go can.
func (x *execution) hashText(key catalog.Key, text string) (int32, bool) {
	if x.env.ForeignEncoding && !ascii(text) {
		return 0, false
	}
	return x.snapshot.HashText(key, text)
}

// hashBinary hashes a value in the binary format of type oid, if Go can.
func (x *execution) hashBinary(key catalog.Key, oid uint32, value []byte) (int32, bool) {
	if x.env.ForeignEncoding && !ascii(string(value)) {
		return 0, false
	}
	key.TypeOID = oid
	hash, ok, err := x.snapshot.HashBinary(key, value)
	return hash, ok && err == nil
}

func ascii(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// baseType looks through domains.
func baseType(snapshot *catalog.Snapshot, oid uint32) uint32 {
	for range 32 {
		t := snapshot.Types[oid]
		if t == nil || t.Kind != 'd' {
			break
		}
		oid = t.Base
	}
	return oid
}

// stateOf gives an error's SQLSTATE, "" if it has none.
func stateOf(err error) string {
	var node *pgconn.PgError
	if errors.As(err, &node) {
		return node.Code
	}
	var own *sql.Error
	if errors.As(err, &own) {
		return own.Code
	}
	return ""
}
