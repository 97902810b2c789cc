package difftest

import (
	"context"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// schedule is an order in which two sessions' statements run.
type schedule struct {
	name  string
	steps []step
}

type step struct {
	session byte // a or b
	waits   bool // it is to wait for the other session
	sql     string
}

// readSchedules reads a file of schedules; what it looks like is said at its head.
func readSchedules(t *testing.T, path string) (schedules []schedule) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		name, named := strings.CutPrefix(line, "schedule: ")
		switch {
		case line == "" || line[0] == '#':
		case named:
			schedules = append(schedules, schedule{name: name})
		default:
			s := &schedules[len(schedules)-1]
			s.steps = append(s.steps, step{session: line[0], waits: line[1] == '*', sql: line[3:]})
		}
	}
	return schedules
}

// schedulesSetup makes the tables of the schedules, schedulesReset their rows.
var (
	schedulesSetup = []string{
		"CREATE TABLE t (k int PRIMARY KEY, v int)", "CREATE TABLE s (k int, n int, v int, PRIMARY KEY (k, n))", "CREATE TABLE r (k int PRIMARY KEY, v int)",
		"CREATE TABLE u (k int, n int, UNIQUE (k, n) DEFERRABLE INITIALLY DEFERRED)", "CREATE TABLE parent (k int PRIMARY KEY)",
		"CREATE TABLE child (k int REFERENCES parent, v int)",
	}
	schedulesDistribute = `SELECT create_reference_table('r'); SELECT create_distributed_table(x, 'k') FROM unnest('{t,s,u,parent,child}'::regclass[]) x`
	schedulesReset      = `TRUNCATE t, s, r, u, parent, child; INSERT INTO t SELECT i, i FROM generate_series(1, 8) i; INSERT INTO s SELECT i, n, 20 FROM generate_series(1, 2) i, generate_series(1, 2) n;
		INSERT INTO r VALUES (1, 1), (2, 2); INSERT INTO parent VALUES (1), (2)`
)

// TestSchedules runs statements of two sessions in the same order on both sides. Who waits for whom, and what each then sees, is the same.
func TestSchedules(t *testing.T) {
	pair := NewPair(t, &shared, 2, 5)
	sides := []*scheduled{
		{dsn: pair.Gateway, waiting: "SELECT count(*) FROM citus_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"},
		{dsn: pair.Plain, waiting: "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"},
	}
	for i, side := range sides {
		side.watcher = side.connect(t)
		for _, text := range schedulesSetup {
			side.must(t, text)
		}
		if i == 0 {
			side.must(t, schedulesDistribute)
		}
	}
	for _, s := range readSchedules(t, "testdata/schedules/sessions.txt") {
		t.Run(s.name, func(t *testing.T) {
			var answers [2][]Answer
			for i, side := range sides {
				answers[i] = side.run(t, s)
			}
			for i, st := range s.steps {
				if verdict, text := Compare(answers[0][i], answers[1][i], Rules{}); verdict != Same {
					t.Errorf("%c: %s\n%s\n--- gateway\n%s\n--- plain\n%s", st.session, st.sql, text, answers[0][i], answers[1][i])
				}
			}
		})
	}
}

// scheduled is one side: a gateway or a plain server.
type scheduled struct {
	dsn     string
	waiting string // the query that tells how many processes wait for a lock
	watcher *pgconn.PgConn
}

func (s *scheduled) connect(t *testing.T) *pgconn.PgConn {
	t.Helper()
	conn, err := pgconn.Connect(t.Context(), s.dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func (s *scheduled) must(t *testing.T, text string) Answer {
	t.Helper()
	a := ask(t.Context(), s.watcher, Simple, text, nil)
	if a.Err != nil {
		t.Fatalf("%s: %v", text, a.Err)
	}
	return a
}

// run runs a schedule from the beginning and gives the answers in the order of the steps.
func (s *scheduled) run(t *testing.T, what schedule) []Answer {
	t.Helper()
	s.must(t, schedulesReset)
	sessions := map[byte]*pgconn.PgConn{'a': s.connect(t), 'b': s.connect(t)}
	answers := make([]Answer, len(what.steps))
	running := map[byte]chan struct{}{} // of the sessions whose statements wait
	defer func() {
		for _, done := range running {
			<-done
		}
	}()
	for i, st := range what.steps {
		if done := running[st.session]; done != nil {
			<-done
			delete(running, st.session)
		}
		if !st.waits {
			answers[i] = ask(t.Context(), sessions[st.session], Simple, st.sql, nil)
			continue
		}
		done := make(chan struct{})
		running[st.session] = done
		go func() {
			answers[i] = ask(t.Context(), sessions[st.session], Simple, st.sql, nil)
			close(done)
		}()
		for s.must(t, s.waiting).Results[0].Rows[0][0] == "0" {
			select {
			case <-done:
				t.Errorf("%s: does not wait: %s", st.sql, answers[i])
			default:
				continue
			}
			break
		}
	}
	return answers
}
