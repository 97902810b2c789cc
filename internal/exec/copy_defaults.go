package exec

import (
	"context"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/copyfmt"
	"github.com/trunkline/trunkline/internal/sql"
)

// evaluateStable has the coordinator evaluate, once, the defaults that are the same for all rows of a statement, like now(): nodes
// would each give their own.
func (in *copyIn) evaluateStable(ctx context.Context) error {
	in.extra = make([]copyfmt.Value, len(in.fill))
	if len(in.stable) == 0 {
		return nil
	}
	var list []string
	for _, i := range in.stable {
		c := &in.table.Columns[i]
		value := "(" + c.Default + ")::" + c.SQLType
		if in.options.format == copyfmt.Binary {
			send, err := in.sendFunction(ctx, c.TypeOID)
			if err != nil {
				return err
			}
			value = "pg_catalog.encode(" + send + "(" + value + "), 'hex')"
		}
		list = append(list, "("+value+")::pg_catalog.text")
	}
	results, err := in.coordinator.Exec(ctx, "SELECT "+strings.Join(list, ", "))
	if err != nil {
		return err
	}
	for _, text := range results[0].Rows[0] {
		if in.options.format == copyfmt.Binary && text != nil {
			if text, err = hex.DecodeString(string(text)); err != nil {
				return err
			}
		}
		in.extra = append(in.extra, in.splitter.Encode(text))
	}
	return nil
}

// sendFunction names the function that gives a type's binary format.
func (in *copyIn) sendFunction(ctx context.Context, oid uint32) (string, error) {
	results, err := in.coordinator.Exec(ctx, "SELECT p.oid::pg_catalog.regproc::pg_catalog.text FROM pg_catalog.pg_type t JOIN pg_catalog.pg_proc p ON p.oid = t.typsend WHERE t.oid = "+strconv.FormatUint(uint64(oid), 10))
	if err != nil {
		return "", err
	}
	if len(results[0].Rows) != 1 {
		return "", sql.Errorf("42883", "no binary output function available for type %s", typeSQL(in.snapshot, oid))
	}
	return string(results[0].Rows[0][0]), nil
}

// needsStaging tells whether what a row becomes may depend on the node on which it is made: through a volatile default, a condition, or errors that are ignored.
func (in *copyIn) needsStaging() bool {
	if in.stmt.WhereClause != nil || in.options.ignoreErrors || in.options.marker != nil {
		return true
	}
	given := make([]bool, len(in.table.Columns))
	for _, i := range in.data {
		given[i] = true
	}
	for i := range in.table.Columns {
		c := &in.table.Columns[i]
		if !given[i] && c.Sequence == nil && !c.Generated && c.Volatile {
			return true
		}
	}
	return false
}

// constantDefault tells whether a default is surely the same everywhere: none, a number, a string with a cast, true, false or NULL.
func constantDefault(c *catalog.Column) bool {
	text := c.Default
	if text == "" {
		return true
	}
	var s sql.Scanned
	if c.Volatile || !sql.Scan(text, &s) {
		return false
	}
	key, cast, _ := strings.Cut(string(s.Key), " ::")
	if strings.ContainsAny(cast, "+-*/<>=~!@#%^&|`?\x02\x03\x04\x05") {
		return false // more than a cast
	}
	switch key = strings.TrimPrefix(key, "- "); key {
	case "true", "false", "null":
		return true
	}
	// 'now'::text stays what it is, but as a date it does not.
	return len(key) == 1 && key[0] <= 1+byte(sql.LiteralBits) && (key[0] != 1+byte(sql.LiteralString) || !isTime(c.TypeOID))
}

// isText tells whether a type's binary format is its text.
func isText(oid uint32) bool { return oid == 19 || oid == 25 || oid == 1042 || oid == 1043 }

func isTime(oid uint32) bool {
	switch oid {
	case 1082, 1083, 1114, 1184, 1266:
		return true
	}
	return false
}
