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

type hashKey struct {
	typ, collation uint32
	text           string
}

const (
	maxHashes   = 10_000
	maxHashText = 256 // longer values are asked for every time
)

// NewHashes makes an empty memory.
func NewHashes() *Hashes { return &Hashes{known: map[hashKey]int32{}} }

// ask gives the hashes of values in text format, which it has the coordinator compute where it must.
func (h *Hashes) ask(ctx context.Context, x *execution, c *catalog.Colocation, texts []string) ([]int32, error) {
	hashes := make([]int32, len(texts))
	var missing []int
	h.mu.Lock()
	for i, text := range texts {
		if hash, ok := h.known[hashKey{c.TypeOID, c.Collation, text}]; ok {
			hashes[i] = hash
		} else {
			missing = append(missing, i)
		}
	}
	h.mu.Unlock()
	if len(missing) == 0 {
		return hashes, nil
	}
	fn, typ, collate, err := x.hashFunction(ctx, c)
	if err != nil {
		return nil, err
	}
	query := []byte("SELECT " + fn + "(v::" + typ + collate + ")::text FROM pg_catalog.unnest(E'{")
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
		return nil, err
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
		if len(texts[i]) <= maxHashText {
			h.known[hashKey{c.TypeOID, c.Collation, texts[i]}] = int32(hash)
		}
	}
	return hashes, nil
}

// hashFunction gives the SQL function that hashes values of a colocation group's type, the type, and a COLLATE clause if it needs one.
func (x *execution) hashFunction(ctx context.Context, c *catalog.Colocation) (fn, typ, collate string, err error) {
	typ = typeSQL(x.snapshot, c.TypeOID)
	t := x.snapshot.Types[c.TypeOID]
	if t == nil || t.HashFunction == "" {
		return "", "", "", sql.Errorf("42883", "could not identify a hash function for type %s", typ)
	}
	if c.Collation != 0 && c.Collation != 100 {
		conn, release, err := x.env.Tx.Borrow(ctx, catalog.CoordinatorGroup)
		if err != nil {
			return "", "", "", err
		}
		defer release()
		result, err := conn.Query(ctx, "SELECT quote_ident(nspname) || '.' || quote_ident(collname) FROM pg_catalog.pg_collation c"+
			" JOIN pg_catalog.pg_namespace n ON n.oid = collnamespace WHERE c.oid = $1::oid", appendInt(nil, int64(c.Collation)))
		if err != nil {
			return "", "", "", err
		}
		if len(result.Rows) != 1 {
			return "", "", "", sql.Errorf("42704", "collation with OID %d does not exist", c.Collation)
		}
		collate = " COLLATE " + string(result.Rows[0][0])
	}
	return t.HashFunction, typ, collate, nil
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

// hashText hashes a value given as text, if Go can.
func hashText(snapshot *catalog.Snapshot, c *catalog.Colocation, text string) (int32, bool) {
	if !builtinCollation(c.Collation) {
		return 0, false
	}
	return catalog.HashText(c.TypeOID, text)
}

// hashBinary hashes a value in the binary format of type oid, if Go can.
func hashBinary(c *catalog.Colocation, oid uint32, value []byte) (int32, bool) {
	if !builtinCollation(c.Collation) {
		return 0, false
	}
	hash, ok, err := catalog.HashBinary(oid, value)
	return hash, ok && err == nil
}

// builtinCollation tells whether a collation is none, the default one, "C" or "POSIX": all deterministic, so that equal strings
// have equal bytes. About others PostgreSQL is asked.
func builtinCollation(oid uint32) bool { return oid == 0 || oid == 100 || oid == 950 || oid == 951 }
