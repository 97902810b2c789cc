package difftest

import (
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/sync/errgroup"
)

// debianDir is where the data set is, beside the repository.
var debianDir = filepath.Join("..", "..", "..", "shared", "data", "debian")

const debianSchema = `
CREATE TABLE packages (package text PRIMARY KEY, source text, version text, section text, priority text, architecture text,
	essential boolean, installed_size_kb bigint, size_bytes bigint, summary text);
CREATE TABLE depends (package text NOT NULL, kind text, alternative_group int, depends_on text, relation text, version text);
CREATE INDEX ON depends (package);
CREATE INDEX ON depends (depends_on);
CREATE TABLE tags (package text, tag text, PRIMARY KEY (package, tag));
CREATE TABLE sections (section text PRIMARY KEY, area text);
CREATE TABLE notes (package text, note text)`

var debianDistribution = []string{
	"SELECT create_distributed_table('packages', 'package')",
	"SELECT create_distributed_table('depends', 'package', colocate_with => 'packages')",
	"SELECT create_distributed_table('tags', 'package', colocate_with => 'packages')",
	"SELECT create_reference_table('sections')",
}

// TestDebian runs testdata/debian.sql over real rows, loaded by COPY.
func TestDebian(t *testing.T) {
	if _, err := os.Stat(debianDir); err != nil {
		t.Skipf("the packages of Debian are not in %s beside the repository", filepath.Join("..", "shared", "data", "debian"))
	}
	statements, err := ReadScript("testdata/debian.sql")
	if err != nil {
		t.Fatal(err)
	}
	known := readKnown(t)
	pair := NewPair(t, &shared, 2, 8)
	s := pair.Connect(t)
	s.Must(t, debianSchema)
	s.Distribute(t, debianDistribution...)
	start := time.Now()
	for _, table := range []string{"packages", "depends", "tags"} {
		s.load(t, table)
	}
	s.Must(t, `INSERT INTO sections SELECT DISTINCT section, CASE WHEN section LIKE '%dev%' OR section IN ('perl', 'python', 'java') THEN 'code' ELSE 'other' END FROM packages;
INSERT INTO sections VALUES ('unused', 'other'), ('unknown', NULL);
INSERT INTO notes VALUES ('bash', 'a shell'), ('zsh', 'shells'), ('no-such-package', 'games'), (NULL, NULL), ('bash', 'twice')`)
	t.Logf("loaded in %v", time.Since(start).Round(time.Millisecond))
	_ = ask(t.Context(), s.plain, Simple, "ANALYZE", nil)

	var slow time.Duration
	for _, st := range statements {
		name := fmt.Sprintf("testdata/debian.sql:%d", st.Line)
		begin := time.Now()
		s.check(t, name, st, known, []Protocol{st.How})
		if took := time.Since(begin); took > slow {
			slow = took
			if took > 2*time.Second {
				t.Logf("%s took %v", name, took.Round(time.Millisecond))
			}
		}
	}
	t.Logf("%d statements, the slowest in %v", len(statements), slow.Round(time.Millisecond))
}

// load copies one table of the data set to both sides.
func (s *Session) load(t *testing.T, table string) {
	t.Helper()
	copyTo := func(ctx context.Context, conn *pgconn.PgConn) (int64, error) {
		f, err := os.Open(filepath.Join(debianDir, table+".csv.gz"))
		if err != nil {
			return 0, err
		}
		defer f.Close()
		rows, err := gzip.NewReader(f)
		if err != nil {
			return 0, err
		}
		tag, err := conn.CopyFrom(ctx, rows, "COPY "+table+" FROM STDIN WITH (FORMAT csv, HEADER)")
		return tag.RowsAffected(), err
	}
	var gateway, plain int64
	g, ctx := errgroup.WithContext(t.Context())
	g.Go(func() (err error) { gateway, err = copyTo(ctx, s.gateway); return err })
	g.Go(func() (err error) { plain, err = copyTo(ctx, s.plain); return err })
	if err := g.Wait(); err != nil {
		t.Fatalf("copying %s: %v", table, err)
	}
	if gateway != plain || gateway == 0 {
		t.Fatalf("copying %s: %d rows through the gateway, %d on plain PostgreSQL", table, gateway, plain)
	}
}
