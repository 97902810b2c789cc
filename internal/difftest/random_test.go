package difftest

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// tester runs generated cases on a Pair and keeps count.
type tester struct {
	*testing.T
	session  *Session
	seed     uint64
	counts   map[string]int
	refusals map[string]int
	sample   map[string]string
	kinds    map[string]int // failures by kind
	writes   bool
	extra    []string // statements that add to the tables what only writes are generated for
	hashed   bool     // rows that must meet are repartitioned wherever that is possible, however few they are
	reset    []string // statements that put all tables back to their first rows
}

// newTester makes the generator's tables on both sides.
func newTester(t *testing.T, seed uint64) *tester {
	pair := NewPair(t, &shared, 2, 6)
	s := pair.Connect(t)
	var reset []string
	s.Must(t, types)
	for i := range tables {
		s.Must(t, tables[i].create())
		if d := tables[i].distribute; d != "" {
			s.Distribute(t, d)
		}
		fill := tables[i].fill(seed)
		s.Must(t, fill)
		reset = append(reset, "DELETE FROM "+tables[i].name, fill)
	}
	for _, v := range views {
		s.Must(t, "CREATE VIEW "+v.name+" AS "+v.query)
	}
	s.Must(t, functions)
	_ = ask(t.Context(), s.plain, Simple, "ANALYZE", nil)
	x := &tester{T: t, session: s, seed: seed, counts: map[string]int{}, refusals: map[string]int{}, sample: map[string]string{}, kinds: map[string]int{}, reset: reset}
	x.settings()
	return x
}

func (x *tester) settings() {
	x.session.Must(x.T, "SET statement_timeout = '8s'")
	x.session.Must(x.T, fmt.Sprintf("SET citus.enable_single_hash_repartition_joins = %t", x.hashed))
}

// failure is how a case failed.
type failure struct {
	what  string
	steps []Statement
	at    int
	answers
}

type answers struct{ gateway, plain Answer }

func (f *failure) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n", f.what)
	for i, st := range f.steps[:f.at+1] {
		mark := " "
		if i == f.at {
			mark = ">"
		}
		fmt.Fprintf(&b, "%s %s;", mark, st.SQL)
		if st.How != Simple || len(st.Params) > 0 {
			fmt.Fprintf(&b, "  -- %s %q", st.How, st.Params)
		}
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "--- gateway\n%s--- plain\n%s", f.gateway, f.plain)
	return b.String()
}

// run runs a case's statements and tells how they failed, if they did. It stops at a refusal, after which the sides differ.
func (x *tester) run(steps []Statement, count bool) *failure {
	if !x.writes {
		return x.runSteps(steps, count)
	}
	f := x.runSteps(steps, count)
	if err := x.clean(); err != nil {
		x.rebuild()
		if f == nil {
			f = &failure{what: afterwards + err.Error(), steps: steps, at: len(steps) - 1, answers: answers{gateway: Answer{Err: err}}}
		}
	}
	return f
}

// afterwards begins what is said of a case that left the tables unusable.
const afterwards = "afterwards: "

// clean puts all tables back to their first rows.
func (x *tester) clean() error {
	for _, sql := range append([]string{"ROLLBACK"}, x.reset...) {
		gateway, plain := x.session.Do(x.Context(), sql)
		if gateway.Err != nil {
			return fmt.Errorf("the gateway says to %s: %w", sql, gateway.Err)
		}
		if plain.Err != nil {
			x.Fatalf("%s: %v", sql, plain.Err)
		}
	}
	return nil
}

// rebuild makes the tables anew.
func (x *tester) rebuild() {
	x.Helper()
	for i := len(views) - 1; i >= 0; i-- {
		x.session.Must(x.T, "DROP VIEW IF EXISTS "+views[i].name)
	}
	for i := range tables {
		x.session.Must(x.T, "DROP TABLE IF EXISTS "+tables[i].name)
		x.session.Must(x.T, tables[i].create())
		if d := tables[i].distribute; d != "" {
			x.session.Distribute(x.T, d)
		}
		x.session.Must(x.T, tables[i].fill(x.seed))
	}
	for _, text := range x.extra {
		x.session.Must(x.T, text)
	}
	for _, v := range views {
		x.session.Must(x.T, "CREATE VIEW "+v.name+" AS "+v.query)
	}
}

