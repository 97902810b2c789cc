package ddl

import (
	"testing"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

func TestClassify(t *testing.T) {
	relation := func(schema, name string, oid uint32, kind catalog.Kind) *catalog.Relation {
		return &catalog.Relation{OID: oid, Schema: schema, Name: name, RelKind: 'r', Kind: kind}
	}
	grown := &catalog.Snapshot{Relations: map[catalog.Name]*catalog.Relation{}, Nodes: []catalog.Node{{GroupID: 0, Active: true}, {GroupID: 1, Active: true}}}
	for _, r := range []*catalog.Relation{relation("public", "orders", 1, catalog.Distributed), relation("s", "kinds", 2, catalog.Reference), relation("public", "plain", 3, catalog.Local)} {
		grown.Relations[catalog.Name{Schema: r.Schema, Name: r.Name}] = r
	}
	alone := &catalog.Snapshot{Relations: map[catalog.Name]*catalog.Relation{}, Nodes: []catalog.Node{{GroupID: 0, Active: true}}}
	temp := map[string]bool{"kinds": true}
	for text, want := range map[string]bool{
		"CREATE INDEX ON orders (a)":                               true,
		"CREATE INDEX ON plain (a)":                                false,
		"CREATE INDEX ON s.kinds (a)":                              true,
		"CREATE INDEX ON kinds (a)":                                false, // the temporary table
		"DROP INDEX some_index":                                    true,  // it may belong to any table
		"DROP TABLE plain, orders":                                 true,
		"DROP TABLE plain":                                         false,
		"DROP VIEW v":                                              false,
		"CREATE TABLE t (a int REFERENCES orders)":                 false,
		"CREATE TABLE t PARTITION OF orders FOR VALUES IN (1)":     true,
		"CREATE TEMP TABLE t () INHERITS (orders)":                 false,
		"ALTER TABLE orders ADD a int":                             true,
		"ALTER TABLE plain ADD a int":                              false,
		"ALTER TABLE plain ATTACH PARTITION orders DEFAULT":        true,
		"ALTER TABLE plain INHERIT orders":                         true,
		"ALTER TABLE orders RENAME a TO b":                         true,
		"ALTER VIEW v RENAME TO w":                                 false,
		"ALTER SEQUENCE q RENAME TO w":                             false,
		"ALTER SCHEMA s RENAME TO w":                               true,
		"ALTER TYPE ty ADD ATTRIBUTE a int":                        true,
		"ALTER TABLE plain OWNER TO someone":                       false,
		"TRUNCATE plain, s.kinds":                                  true,
		"LOCK TABLE plain":                                         false,
		"COMMENT ON COLUMN orders.a IS 'x'":                        true,
		"COMMENT ON COLUMN plain.a IS 'x'":                         false,
		"COMMENT ON VIEW v IS 'x'":                                 false,
		"COMMENT ON TYPE ty IS 'x'":                                true,
		"GRANT SELECT ON orders TO PUBLIC":                         true,
		"GRANT SELECT ON plain TO PUBLIC":                          false,
		"GRANT USAGE ON SEQUENCE q TO PUBLIC":                      false,
		"GRANT EXECUTE ON FUNCTION f() TO PUBLIC":                  true,
		"GRANT a TO b":                                             true,
		"CREATE ROLE r":                                            true,
		"CREATE TYPE ty AS ENUM ('a')":                             true,
		"CREATE TYPE pg_temp.ty AS (a int)":                        false,
		"CREATE FUNCTION pg_temp.f() RETURNS int RETURN 1":         false,
		"CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'select'": true,
		"ALTER DATABASE a RENAME TO b":                             false,
		"ALTER DATABASE a SET work_mem = '1MB'":                    true,
		"CREATE EXTENSION hstore":                                  true,
		"CREATE ACCESS METHOD m TYPE TABLE HANDLER h":              true,
		"VACUUM":                                true,
		"VACUUM plain":                          false,
		"ANALYZE orders (a)":                    true,
		"REINDEX TABLE orders":                  true,
		"REFRESH MATERIALIZED VIEW m":           false,
		"CREATE VIEW v AS SELECT 1":             false,
		"CREATE PUBLICATION p FOR TABLE orders": true,
		"DROP POLICY p ON orders":               true,
		"DROP POLICY p ON plain":                false,
	} {
		parsed, err := sql.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if got := Classify(parsed[0].Tree, grown, []string{"public"}, temp); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
		if Classify(parsed[0].Tree, alone, []string{"public"}, temp) {
			t.Errorf("%s concerns other nodes where there are none", text)
		}
	}
}
