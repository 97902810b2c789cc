package difftest

import (
	"os"
	"strings"
	"testing"
)

// readKnown reads testdata/known.txt: the statements that are known not to be answered as PostgreSQL does, each with the reason.
// It only ever shrinks. An entry is a line "# reason", then the statement up to an empty line.
func readKnown(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("testdata/known.txt")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]string{}
	for _, entry := range strings.Split(string(text), "\n\n") {
		reason, statement, ok := strings.Cut(strings.TrimSpace(entry), "\n")
		if ok && strings.HasPrefix(reason, "# ") {
			known[strings.TrimSuffix(strings.TrimSpace(statement), ";")] = strings.TrimPrefix(reason, "# ")
		}
	}
	return known
}
