package cluster

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/trunkline/trunkline/internal/cluster/ddl"
	"github.com/trunkline/trunkline/internal/localpg"
	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/internal/sql"
)

// everyKind makes an object of each kind that all nodes have, and changes it. $ROLE and $OTHER are roles of the test's own.
const everyKind = `
CREATE ROLE $ROLE LOGIN CREATEDB CONNECTION LIMIT 7 PASSWORD 'secret' VALID UNTIL '2100-01-01';
CREATE ROLE $OTHER NOINHERIT;
GRANT $OTHER TO $ROLE WITH ADMIN OPTION;
ALTER ROLE $ROLE SET search_path = s, public;
ALTER ROLE $ROLE IN DATABASE $DATABASE SET work_mem = '5MB';
COMMENT ON ROLE $OTHER IS 'other';
ALTER DATABASE $DATABASE SET default_statistics_target = 77;
ALTER DATABASE $DATABASE SET search_path = public, s;
GRANT TEMPORARY ON DATABASE $DATABASE TO $ROLE;
COMMENT ON DATABASE $DATABASE IS 'database';
CREATE SCHEMA s;
ALTER SCHEMA s OWNER TO $OTHER;
GRANT USAGE ON SCHEMA s TO $ROLE WITH GRANT OPTION;
COMMENT ON SCHEMA s IS 'schema';
CREATE EXTENSION pg_trgm SCHEMA s;
CREATE COLLATION s.bytes (LOCALE = 'C');
CREATE COLLATION s.plain (PROVIDER = icu, LOCALE = 'und', DETERMINISTIC = false);
COMMENT ON COLLATION s.plain IS 'collation';
CREATE TYPE s.mood AS ENUM ('sad', 'happy');
ALTER TYPE s.mood ADD VALUE 'ok' BEFORE 'happy';
ALTER TYPE s.mood OWNER TO $ROLE;
GRANT USAGE ON TYPE s.mood TO $OTHER WITH GRANT OPTION;
CREATE TYPE s.pair AS (a int, b text COLLATE "C");
ALTER TYPE s.pair ADD ATTRIBUTE m s.mood;
COMMENT ON COLUMN s.pair.a IS 'attribute';
CREATE DOMAIN s.positive AS int DEFAULT 3 NOT NULL CONSTRAINT above CHECK (VALUE > 0);
ALTER DOMAIN s.positive ADD CONSTRAINT below CHECK (VALUE < 1000) NOT VALID;
COMMENT ON CONSTRAINT above ON DOMAIN s.positive IS 'constraint';
COMMENT ON DOMAIN s.positive IS 'domain';
CREATE TYPE s.span AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = float8mi);
CREATE FUNCTION s.twice(n int DEFAULT 1) RETURNS int LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE COST 5 SET work_mem = '1MB' AS 'SELECT 2 * n';
ALTER FUNCTION s.twice SECURITY DEFINER;
REVOKE ALL ON FUNCTION s.twice FROM PUBLIC;
GRANT EXECUTE ON FUNCTION s.twice TO $ROLE WITH GRANT OPTION;
COMMENT ON FUNCTION s.twice IS 'function';
CREATE FUNCTION s.same(a s.pair, b s.pair) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT a.a = b.a';
CREATE PROCEDURE s.work(INOUT n int) LANGUAGE plpgsql AS 'BEGIN n := n + 1; END';
COMMENT ON PROCEDURE s.work IS 'procedure';
CREATE AGGREGATE s.total(int) (SFUNC = int4pl, STYPE = int, INITCOND = 0, COMBINEFUNC = int4pl, PARALLEL = safe);
COMMENT ON AGGREGATE s.total(int) IS 'aggregate';
CREATE FUNCTION s.difference(a s.pair, b s.pair) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT a.a - b.a';
CREATE FUNCTION s.less(a s.pair, b s.pair) RETURNS bool LANGUAGE sql IMMUTABLE AS 'SELECT a.a < b.a';
CREATE OPERATOR s.<<< (FUNCTION = s.less, LEFTARG = s.pair, RIGHTARG = s.pair, RESTRICT = scalarltsel);
CREATE OPERATOR s.=== (FUNCTION = s.same, LEFTARG = s.pair, RIGHTARG = s.pair, COMMUTATOR = OPERATOR(s.===), HASHES, MERGES);
COMMENT ON OPERATOR s.=== (s.pair, s.pair) IS 'operator';
ALTER OPERATOR s.=== (s.pair, s.pair) OWNER TO $ROLE;
CREATE OPERATOR FAMILY s.pairs USING hash;
CREATE FUNCTION s.hash_pair(s.pair) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT ($1).a';
CREATE FUNCTION s.hash_pair(s.pair, bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS 'SELECT ($1).a + $2';
CREATE OPERATOR CLASS s.pair_ops DEFAULT FOR TYPE s.pair USING hash FAMILY s.pairs AS OPERATOR 1 s.===, FUNCTION 1 s.hash_pair(s.pair);
ALTER OPERATOR FAMILY s.pairs USING hash ADD FUNCTION 2 s.hash_pair(s.pair, bigint);
COMMENT ON OPERATOR CLASS s.pair_ops USING hash IS 'class';
CREATE CAST (s.mood AS int) WITH INOUT AS ASSIGNMENT;
COMMENT ON CAST (s.mood AS int) IS 'cast';
CREATE DEFAULT CONVERSION s.conversion FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8;
CREATE TEXT SEARCH TEMPLATE s.template (LEXIZE = dsimple_lexize, INIT = dsimple_init);
CREATE TEXT SEARCH DICTIONARY s.dictionary (TEMPLATE = s.template, ACCEPT = false);
COMMENT ON TEXT SEARCH DICTIONARY s.dictionary IS 'dictionary';
CREATE TEXT SEARCH PARSER s.parser (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype, HEADLINE = prsd_headline);
CREATE TEXT SEARCH CONFIGURATION s.configuration (PARSER = s.parser);
ALTER TEXT SEARCH CONFIGURATION s.configuration ADD MAPPING FOR word, asciiword WITH s.dictionary, english_stem;
CREATE ACCESS METHOD method_$DATABASE TYPE TABLE HANDLER heap_tableam_handler;
CREATE FOREIGN DATA WRAPPER wrapper_$DATABASE OPTIONS (a 'b');
CREATE SERVER server_$DATABASE TYPE 't' VERSION '1' FOREIGN DATA WRAPPER wrapper_$DATABASE OPTIONS (host 'x', "odd name" 'it''s');
GRANT USAGE ON FOREIGN SERVER server_$DATABASE TO $ROLE;
CREATE USER MAPPING FOR $ROLE SERVER server_$DATABASE OPTIONS (password 'p');
CREATE USER MAPPING FOR PUBLIC SERVER server_$DATABASE;
CREATE FUNCTION s.from_mood(internal) RETURNS internal LANGUAGE internal IMMUTABLE AS 'boolin';
CREATE TRANSFORM FOR s.pair LANGUAGE plpgsql (FROM SQL WITH FUNCTION s.from_mood(internal));
ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO $ROLE;
ALTER DEFAULT PRIVILEGES FOR ROLE $OTHER IN SCHEMA s GRANT EXECUTE ON FUNCTIONS TO $ROLE WITH GRANT OPTION;
ALTER DEFAULT PRIVILEGES FOR ROLE $OTHER REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
CREATE POLICY reading ON kinds FOR SELECT TO $ROLE USING (id > 0);
ALTER TABLE kinds ENABLE ROW LEVEL SECURITY;
CREATE STATISTICS s.kinds_statistics (ndistinct) ON id, name FROM kinds;
GRANT SELECT (name) ON kinds TO $OTHER;
COMMENT ON TABLE kinds IS 'table';
COMMENT ON COLUMN kinds.name IS 'column';
CREATE INDEX kinds_by_name ON kinds (name) INCLUDE (id) WHERE id > 5;
COMMENT ON INDEX kinds_by_name IS 'index'`

