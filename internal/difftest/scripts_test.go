package difftest

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
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

// check runs a script's statement and compares the answers.
func (s *Session) check(t *testing.T, place string, st Statement, known map[string]string, protocols []Protocol) {
	t.Helper()
	if st.Gateway {
		if a := ask(t.Context(), s.gateway, Simple, st.SQL, nil); a.Err != nil {
			t.Errorf("%s: %s\n%v", place, st.SQL, a.Err)
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
