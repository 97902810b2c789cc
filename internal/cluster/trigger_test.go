package cluster

import (
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

const triggerFunctions = `
CREATE FUNCTION tidy() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := upper(NEW.name); NEW.n := coalesce(NEW.n, 0) + 1; RETURN NEW; END $$;
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  RAISE NOTICE '% % % % %', TG_NAME, TG_OP, TG_WHEN, to_jsonb(NEW), TG_ARGV[0]; RETURN NULL; END $$;
CREATE FUNCTION forbid() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no % of %', TG_OP, OLD.id USING ERRCODE = 'check_violation', HINT = 'Keep it.'; END $$;
CREATE FUNCTION skip() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE FUNCTION elsewhere() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.id := NEW.id + 1000; RETURN NEW; END $$`

const triggersOf = `
CREATE TRIGGER tidy BEFORE INSERT OR UPDATE OF name ON %s FOR EACH ROW EXECUTE FUNCTION tidy();
CREATE TRIGGER tell AFTER INSERT OR UPDATE ON %s FOR EACH ROW WHEN (NEW.n > 5) EXECUTE FUNCTION tell('big');
CREATE CONSTRAINT TRIGGER told AFTER UPDATE OF n ON %s DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION tell('late');
CREATE TRIGGER keep AFTER DELETE ON %s FOR EACH ROW WHEN (lower(OLD.name) = 'keep') EXECUTE FUNCTION forbid();
CREATE TRIGGER skipped BEFORE INSERT ON %s FOR EACH ROW WHEN (NEW.name = 'none') EXECUTE FUNCTION skip();
CREATE TRIGGER off BEFORE INSERT ON %s FOR EACH ROW EXECUTE FUNCTION forbid();
ALTER TABLE %s DISABLE TRIGGER off;
COMMENT ON TRIGGER tidy ON %s IS 'tidies'`

// changes are statements on the row with one id, with %s for the table.
var changes = []string{
	"INSERT INTO %s VALUES (%d, 'a', 1)", "INSERT INTO %s VALUES (%d, 'keep', 8)", "INSERT INTO %s VALUES (%d, 'none', 1)",
	"UPDATE %s SET n = n + 3 WHERE id = %d", "UPDATE %s SET name = 'b' || name, n = 20 WHERE id = %d AND lower(name) <> 'keep'", "DELETE FROM %s WHERE id = %d",
}

// ddls carries out several statements.
func (f *fixture) ddls(text string) {
	f.t.Helper()
	statements, err := sql.Parse(text)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, statement := range statements {
		f.ddl(statement.Text)
	}
}

// shardOf gives the server and the name of the shard of a table in which an int distribution value belongs.
func (f *fixture) shardOf(table string, value int) (int, string) {
	f.t.Helper()
	var hash int32
	fmt.Sscan(f.one(fmt.Sprintf("SELECT hashint4(%d)", value)), &hash)
	r := f.snap.Relations[catalog.Name{Schema: "public", Name: table}]
	for _, g := range f.snap.Colocations[r.ColocationID].Groups {
		if g.Min <= hash && hash <= g.Max {
			return int(g.GroupID), qualify(catalog.ShardSchema("public", g.ID), table)
		}
	}
	f.t.Fatalf("no shard of %s takes %d", table, value)
	return 0, ""
}

// outcome runs a statement on a server and gives its tag, notices and error.
func (f *fixture) outcome(server int, text string) string {
	f.t.Helper()
	config, err := pgconn.ParseConfig(f.servers[server].DSN(f.db))
	if err != nil {
		f.t.Fatal(err)
	}
	var got []string
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { got = append(got, n.Message) }
	conn, err := pgconn.ConnectConfig(f.ctx(), config)
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close(f.ctx())
	results, err := conn.Exec(f.ctx(), text).ReadAll()
	for _, r := range results {
		got = append(got, r.CommandTag.String())
	}
	if e, ok := err.(*pgconn.PgError); ok {
		got = append(got, e.Code+" "+e.Message+" "+e.Hint)
	} else if err != nil {
		f.t.Fatal(err)
	}
	return strings.Join(got, "\n")
}

// sameBehaviour makes the same changes to a plain table and to the shards of a distributed one.
func (f *fixture) sameBehaviour(plain, distributed string) {
	f.t.Helper()
	f.on(0, "TRUNCATE "+plain)
	f.ddl("TRUNCATE " + distributed)
	for id := 1; id <= 12; id++ {
		server, shard := f.shardOf(distributed, id)
		for _, change := range changes[id%3:] {
			want := f.outcome(0, fmt.Sprintf(change, plain, id))
			got := strings.ReplaceAll(f.outcome(server, fmt.Sprintf(change, shard, id)), distributed+"_pkey", plain+"_pkey")
			if got != want {
				f.t.Errorf("%s: %q, want %q", fmt.Sprintf(change, shard, id), got, want)
			}
		}
	}
	want := f.on(0, "SELECT * FROM "+plain)
	if len(want) == 0 {
		f.t.Error("no rows were left to compare")
	}
	sameRows(f.t, f.shards(distributed, "SELECT * FROM %s"), want)
}

func TestTriggers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.ddls(triggerFunctions)
	f.exec(`CREATE TABLE plain (id int PRIMARY KEY, name text, n int); CREATE TABLE late (LIKE plain INCLUDING ALL); CREATE TABLE early (LIKE plain INCLUDING ALL)`)
	f.exec(strings.ReplaceAll(triggersOf, "%s", "plain"))
	// Triggers that come after the table is distributed.
	f.call("create_distributed_table", "table_name", "late", "distribution_column", "id")
	f.ddls(strings.TrimSpace(strings.ReplaceAll(triggersOf, "%s", "late")))
	f.sameDefinition("late")
	f.sameBehaviour("plain", "late")
	// Triggers that come with it. They do not fire for rows that were there.
	f.exec("INSERT INTO early SELECT i, 'x', 9 FROM generate_series(1, 50) i")
	f.exec(strings.ReplaceAll(triggersOf, "%s", "early"))
	rows := f.exec("SELECT * FROM early")
	f.call("create_distributed_table", "table_name", "early", "distribution_column", "id")
	f.sameDefinition("early")
	sameRows(t, f.shards("early", "SELECT * FROM %s"), rows)
	f.ddl("ALTER TABLE early ADD COLUMN s serial")
	f.ddl("ALTER TABLE early DROP COLUMN s")
	sameRows(t, f.shards("early", "SELECT * FROM %s"), rows)
	f.call("alter_distributed_table", "table_name", "early", "shard_count", 6)
	f.sameDefinition("early")
	sameRows(t, f.shards("early", "SELECT * FROM %s"), rows)
	state := "SELECT tgname, tgenabled, pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'early'::regclass AND NOT tgisinternal"
	before := f.exec(state)
	f.call("undistribute_table", "table_name", "early")
	sameRows(t, f.exec("SELECT * FROM early"), rows)
	sameRows(t, f.exec(state), before)
	f.call("create_distributed_table", "table_name", "early", "distribution_column", "id")
	f.sameBehaviour("plain", "early")
	// What changes triggers.
	for _, statement := range []string{
		"DROP TRIGGER tidy ON %s", "DROP TRIGGER IF EXISTS tidy ON %s", "ALTER TRIGGER tell ON %s RENAME TO told_first",
		"ALTER TABLE %s DISABLE TRIGGER told", "ALTER TABLE %s DISABLE TRIGGER USER", "ALTER TABLE %s ENABLE TRIGGER ALL", "ALTER TABLE %s DISABLE TRIGGER off",
		"ALTER TABLE %s ENABLE REPLICA TRIGGER keep", "ALTER TABLE %s ENABLE ALWAYS TRIGGER keep", "ALTER TABLE %s DISABLE TRIGGER ALL", "ALTER TABLE %s ENABLE TRIGGER USER",
		"ALTER TABLE %s DISABLE TRIGGER off", "CREATE OR REPLACE TRIGGER told_first BEFORE UPDATE ON %s FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION tidy()",
		"ALTER TABLE %s RENAME COLUMN name TO title", "ALTER TABLE %s RENAME COLUMN title TO name", "DROP FUNCTION tidy CASCADE",
	} {
		if !strings.HasPrefix(statement, "DROP FUNCTION") {
			f.exec(strings.ReplaceAll(statement, "%s", "plain"))
		}
		f.ddl(strings.ReplaceAll(statement, "%s", "early"))
		if f.sameDefinition("early"); t.Failed() {
			t.Fatalf("after %s", statement)
		}
	}
	f.sameBehaviour("plain", "early")
	if got := f.exec("SELECT tgenabled FROM pg_trigger WHERE tgname = 'trunkline_shell' AND tgrelid = 'early'::regclass"); fmt.Sprint(got) != "[[O]]" {
		t.Errorf("the shell's guard is %v", got)
	}
	// A row cannot leave its shard.
	f.ddl("CREATE TRIGGER moves BEFORE INSERT OR UPDATE ON late FOR EACH ROW EXECUTE FUNCTION elsewhere()")
	refused := 0
	for id := 100; id < 120; id++ {
		server, shard := f.shardOf("late", id)
		_, other := f.shardOf("late", id+1000)
		got := f.outcome(server, fmt.Sprintf("INSERT INTO %s VALUES (%d, 'a', 1)", shard, id))
		if (shard == other) != (got == "INSERT 0 1") || shard != other && !strings.HasPrefix(got, "0A000 a trigger of distributed table \"late\" changed") {
			t.Errorf("a row of %s that went to %s: %s", shard, other, got)
		}
		if shard != other {
			refused++
		}
	}
	if refused == 0 {
		t.Error("no row would have left its shard")
	}
}

