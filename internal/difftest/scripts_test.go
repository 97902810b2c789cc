package difftest

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestScripts runs each of testdata/scripts in a database of its own. Their statements "-- @gateway" distribute tables.
func TestScripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/scripts/*.sql")
	if err != nil || len(paths) == 0 {
		t.Fatal("no scripts", err)
	}
	known := readKnown(t)
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".sql"), func(t *testing.T) {
			statements, err := ReadScript(path)
			if err != nil {
				t.Fatal(err)
			}
			s := NewPair(t, &shared, 2, 5).Connect(t)
			for _, st := range statements {
				s.check(t, fmt.Sprintf("%s:%d", path, st.Line), st, known, st.Protocols())
			}
		})
	}
}

// TestSingleShardScripts runs scripts once more with tables that have no distribution column, so that each has one shard: those that
// the script makes co-located by themselves are each in a colocation group of their own.
func TestSingleShardScripts(t *testing.T) {
	known := readKnown(t)
	for _, name := range []string{"queries", "writes"} {
		t.Run(name, func(t *testing.T) {
			statements, err := ReadScript("testdata/scripts/" + name + ".sql")
			if err != nil {
				t.Fatal(err)
			}
			s := NewPair(t, &shared, 2, 5).Connect(t)
			for _, st := range statements {
				if _, ok := known[st.SQL]; ok {
					continue // whether it is refused may depend on the distribution column
				}
				if st.Gateway {
					st.SQL = distribution.ReplaceAllString(st.SQL, "create_distributed_table($1, NULL")
					st.SQL = oneShard.ReplaceAllString(st.SQL, "")
				}
				s.check(t, fmt.Sprintf("%s.sql:%d", name, st.Line), st, nil, st.Protocols())
			}
		})
	}
}

var (
	distribution = regexp.MustCompile(`create_distributed_table\(('\w+'), '\w+'`)
	oneShard     = regexp.MustCompile(`, shard_count => \d+`)
)

// check runs a script's statement and compares the answers.
func (s *Session) check(t *testing.T, place string, st Statement, known map[string]string, protocols []Protocol) {
	t.Helper()
	if st.Gateway {
		if a := ask(t.Context(), s.gateway, Simple, st.SQL, nil); a.Err != nil {
			t.Errorf("%s: %s\n%v", place, st.SQL, a.Err)
		}
		return
	}
	if st.Plain {
		if a := ask(t.Context(), s.plain, Simple, st.SQL, nil); a.Err != nil {
			t.Errorf("%s: %s\n%v", place, st.SQL, a.Err)
		}
		return
	}
	if st.Refused {
		a := ask(t.Context(), s.gateway, Simple, st.SQL, nil)
		var refusal *pgconn.PgError
		if !errors.As(a.Err, &refusal) || refusal.Code != "0A000" || refusal.Hint == "" {
			t.Errorf("%s: %s\nwant a refusal with a hint, got\n%s", place, st.SQL, a)
		}
		return
	}
	if reason, ok := known[st.SQL]; ok { // not on plain PostgreSQL: the rows of both must stay the same
		if a := ask(t.Context(), s.gateway, st.How, st.SQL, st.Params); a.Err == nil {
			t.Errorf("%s is answered now: take it off testdata/known.txt", place)
		} else {
			t.Logf("%s: known: %s", place, reason)
		}
		return
	}
	for _, how := range protocols {
		gateway, plain := s.Run(t.Context(), how, st.SQL, st.Params)
		verdict, text := Compare(gateway, plain, st.Rules)
		if verdict != Same {
			t.Errorf("%s (%s): %s\n%s\n--- gateway\n%s--- plain\n%s", place, how, text, st.SQL, gateway, plain)
		}
		if gateway.Code() == "broken" {
			if err := s.Reconnect(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if verdict != Same {
			return
		}
	}
}