func (x *tester) runSteps(steps []Statement, count bool) *failure {
	for i, st := range steps {
		gateway, plain := x.session.Run(x.Context(), st.How, st.SQL, st.Params)
		verdict, text := Compare(gateway, plain, st.Rules)
		slow := gateway.Code() == "57014" || plain.Code() == "57014"
		if gateway.Code() == "broken" || plain.Code() == "broken" {
			if err := x.session.Reconnect(x.Context()); err != nil {
				x.Fatal(err)
			}
			x.settings()
		}
		if count {
			switch {
			case slow:
				x.counts["slow"]++
				x.Logf("slow (gateway %q, plain %q): %s", gateway.Code(), plain.Code(), st.SQL)
			case verdict == Refused:
				x.counts["refused"]++
				reason := shape(gateway)
				x.refusals[reason]++
				if known, ok := x.sample[reason]; !ok || len(st.SQL) < len(known) {
					x.sample[reason] = st.SQL
				}
			case verdict == Same && plain.Err != nil:
				x.counts["same error"]++
				x.refusals["both: "+shape(plain)]++
			case verdict == Same:
				x.counts["same"]++
			}
		}
		if slow || verdict == Refused {
			return nil
		}
		if verdict == Different {
			return &failure{what: text, steps: steps, at: i, answers: answers{gateway, plain}}
		}
	}
	return nil
}

var names = regexp.MustCompile(`"[^"]*"|\b[a-z]+\d+\b|\d+`)

// shape is an error without the names in it, to count by.
func shape(a Answer) string {
	text := Answer{Err: a.Err}.String()
	if a.Code() != "0A000" {
		text, _, _ = strings.Cut(text, "\n")
	}
	return names.ReplaceAllString(strings.TrimSpace(text), "…")
}

// repartitionTurn is after how many cases joins are repartitioned whatever they cost, and after how many again by their cost: tables
// as small as these would never be.
const repartitionTurn = 50

// inARow is how many cases run before the way in which rows move is another.
const inARow = 200

// search runs cases until the time is over, and reports the failures, each as simple as it can be made.
func (x *tester) search(generate func(*Choices) []Statement, until time.Time, most, failures int) {
	for n := 0; n < most && time.Now().Before(until); n++ {
		if n%repartitionTurn == 0 && !x.writes {
			on := n/repartitionTurn%2 == 1
			x.session.Must(x.T, fmt.Sprintf("SET citus.enable_single_hash_repartition_joins = %t", on))
		}
		if hashed := n%(2*inARow) >= inARow; hashed != x.hashed {
			x.hashed = hashed
			x.settings()
		}
		choices := RandomChoices(x.seed + uint64(n))
		steps := generate(choices)
		f := x.run(steps, true)
		if f == nil {
			continue
		}
		x.counts["different"]++
		kind := f.kind()
		if x.kinds[kind]++; f.gateway.Err != nil && x.kinds[kind] > 2 {
			continue // enough of those
		}
		budget := 400
		if strings.HasPrefix(f.what, afterwards) {
			budget = 60 // each takes new tables
		}
		Shrink(choices.Made, budget, func(made []int) bool {
			simpler := x.run(generate(ReplayChoices(made)), false)
			if simpler == nil || simpler.kind() != kind || simpler.size() > f.size() {
				return false
			}
			f = simpler
			return true
		})
		for i := f.at - 1; i >= 0 && i < f.at; i-- { // then without statements that have nothing to do with it
			simpler := x.run(slices.Delete(slices.Clone(f.steps[:f.at+1]), i, i+1), false)
			if simpler != nil && simpler.kind() == kind {
				f = simpler
			}
		}
		x.Errorf("seed %d (repartitioning %t): %s", x.seed+uint64(n), x.hashed, f)
		if failures--; failures <= 0 {
			x.Log("stopping here")
			break
		}
	}
	x.report()
}