func TestTriggersOfPartitions(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.ddls(triggerFunctions)
	f.exec(`CREATE TABLE ev (id int, name text, n int, UNIQUE (id, n)) PARTITION BY RANGE (n);
		CREATE TABLE ev_1 PARTITION OF ev FOR VALUES FROM (0) TO (10);
		CREATE TRIGGER tell AFTER INSERT ON ev FOR EACH ROW EXECUTE FUNCTION tell('first');
		CREATE TRIGGER own BEFORE INSERT ON ev_1 FOR EACH ROW EXECUTE FUNCTION skip();
		ALTER TABLE ev_1 DISABLE TRIGGER tell;
		CREATE TABLE ev_3 (id int NOT NULL, name text, n int NOT NULL); CREATE TRIGGER own_3 BEFORE UPDATE ON ev_3 FOR EACH ROW EXECUTE FUNCTION skip()`)
	f.call("create_distributed_table", "table_name", "ev", "distribution_column", "id")
	f.ddl("CREATE TABLE ev_2 PARTITION OF ev FOR VALUES FROM (10) TO (20)")
	f.ddl("CREATE TRIGGER tidy BEFORE INSERT ON ev FOR EACH ROW EXECUTE FUNCTION elsewhere()")
	f.ddl("ALTER TABLE ev DISABLE TRIGGER tell")
	f.ddl("ALTER TABLE ev ATTACH PARTITION ev_3 FOR VALUES FROM (20) TO (30)")
	f.ddl("CREATE TABLE ev_4 PARTITION OF ev FOR VALUES FROM (30) TO (40) PARTITION BY LIST (n)")
	f.ddl("CREATE TABLE ev_4a PARTITION OF ev_4 FOR VALUES IN (33)")
	for _, table := range []string{"ev", "ev_1", "ev_2", "ev_3", "ev_4", "ev_4a"} {
		f.sameDefinition(table)
	}
	for _, table := range []string{"ev_1", "ev_2", "ev_3", "ev_4a"} {
		if got := f.shards(table, "SELECT conname FROM pg_constraint WHERE conrelid = '%s'::regclass AND conname = 'trunkline_shard'"); len(got) != 4 {
			t.Errorf("%d shards of %s are guarded", len(got), table)
		}
	}
	f.call("undistribute_table", "table_name", "ev")
	f.call("create_distributed_table", "table_name", "ev", "distribution_column", "id")
	f.sameDefinition("ev_1")
	f.sameDefinition("ev_4a")
	f.ddl("ALTER TRIGGER tell ON ev RENAME TO tell_2")
	f.ddl("DROP TRIGGER tidy ON ev")
	f.ddl("ALTER TABLE ev DETACH PARTITION ev_3")
	for _, table := range []string{"ev", "ev_1", "ev_3", "ev_4a"} {
		f.sameDefinition(table)
	}
}