// TestObjectsOnNewNodes makes an object of every kind while there is one worker, adds another, and compares what pg_dump says of all nodes.
func TestObjectsOnNewNodes(t *testing.T) {
	t.Parallel()
	f := newFixtureOf(t, 1)
	role, other := f.role(), "other_"+f.role()
	t.Cleanup(func() {
		for _, server := range f.servers {
			if err := pgtest.Exec(f.ctx(), server.DSN(f.db), fmt.Sprintf("DROP OWNED BY %[1]s, %[2]s CASCADE; DROP ROLE %[1]s, %[2]s", role, other)); err != nil {
				t.Errorf("dropping the roles: %v", err)
			}
		}
	})
	f.exec("CREATE TABLE kinds (id int PRIMARY KEY, name text); INSERT INTO kinds VALUES (1, 'one')")
	f.call("create_reference_table", "table_name", "kinds")
	names := strings.NewReplacer("$ROLE", role, "$OTHER", other, "$DATABASE", f.db)
	for _, text := range strings.Split(strings.TrimSpace(names.Replace(everyKind)), ";\n") {
		text = strings.TrimSuffix(text, ";")
		parsed, err := sql.Parse(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		if !ddl.Classify(parsed[0].Tree, f.snap, f.path, nil) {
			t.Errorf("%s stays on the coordinator", text)
		}
		f.ddl(text)
	}
	f.addServer(f.servers[2])
	want := f.schemaOf(0)
	for i := range f.servers[1:] {
		if got := f.schemaOf(i + 1); got != want {
			t.Errorf("node %d differs:\n%s", i+1, difference(want, got))
		}
	}
	const roles = `SELECT r.rolname, r.rolcreatedb, r.rolinherit, r.rolcanlogin, r.rolconnlimit, r.rolvaliduntil, r.rolpassword, shobj_description(r.oid, 'pg_authid'),
		array(SELECT (roleid::regrole, admin_option) FROM pg_auth_members WHERE member = r.oid), array(SELECT setconfig FROM pg_db_role_setting WHERE setrole = r.oid AND setdatabase = 0)
		FROM pg_authid r WHERE r.rolname IN ('%s', '%s') ORDER BY 1`
	for i := range f.servers[1:] {
		sameRows(t, f.on(i+1, fmt.Sprintf(roles, role, other)), f.on(0, fmt.Sprintf(roles, role, other)))
	}
	for class, least := range map[string]int{"pg_type": 4, "pg_proc": 8, "pg_operator": 2, "pg_opclass": 1, "pg_opfamily": 1, "pg_cast": 1, "pg_collation": 2, "pg_namespace": 2,
		"pg_extension": 1, "pg_authid": 2, "pg_class": 1, "pg_ts_config": 1, "pg_ts_dict": 1, "pg_ts_parser": 1, "pg_ts_template": 1, "pg_foreign_server": 1, "pg_am": 1, "pg_conversion": 1} {
		query := fmt.Sprintf("SELECT count(*) >= %d FROM trunkline.pg_dist_object WHERE classid = '%s'::regclass", least, class)
		if f.one(query) != "t" {
			t.Errorf("pg_dist_object lacks objects of %s", class)
		}
	}
}

func TestDistributedFunction(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.exec(`CREATE TABLE d (k int PRIMARY KEY); CREATE TABLE words (w text PRIMARY KEY);
		CREATE FUNCTION f(OUT x int, a text, k int DEFAULT 1) LANGUAGE sql AS 'SELECT k'; CREATE FUNCTION g() RETURNS int LANGUAGE sql AS 'SELECT 1'`) // on the coordinator alone
	f.call("create_distributed_table", "table_name", "d", "distribution_column", "k")
	function := func(signature string) json.Number {
		return json.Number(f.one("SELECT '" + signature + "'::regprocedure::oid::bigint"))
	}
	recorded := func() string {
		return f.one("SELECT string_agg(objid::regprocedure || ' ' || concat_ws(' ', distribution_argument_index, colocationid IS NOT NULL, force_delegation), ', ' ORDER BY objid) FROM trunkline.pg_dist_object WHERE classid = 'pg_proc'::regclass")
	}
	f.call("create_distributed_function", "function_name", function("f(text, int)"), "distribution_arg_name", "k", "force_delegation", true)
	f.call("create_distributed_function", "function_name", function("g()"))
	if got := recorded(); got != "f(text,integer) 1 t t, g() f" {
		t.Errorf("recorded are %s", got)
	}
	if got := f.everywhere("SELECT f('a', 7), g()"); len(got) != 3 || got[2][0] != "7" {
		t.Errorf("the nodes' functions give %v", got)
	}
	f.call("create_distributed_function", "function_name", function("f(text, int)"), "distribution_arg_name", "$2", "colocate_with", "d")
	_, err := f.tryCall("create_distributed_function", "function_name", function("f(text, int)"), "distribution_arg_name", "x")
	fails(t, err, "42703", "no argument")
	_, err = f.tryCall("create_distributed_function", "function_name", function("f(text, int)"), "distribution_arg_name", "a")
	fails(t, err, "42P16", "text")
	_, err = f.tryCall("create_distributed_function", "function_name", function("f(text, int)"), "distribution_arg_name", "a", "colocate_with", "d")
	fails(t, err, "42P16", "cannot colocate")
	f.ddl("DROP FUNCTION f")
	if got := recorded(); got != "g() f" {
		t.Errorf("recorded are %s", got)
	}
}

// dumpNoise is what differs from one pg_dump to the next.
var dumpNoise = regexp.MustCompile(`(?m)^(--.*|\\(un)?restrict .*)?\n`)

// schemaOf gives the definitions of all that one server's database has, without what is Trunkline's own.
func (f *fixture) schemaOf(server int) string {
	f.t.Helper()
	programs, err := localpg.Find(f.ctx(), os.Getenv("TRUNKLINE_PG_BIN"))
	if err != nil {
		f.t.Fatal(err)
	}
	out, err := exec.CommandContext(f.ctx(), programs.Path("pg_dump"), "--schema-only", "--create", "--exclude-schema=trunkline*", "--exclude-schema=citus",
		"--exclude-schema=public_*", "--dbname="+f.servers[server].DSN(f.db)).CombinedOutput()
	if err != nil {
		f.t.Fatalf("pg_dump: %v\n%s", err, out)
	}
	return dumpNoise.ReplaceAllString(string(out), "")
}

// difference gives the lines that only one of two texts has.
func difference(want, got string) string {
	var out strings.Builder
	for _, side := range []struct{ mark, text, other string }{{"-", want, got}, {"+", got, want}} {
		others := map[string]bool{}
		for _, line := range strings.Split(side.other, "\n") {
			others[line] = true
		}
		for _, line := range strings.Split(side.text, "\n") {
			if !others[line] {
				fmt.Fprintln(&out, side.mark, line)
			}
		}
	}
	return out.String()
}