// kind keeps a failure from being shrunk into another one.
func (f *failure) kind() string {
	if f.gateway.Err == nil && f.plain.Err == nil {
		return "rows"
	}
	return shape(f.gateway) + "/" + shape(f.plain)
}

func (f *failure) size() int {
	n := 0
	for _, st := range f.steps[:f.at+1] {
		n += len(st.SQL) + 20
	}
	return n
}

func (x *tester) report() {
	all := 0
	for _, n := range x.counts {
		all += n
	}
	x.Logf("seed %d: %d statements compared with PostgreSQL: %d wrong, %d refused (%.2f %%), %d answered alike, %d failed alike, %d too slow to tell",
		x.seed, all, x.counts["different"], x.counts["refused"], 100*float64(x.counts["refused"])/float64(max(all, 1)), x.counts["same"], x.counts["same error"], x.counts["slow"])
	if x.counts["refused"]*200 > all+400 {
		x.Error("more than one statement in 200 was refused")
	}
	var reasons []string
	for r := range x.refusals {
		reasons = append(reasons, r)
	}
	slices.SortFunc(reasons, func(a, b string) int { return x.refusals[b] - x.refusals[a] })
	for _, r := range reasons {
		x.Logf("%d × %s\n   %s", x.refusals[r], r, x.sample[r])
	}
}

// number reads an environment variable, for long runs.
func number(name string, otherwise int) int {
	if n, err := strconv.Atoi(os.Getenv(name)); err == nil {
		return n
	}
	return otherwise
}

// extent is how much a test of generated cases does: so many cases, or, where TRUNKLINE_FUZZ_TIME says so, as many as fit into a
// time. TRUNKLINE_FUZZ_SEED makes it begin elsewhere, and TRUNKLINE_FUZZ_FAILURES is how many failures are enough.
func extent(t *testing.T, cases int) (seed uint64, until time.Time, most, failures int) {
	t.Helper()
	seed, until = uint64(number("TRUNKLINE_FUZZ_SEED", 1)), time.Now().Add(time.Minute)
	if text := os.Getenv("TRUNKLINE_FUZZ_TIME"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("TRUNKLINE_FUZZ_TIME: %v", err)
		}
		until, cases = time.Now().Add(d), 1<<40
	}
	return seed, until, cases, number("TRUNKLINE_FUZZ_FAILURES", 8)
}

// TestRandomSelects compares generated queries.
func TestRandomSelects(t *testing.T) {
	seed, until, most, failures := extent(t, 1500)
	newTester(t, seed).search(SelectCase, until, most, failures)
}

// TestRandomChanges compares generated batches of writes and the tables after them.
func TestRandomChanges(t *testing.T) {
	seed, until, most, failures := extent(t, 200)
	x := newTester(t, seed)
	x.writes = true
	x.session.Must(t, "CREATE SEQUENCE drawn")
	x.session.Must(t, "CREATE FUNCTION twice(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN n * 2; END $$")
	x.session.Must(t, "CREATE FUNCTION fill_in() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.x := coalesce(NEW.x, 0.25) + 1; RETURN NEW; END $$")
	x.extra = []string{
		"ALTER TABLE d2 ADD COLUMN made int GENERATED ALWAYS AS (coalesce(a, 0) * 2 + id) STORED",
		"CREATE TRIGGER fill_in BEFORE INSERT OR UPDATE ON x3 FOR EACH ROW EXECUTE FUNCTION fill_in()",
	}
	for _, text := range x.extra {
		x.session.Must(t, text)
	}
	x.search(ChangeCase, until, most, failures)
}
