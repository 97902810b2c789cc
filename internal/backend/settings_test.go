package backend_test

import (
	"testing"

	"github.com/trunkline/trunkline/internal/backend"
)

func TestApply(t *testing.T) {
	c := connect(t)
	original := one(t, c, "SHOW work_mem")
	apply := func(s *backend.Settings, beginning bool) {
		t.Helper()
		if err := c.Apply(t.Context(), s, beginning); err != nil {
			t.Fatal(err)
		}
	}
	first := backend.NewSettings(map[string]string{
		"work_mem": "3MB", "search_path": `"$user", public, "Odd ""name"`, "DateStyle": "SQL, DMY", "my.var": `a'b\c`,
	})
	apply(first, false)
	for name, want := range map[string]string{
		"work_mem": "3MB", "search_path": `"$user", public, "Odd ""name"`, "datestyle": "SQL, DMY", "my.var": `a'b\c`,
	} {
		if got := one(t, c, "SHOW "+name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	// What may not run in a transaction must not be run in the settings'.
	apply(first.With("work_mem", "4MB"), false)
	run(t, c, "VACUUM")

	// Inside a block settings travel with the statement, and come undone with it.
	c.Prefix("BEGIN ISOLATION LEVEL SERIALIZABLE")
	apply(first.With("work_mem", "5MB").Without("my.var"), true)
	if got := one(t, c, "SELECT current_setting('work_mem') || current_setting('my.var')"); got != "5MB" {
		t.Fatal(got)
	}
	run(t, c, "ROLLBACK")
	if got := one(t, c, "SHOW work_mem"); got != "4MB" {
		t.Fatal(got)
	}
	apply(first.With("work_mem", "5MB"), false)
	if got := one(t, c, "SELECT current_setting('work_mem') || current_setting('my.var')"); got != `5MBa'b\c` {
		t.Fatal(got)
	}
	apply(nil, false)
	if got := one(t, c, "SHOW work_mem"); got != original {
		t.Fatal(got)
	}

	// A setting that fails leaves nothing behind that is taken for applied.
	bad := backend.NewSettings(map[string]string{"work_mem": "6MB", "statement_timeout": "nonsense"})
	if err := c.Apply(t.Context(), bad, false); err == nil {
		t.Fatal("no error")
	}
	apply(backend.NewSettings(map[string]string{"work_mem": "6MB"}), false)
	if got := one(t, c, "SHOW work_mem"); got != "6MB" {
		t.Fatal(got)
	}
	wantCode(t, c.Apply(t.Context(), backend.NewSettings(map[string]string{"work_mem": "7MB", "there_is_no_such": "1"}), false), "42704")
	apply(nil, false)
	if got := one(t, c, "SHOW work_mem"); got != original {
		t.Fatal(got)
	}
}

func TestApplyAfterRollbackToSavepoint(t *testing.T) {
	c := connect(t)
	run(t, c, "BEGIN; SAVEPOINT a")
	wanted := backend.NewSettings(map[string]string{"work_mem": "5MB"})
	if err := c.Apply(t.Context(), wanted, false); err != nil {
		t.Fatal(err)
	}
	run(t, c, "ROLLBACK TO a")
	if err := c.Apply(t.Context(), wanted, false); err != nil {
		t.Fatal(err)
	}
	if got := one(t, c, "SHOW work_mem"); got != "5MB" {
		t.Fatal(got)
	}
}

func TestNoteSetting(t *testing.T) {
	c := connect(t)
	run(t, c, "SET work_mem = '9MB'")
	c.NoteSetting("work_mem", "9MB", false)
	if err := c.Apply(t.Context(), nil, false); err != nil {
		t.Fatal(err)
	}
	if got := one(t, c, "SHOW work_mem"); got == "9MB" {
		t.Fatal("another session's setting was left behind")
	}
}
