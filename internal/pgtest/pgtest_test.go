package pgtest

import (
	"os"
	"testing"
)

var shared Shared

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

func TestServerHasTestSettings(t *testing.T) {
	t.Parallel()
	s := Server(t, Setting("work_mem", "1MB"))
	got := Rows(t, s.DSN("postgres"), "SELECT current_setting('wal_level'), current_setting('work_mem'), current_setting('max_prepared_transactions')")
	if len(got) != 1 || got[0][0] != "logical" || got[0][1] != "1MB" || got[0][2] != "80" {
		t.Errorf("settings are %v", got)
	}
}

func TestClusterDatabases(t *testing.T) {
	c := shared.Cluster(t, 2)
	a, b := c.Database(t), c.Database(t)
	if a == b {
		t.Fatalf("two databases are called %s", a)
	}
	for _, s := range c.All() {
		if got := Rows(t, s.DSN(a), "SELECT current_database()"); got[0][0] != a {
			t.Errorf("connected to %v on the %s", got, s.Name)
		}
	}
}

func TestHBA(t *testing.T) {
	t.Parallel()
	s := Server(t, HBA("host all all 127.0.0.1/32 scram-sha-256"))
	if err := Exec(t.Context(), s.DSN("postgres"), "SELECT 1"); err == nil {
		t.Error("connected without a password")
	}
}