func TestRefusedTriggers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.tables2()
	f.exec("CREATE TABLE audit (what text); CREATE SEQUENCE seq; CREATE TABLE rowtype (a int)")
	function := func(name, body string) {
		f.ddl("CREATE OR REPLACE FUNCTION " + name + "() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN " + body + "; RETURN NEW; END $$")
	}
	function("good", "NULL")
	on := func(text string) error {
		_, err := f.tryDDL(text)
		return err
	}
	fails(t, on("CREATE TRIGGER tr BEFORE INSERT ON orders EXECUTE FUNCTION good()"), "0A000", "statement-level")
	fails(t, on("CREATE TRIGGER tr AFTER TRUNCATE ON orders EXECUTE FUNCTION good()"), "0A000", "statement-level")
	fails(t, on("CREATE TRIGGER tr AFTER INSERT ON orders REFERENCING NEW TABLE AS n FOR EACH ROW EXECUTE FUNCTION good()"), "0A000", "transition")
	fails(t, on("CREATE CONSTRAINT TRIGGER tr AFTER INSERT ON orders FROM cust FOR EACH ROW EXECUTE FUNCTION good()"), "0A000", "FROM another")
	fails(t, on("CREATE TRIGGER tr BEFORE INSERT ON kinds FOR EACH ROW EXECUTE FUNCTION good()"), "0A000", "reference")
	fails(t, on("CREATE TRIGGER tr BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION nothere()"), "42883", "nothere")
	fails(t, on("CREATE TRIGGER tr BEFORE INSERT ON orders FOR EACH ROW WHEN (NEW.nothere > 1) EXECUTE FUNCTION good()"), "42703", "nothere")
	f.ddl("CREATE FUNCTION count_all() RETURNS bigint LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM cust); END'")
	f.ddl("CREATE FUNCTION draws() RETURNS bigint LANGUAGE sql AS $$ SELECT nextval('seq') $$")
	for body, why := range map[string]string{
		"PERFORM 1 FROM kinds": "reference tables", "INSERT INTO cust VALUES (1)": "distributed", "PERFORM count_all()": "distributed",
		"EXECUTE 'SELECT 1'": "makes itself", "INSERT INTO audit VALUES ('x')": "\"audit\"", "PERFORM draws()": "draws() uses a sequence",
		"PERFORM pg_notify('a', 'b')": "listeners", "NOTIFY a": "listeners", "NEW.id := TG_RELID": "those of a shard",
	} {
		function("bad", body)
		fails(t, on("CREATE TRIGGER tr BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION bad()"), "0A000", why)
	}
	fails(t, on("CREATE TRIGGER tr BEFORE INSERT ON orders FOR EACH ROW WHEN (count_all() > NEW.id) EXECUTE FUNCTION good()"), "0A000", "count_all")
	f.exec("CREATE FUNCTION here() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END'") // not through the gateway
	fails(t, on("CREATE TRIGGER tr BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION here()"), "0A000", "every node")
	if left := f.everywhere("SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgrelid::regclass::text ~ 'orders'"); len(left) > 0 {
		t.Errorf("left are %v", left)
	}
	// What was good must stay so.
	f.ddl("CREATE TRIGGER tr BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION good()")
	fails(t, on("CREATE OR REPLACE FUNCTION good() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN DELETE FROM kinds; RETURN NEW; END'"), "0A000", "good()")
	function("good", "IF false THEN PERFORM * FROM comes_later; END IF")
	f.exec("CREATE TABLE comes_later (a int)")
	_, err := f.tryCall("create_reference_table", "table_name", "comes_later")
	fails(t, err, "0A000", "good()")
	_, err = f.tryCall("create_distributed_table", "table_name", "comes_later", "distribution_column", "a")
	fails(t, err, "0A000", "good()")
}
