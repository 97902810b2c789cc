package catalog

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/trunkline/trunkline/internal/sql"
)

// Key is all about a distribution column that the hash of a value depends on.
type Key struct {
	TypeOID   uint32
	TypMod    int32 // -1 if none: a value is first brought to the column's precision or length, as INSERT does
	Collation uint32
	SQLType   string // the type with its modifier, as SQL
}

// Key gives the distribution column of a table. ok is false for a table that has none.
func (r *Relation) Key() (key Key, ok bool) {
	if r.DistColumn < 0 {
		return Key{}, false
	}
	c := r.Columns[r.DistColumn]
	return Key{TypeOID: c.TypeOID, TypMod: c.TypMod, Collation: c.Collation, SQLType: c.SQLType}, true
}

// Key gives what the distribution columns of all tables of the group have in common. It serves for tables of any of them, except
// that where their type modifiers differ some values cannot be hashed by it: then use the Key of the table itself.
func (c *Colocation) Key() Key {
	return Key{TypeOID: c.TypeOID, TypMod: c.TypMod, Collation: c.Collation, SQLType: c.SQLType}
}

// base gives the key of the type that a chain of domains stands for, with the type modifier that the chain gives it. Domains'
// constraints do not matter to a hash: a value that violates one is refused where it is written, and found nowhere.
func (s *Snapshot) base(key Key) Key {
	for range 32 { // domains over domains
		t := s.Types[key.TypeOID]
		if t == nil || t.Kind != 'd' {
			break
		}
		key.TypeOID = t.Base
		key.TypMod, key.SQLType = t.BaseTypMod, t.BaseSQL
	}
	return key
}

// HashText hashes a value of a distribution column given as text in the database's encoding. Where ok is false, ask a node:
// see HashExpression.
func (s *Snapshot) HashText(key Key, text string) (hash int32, ok bool) {
	key = s.base(key)
	if !s.bytewise(key) || key.TypMod != -1 && !unchanged(key, text) {
		return 0, false
	}
	return HashText(key.TypeOID, text)
}

// HashBinary is HashText for a value in binary format of the column's own type.
func (s *Snapshot) HashBinary(key Key, data []byte) (hash int32, ok bool, err error) {
	key = s.base(key)
	if !s.bytewise(key) {
		return 0, false, nil
	}
	if key.TypMod != -1 {
		switch key.TypeOID {
		case OIDBpchar, OIDVarchar:
			if !unchanged(key, string(data)) {
				return 0, false, nil
			}
		default:
			return 0, false, nil
		}
	}
	return HashBinary(key.TypeOID, data)
}

// bytewise tells whether equal values of the type are the same bytes, as far as its collation goes.
func (s *Snapshot) bytewise(key Key) bool {
	if key.Collation == 0 {
		return true
	}
	c := s.Collations[key.Collation]
	return c != nil && c.Deterministic
}

// unchanged tells whether a value given as text surely stays as it is when brought to the type modifier.
func unchanged(key Key, text string) bool {
	switch key.TypeOID {
	case OIDBpchar: // only blanks are ever cut off or added
		return true
	case OIDVarchar: // and too long a value is refused by whoever stores it, unless it is blanks that are too many
		const header = 4 // VARHDRSZ
		return !strings.HasSuffix(text, " ") || key.TypMod >= 0 && utf8.RuneCountInString(text) <= int(key.TypMod)-header
	case OIDNumeric: // digits after the point are rounded to the scale, an 11-bit signed number
		if key.TypMod == MixedTypMod {
			return false
		}
		const header = 4
		scale := int((key.TypMod-header)&0x7ff^0x400) - 0x400
		_, fraction, _ := strings.Cut(strings.TrimRight(text, " "), ".")
		return scale >= len(fraction)
	case OIDTimestamp, OIDTimestamptz, OIDTime: // fractions of a second are rounded
		return !strings.Contains(text, ".")
	}
	return false
}

// NullHash is where in the hash space rows lie that have no distribution value. It is what hash_record makes of a NULL, and where
// PostgreSQL's own hash partitioning puts it.
const NullHash int32 = 0

// StoredHash writes the SQL expression that hashes what a column holds by a type's hash function, NULL too.
func StoredHash(function, column string) string {
	return "coalesce(" + function + "(" + column + "), " + strconv.Itoa(int(NullHash)) + ")"
}

// HashExpression writes the SQL expression, of type int4, that hashes the value of another SQL expression as the distribution
// column's type: for the hash of what Go cannot hash. It is never NULL: a NULL's hash is NullHash.
//
// hash_record of a row of one column is the hash of that column by its type's default hash operator class and its collation.
// It is the way to call those hash functions whose own argument is of another type or of type internal (date's, bytea's).
func (s *Snapshot) HashExpression(key Key, expr string) (string, error) {
	key = s.base(key)
	t := s.Types[key.TypeOID]
	if t == nil {
		return "", sql.Errorf("42704", "type with OID %d does not exist", key.TypeOID)
	}
	if t.HashFunction == "" {
		return "", &sql.Error{Code: "42704", Message: "data type " + t.SQL + " has no default operator class for access method \"hash\"",
			Hint: "Distribute by a column of another type, or define a hash operator class for the type."}
	}
	if key.TypMod == MixedTypMod {
		if key.TypeOID != OIDBpchar {
			return "", sql.Unsupported("cannot find the shard of a value by its colocation group alone",
				"The distribution columns of the group's tables have different precisions or lengths.", "")
		}
		key.SQLType = t.SQL
	}
	value := "(" + expr + ")::" + key.SQLType
	if c := s.Collations[key.Collation]; c != nil {
		value += " COLLATE " + c.SQL
	}
	return "pg_catalog.hash_record(ROW(" + value + "))", nil
}

// HashQuery is HashExpression with the type's own collation and no type modifier.
func (s *Snapshot) HashQuery(t *Type, expr string) (string, error) {
	return s.HashExpression(Key{TypeOID: t.OID, TypMod: -1, SQLType: t.SQL}, expr)
}
