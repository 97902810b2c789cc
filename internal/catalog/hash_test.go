package catalog

import (
	"encoding/hex"
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trunkline/trunkline/internal/sql"
)

// hashCases gives, by type, texts whose hash Go must know.
func hashCases() map[uint32][]string {
	random := rand.New(rand.NewPCG(1, 2))
	cases := map[uint32][]string{
		OIDInt2:      {"0", "-1", "32767", "-32768", "+7", " 12 ", "007"},
		OIDInt4:      {"0", "-1", "2147483647", "-2147483648", "+7", " 12 ", "-0"},
		OIDInt8:      {"0", "-1", "9223372036854775807", "-9223372036854775808", "4294967296", "-4294967296"},
		OIDOid:       {"0", "4294967295", "16384"},
		OIDText:      {"", "a", " a ", "é", "日本語", "O'Brien", `back\slash`, "abcdefghijk", "abcdefghijkl", "abcdefghijklm"},
		OIDVarchar:   {"", "trailing  "},
		OIDBpchar:    {"", "trailing  ", "   "},
		OIDName:      {"", "pg_class", strings.Repeat("x", 63)},
		OIDChar:      {"a", "~", "1"},
		OIDUUID:      {"00000000-0000-0000-0000-000000000000", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"},
		OIDBool:      {"t", "f", "true", "FALSE", "yes", "no", "on", "off", "1", "0", "y", "n"},
		OIDBytea:     {`\x`, `\x00`, `\xDEADbeef`},
		OIDDate:      {"2000-01-01", "1999-12-31", "0001-01-01", "9999-12-31", "2024-02-29", "1900-03-01", "1582-10-10"},
		OIDTime:      {"00:00:00", "23:59:59.999999", "12:34:56.7"},
		OIDTimestamp: {"2000-01-01 00:00:00", "1999-12-31 23:59:59.999999", "2024-02-29T12:00:00.5", "0001-01-01 00:00:00", "2024-05-06"},
		OIDTimestamptz: {"2000-01-01 00:00:00+00", "2024-06-01 12:00:00.123456-07", "2024-06-01 12:00:00+05:30", "2024-06-01 12:00:00Z",
			"1969-07-20 20:17:40.1+01"},
		OIDNumeric: {"0", "0.000", "-0", "1", "10", "100", "1000", "10000", "100000", "1.0", "1.10", "-1.1", "0.0001", "0.00001", "123456789.987654321",
			"00012", ".5", "5.", "99999999999999999999999999", "-0.5", "1000000000000", "0.00000000000001"},
		OIDFloat8: {"0", "-0", "1", "-1.5", "1e300", "0.1", "123456789.123456789", "1e-300", ".5", "5."},
		OIDFloat4: {"0", "-0", "1", "-1.5", "1e30", "0.1", "16777217", "3.4028235e38"},
	}
	add := func(oid uint32, text string) { cases[oid] = append(cases[oid], text) }
	for i := range 1500 {
		v := random.Int64() >> random.IntN(64)
		if random.IntN(2) == 0 {
			v = -v
		}
		add(OIDInt8, strconv.FormatInt(v, 10))
		add(OIDInt4, strconv.Itoa(int(int32(v))))
		add(OIDInt2, strconv.Itoa(int(int16(v))))
		add(OIDOid, strconv.Itoa(int(uint32(v))))
		text := make([]byte, i%100)
		for j := range text {
			text[j] = byte(' ' + random.IntN(95))
		}
		add(OIDText, string(text))
		add(OIDVarchar, string(text)+"ü")
		add(OIDBpchar, string(text)+strings.Repeat(" ", i%5))
		var raw [16]byte
		for j := range raw {
			raw[j] = byte(random.Uint32())
		}
		add(OIDBytea, `\x`+hex.EncodeToString(raw[:i%17]))
		add(OIDUUID, fmt.Sprintf("%x-%x-%x-%x-%x", raw[:4], raw[4:6], raw[6:8], raw[8:10], raw[10:]))
		at := time.Date(1+random.IntN(9998), 1, 1, 0, 0, 0, random.IntN(1e9), time.UTC).AddDate(0, 0, random.IntN(366)).Add(time.Duration(random.IntN(86400)) * time.Second)
		add(OIDDate, at.Format("2006-01-02"))
		add(OIDTime, at.Format("15:04:05.999999"))
		add(OIDTimestamp, at.Format("2006-01-02 15:04:05.999999"))
		add(OIDTimestamptz, at.In(time.FixedZone("", (random.IntN(24)-12)*3600)).Format("2006-01-02 15:04:05.999999-07"))
		add(OIDFloat8, strconv.FormatFloat(math.Exp(random.Float64()*1000-500)*float64(1-2*(i%2)), 'g', -1, 64))
		add(OIDFloat4, strconv.FormatFloat(math.Exp(random.Float64()*160-80), 'g', -1, 32))
		number := strconv.FormatUint(random.Uint64()>>random.IntN(64), 10)
		number += strings.Repeat("0", random.IntN(9))
		if cut := random.IntN(len(number) + 1); i%2 == 0 {
			number = number[:cut] + "." + number[cut:]
		}
		add(OIDNumeric, number)
	}
	return cases
}

// TestHashAgainstServer compares every hash with PostgreSQL's own, for the text form and for the binary one.
func TestHashAgainstServer(t *testing.T) {
	t.Parallel()
	conn := coordinator(t)
	snapshot, err := Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	for oid, texts := range hashCases() {
		typ := snapshot.Types[oid]
		quoted := make([]string, len(texts))
		for i, text := range texts {
			quoted[i] = sql.QuoteLiteral(text)
		}
		expression, err := snapshot.HashQuery(typ, "v")
		if err != nil {
			t.Fatal(err)
		}
		send := typ.Name + "send"
		switch typ.Name {
		case "uuid", "date", "time", "timestamp", "timestamptz", "numeric":
			send = typ.Name + "_send"
		case "oid":
			send = "oidsend"
		}
		rows := exec(t, conn, fmt.Sprintf("SELECT %s, %s(v::%s) FROM unnest(ARRAY[%s]) WITH ORDINALITY AS _(v, n) ORDER BY n",
			expression, send, typ.SQL, strings.Join(quoted, ", ")))
		for i, text := range texts {
			want, binary := rows[i][0], rows[i][1]
			if got, ok := HashText(oid, text); !ok || strconv.Itoa(int(got)) != want {
				t.Errorf("%s %q: hash of text is %d (%v), not %s", typ.SQL, text, got, ok, want)
			}
			data, _ := hex.DecodeString(strings.TrimPrefix(binary, `\x`))
			if got, ok, err := HashBinary(oid, data); err != nil || !ok || strconv.Itoa(int(got)) != want {
				t.Errorf("%s %q: hash of binary is %d (%v, %v), not %s", typ.SQL, text, got, ok, err, want)
			}
		}
	}
	// Binary values without a text form that Go reads.
	for text, oid := range map[string]uint32{"NaN": OIDFloat8, "Infinity": OIDFloat8, "infinity": OIDDate, "-infinity": OIDTimestamp} {
		want := one(t, conn, fmt.Sprintf("SELECT hash_record(ROW('%s'::%s))", text, snapshot.Types[oid].SQL))
		name := map[uint32]string{OIDFloat8: "float8send", OIDDate: "date_send", OIDTimestamp: "timestamp_send"}[oid]
		data, _ := hex.DecodeString(strings.TrimPrefix(one(t, conn, fmt.Sprintf("SELECT %s('%s')", name, text)), `\x`))
		if got, ok, err := HashBinary(oid, data); err != nil || !ok || strconv.Itoa(int(got)) != want {
			t.Errorf("%s: hash is %d, not %s", text, got, want)
		}
	}
}

// TestHashTextLeavesToServer lists texts whose meaning is not Go's to decide.
func TestHashTextLeavesToServer(t *testing.T) {
	t.Parallel()
	for oid, texts := range map[uint32][]string{
		OIDInt4:        {"", "x", "2147483648", "1.0", "1e3", "0x10", "1_000", "--1", "+-1", "1 2"},
		OIDInt2:        {"32768"},
		OIDInt8:        {"9223372036854775808"},
		OIDOid:         {"-1", "4294967296"},
		OIDName:        {strings.Repeat("x", 64)},
		OIDChar:        {"", "ab", "é"},
		OIDUUID:        {"{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}", "a0eebc999c0b4ef8bb6d6bb9bd380a11", "g0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
		OIDBool:        {"tru", "", "2"},
		OIDBytea:       {"abc", `\xa`, `\x zz`, `\000`},
		OIDDate:        {"2023-02-29", "01/02/2024", "2024-1-1", "infinity", "0000-01-01", "2024-01-01 BC", "2024-13-01", "2024-01-01x", "20240101", "today"},
		OIDTime:        {"24:00:00", "12:00", "12:60:00", "12:00:60", "12:00:00 PM", "12:00:00.1234567"},
		OIDTimestamp:   {"2024-01-01 12:00:00+01", "2024-01-01 24:00:00", "2024-01-01 12:00", "now", "2024-01-01 12:00:00.0000001"},
		OIDTimestamptz: {"2024-01-01 12:00:00", "2024-01-01 12:00:00 Europe/Paris", "2024-01-01+02", "2024-01-01Z", "2024-01-01", "2024-01-01 12:00:00+5"},
		OIDNumeric:     {"", ".", "1e5", "NaN", "Infinity", "1,0", "0x1", "--1"},
		OIDFloat8:      {"", "nan", "inf", "1e400", "1e-400", "0x1p3", "1_0", "."},
		OIDFloat4:      {"1e39", "1e-46"},
		114:            {"{}"},
	} {
		for _, text := range texts {
			if hash, ok := HashText(oid, text); ok {
				t.Errorf("type %d: %q has hash %d", oid, text, hash)
			}
		}
	}
}

// TestHashBinaryRefuses feeds values of a wrong width.
func TestHashBinaryRefuses(t *testing.T) {
	t.Parallel()
	for _, oid := range []uint32{OIDInt4, OIDInt8, OIDInt2, OIDUUID, OIDBool, OIDChar, OIDNumeric, OIDFloat4} {
		if _, _, err := HashBinary(oid, []byte{1, 2, 3}); err == nil {
			t.Errorf("type %d: three bytes were accepted", oid)
		}
	}
}

// TestKeys checks the hash of what a column of some type would store, by Go where it may and by the expression it hands out.
func TestKeys(t *testing.T) {
	t.Parallel()
	conn := coordinator(t)
	exec(t, conn, `
		CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
		CREATE DOMAIN cents AS numeric(10,2) CHECK (VALUE > 0);
		CREATE DOMAIN cents2 AS cents;
		CREATE DOMAIN word AS text COLLATE nocase;
		CREATE TYPE mood AS ENUM ('sad', 'happy');
		CREATE TYPE pair AS (a int, b text);
		CREATE TABLE keys (c1 numeric(10,2), c2 cents2, c3 text COLLATE nocase, c4 word, c5 varchar(3), c6 char(5), c7 timestamp(0), c8 mood, c9 date,
			c10 bytea, c11 int[], c12 pair, c13 int4range, c14 inet, c15 jsonb, c16 interval, c17 timetz, c18 numeric(3,-1), c19 text COLLATE "C", c20 bool, c22 xid8, c23 macaddr, c24 json)`)
	s, err := Load(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]struct {
		texts string // separated by |
		inGo  bool
	}{
		"c1": {"1|1.5|12.34", true}, "c2": {"1|1.50", true}, "c3": {"abc|ABC", false}, "c4": {"abc|ABC", false}, "c5": {"ab|abc", true},
		"c6": {"ab|ab  ", true}, "c7": {"2024-01-01 10:00:00", true}, "c8": {"sad|happy", false}, "c9": {"2024-01-01", true}, "c10": {`\xab`, true},
		"c11": {"{1,2}", false}, "c12": {"(1,x)", false}, "c13": {"[1,5)", false}, "c14": {"10.0.0.1", false}, "c15": {`{"a": 1}`, false},
		"c16": {"1 day|24:00:00", false}, "c17": {"10:00:00+01", false}, "c18": {"15", false}, "c19": {"abc", true}, "c20": {"t|f", true},
		"c21": {"$1.00", false}, "c22": {"12", false}, "c23": {"08:00:2b:01:02:03", false},
	}
	rounded := map[string]string{"c1": "1.005", "c2": "1.005", "c5": "abc  ", "c7": "2024-01-01 10:00:00.6"}
	r := s.Relations[Name{"public", "keys"}]
	for i, c := range r.Columns {
		r := *r
		r.DistColumn = i
		key, _ := r.Key()
		expression, err := s.HashExpression(key, "v")
		if fn := s.Types[c.TypeOID].HashFunction; fn != "" {
			one(t, conn, fmt.Sprintf("SELECT %s(NULL::%s) IS NULL", fn, c.SQLType)) // it can be called
		}
		if c.Name == "c24" {
			if err == nil {
				t.Error("json can be hashed")
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		stored := func(text string) string {
			exec(t, conn, fmt.Sprintf("TRUNCATE keys; INSERT INTO keys (%s) VALUES (%s)", c.Name, sql.QuoteLiteral(text)))
			return one(t, conn, fmt.Sprintf("SELECT hash_record(ROW(%s)) FROM keys", c.Name))
		}
		for _, text := range strings.Split(values[c.Name].texts, "|") {
			want := stored(text)
			if got := one(t, conn, fmt.Sprintf("SELECT %s FROM (SELECT %s) _(v)", expression, sql.QuoteLiteral(text))); got != want {
				t.Errorf("%s %q: hash of the expression is %s, not %s", c.Name, text, got, want)
			}
			got, ok := s.HashText(key, text)
			if ok != values[c.Name].inGo || ok && strconv.Itoa(int(got)) != want {
				t.Errorf("%s %q: hash in Go is %d (%v), not %s", c.Name, text, got, ok, want)
			}
		}
		if text, has := rounded[c.Name]; has {
			if _, ok := s.HashText(key, text); ok {
				t.Errorf("%s: Go takes %q as it is", c.Name, text)
			}
			if got, want := one(t, conn, fmt.Sprintf("SELECT %s FROM (SELECT %s) _(v)", expression, sql.QuoteLiteral(text))), stored(text); got != want {
				t.Errorf("%s %q: hash of the expression is %s, not %s", c.Name, text, got, want)
			}
		}
	}
	exec(t, conn, `CREATE TABLE m1 (k varchar(5)); CREATE TABLE m2 (k varchar(9));
		SELECT trunkline_internal.create_colocation('{1,1}', 'varchar'::regtype, 100);
		SELECT trunkline_internal.add_table('m1'::regclass, 'k', 1); SELECT trunkline_internal.add_table('m2'::regclass, 'k', 1)`)
	if s, err = Load(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	mixed := s.Colocations[1].Key()
	if _, ok := s.HashText(mixed, "abcdefg"); !ok || mixed.TypMod != MixedTypMod {
		t.Errorf("mixed type modifiers: %+v", mixed)
	}
	if _, ok := s.HashText(mixed, "abcde   "); ok {
		t.Error("a value that some tables would shorten was hashed as it is")
	}
	if _, err := s.HashExpression(mixed, "'a'"); err == nil {
		t.Error("an expression was made for mixed type modifiers")
	}
	for _, column := range []string{"c3", "c4"} {
		if n := one(t, conn, fmt.Sprintf("SELECT count(DISTINCT hash_record(ROW(v::%s COLLATE nocase))) FROM unnest(ARRAY['abc', 'ABC']) v", "text")); n != "1" {
			t.Errorf("%s: equal strings hash to %s values", column, n)
		}
	}
}

func BenchmarkHashText(b *testing.B) {
	for name, c := range map[string]struct {
		oid  uint32
		text string
	}{"int8": {OIDInt8, "123456789012"}, "text": {OIDText, "a tenant's name"}, "uuid": {OIDUUID, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"}} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				HashText(c.oid, c.text)
			}
		})
	}
}
