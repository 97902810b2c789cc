package session

import (
	"context"
	"strings"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// settings are a session's settings: those that every node is brought to before it runs a statement of the session, and what the
// gateway itself takes from them.
type settings struct {
	session *session
	initial *backend.Settings // as the client's startup asked: what RESET goes back to
	current *backend.Settings
	nodes   *backend.Settings // current ones, as nodes are to have them
	saved   *backend.Settings // at the start of the open block
	marks   []settingsMark    // at each savepoint

	local       map[string]string // by SET LOCAL, for the rest of the block
	path        []string          // search_path as planning sees it
	pathText    string            // as it was set
	defaultPath string            // search_path where neither the client nor the session set it

	defaultLimits map[string]string // of time, where neither the client nor the session set them

	planKey     []byte
	repartition bool // citus.enable_single_hash_repartition_joins
	managed     bool // citus.use_citus_managed_tables
	fixes       bool // blocks that keep their snapshot take those of all nodes at one instant
	odd         bool // settings under which texts must not be taken for what they seem: standard_conforming_strings is off
}

type settingsMark struct {
	savepoint string
	current   *backend.Settings
	local     map[string]string
}

// start takes the settings that the client's startup asked for, and makes sure that the coordinator accepts them.
func (t *settings) start(s *session, asked map[string]string) error {
	t.session = s
	t.current = backend.NewSettings(asked).Without(statementLimit) // which is not for logging in
	s.tx.SetSettings(t.current)
	conn, release, err := s.tx.Borrow(s.context, catalog.CoordinatorGroup)
	if err != nil {
		return err
	}
	defer release()
	if asked, err = t.withRoles(conn, asked); err != nil {
		return err
	}
	names := append([]string{"search_path", statementLimit}, idleLimits...)
	for name := range asked {
		names = append(names, name)
	}
	values, err := currentSettings(s.context, conn, names)
	if err != nil {
		return err
	}
	if _, own := asked["search_path"]; !own {
		t.defaultPath = values["search_path"] // the role's or the database's
		delete(values, "search_path")
	}
	if limit, ok := asked[statementLimit]; ok {
		results, err := conn.Exec(s.context, "SELECT pg_catalog.set_config('"+statementLimit+"', "+sql.QuoteLiteral(limit)+", true)")
		if err != nil {
			return err
		}
		values[statementLimit] = string(results[0].Rows[0][0])
	}
	t.defaultLimits = map[string]string{}
	for _, name := range append([]string{statementLimit}, idleLimits...) {
		if _, own := asked[name]; !own {
			t.defaultLimits[name] = values[name]
			delete(values, name)
		}
	}
	for name, value := range values {
		if name != statementLimit {
			conn.NoteSetting(name, value, false)
		}
	}
	t.setPath(t.defaultPath)
	t.initial = backend.NewSettings(values)
	t.change(t.initial)
	return nil
}

// currentSettings asks a node for the values of settings, as SHOW prints them. Those that do not exist are left out.
func currentSettings(ctx context.Context, conn *backend.Conn, names []string) (map[string]string, error) {
	var text strings.Builder
	text.WriteString("SELECT ")
	for i, name := range names {
		if i > 0 {
			text.WriteString(", ")
		}
		text.WriteString("pg_catalog.current_setting(" + sql.QuoteLiteral(name) + ", true)")
	}
	results, err := conn.Exec(ctx, text.String())
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for i, v := range results[0].Rows[0] {
		if v != nil {
			values[names[i]] = string(v)
		}
	}
	return values, nil
}

// change makes a set of settings the current one.
func (t *settings) change(to *backend.Settings) {
	t.current = to
	t.nodes = t.forNodes()
	t.session.tx.SetSettings(t.nodes)
	t.derive()
}

// forNodes gives the settings that nodes are to have.
func (t *settings) forNodes() *backend.Settings {
	to := t.current
	for _, name := range idleLimits {
		if t.limit(name) > 0 {
			to = to.With(name, "0")
		}
	}
	return to
}

// derive takes from the settings what the gateway itself goes by.
func (t *settings) derive() {
	path, ok := t.value("search_path")
	if !ok {
		path = t.defaultPath
	}
	repartition, _ := t.own("enable_single_hash_repartition_joins")
	t.repartition = isOn(repartition)
	managed, _ := t.own("use_citus_managed_tables")
	t.managed = isOn(managed)
	t.setPath(path)
	t.session.tx.SetImplicitBegin(t.session.beginText(nil))
	t.deriveLimits()
	t.deriveInstant()
	standard, ok := t.value("standard_conforming_strings")
	t.odd = ok && standard != "on"
	t.session.env.Plain = t.plain()
	application, _ := t.value("application_name")
	t.session.noteApplication(application)
	encoding, ok := t.value("client_encoding")
	t.session.env.ForeignEncoding = ok && encoding != "UTF8" && encoding != "SQL_ASCII"
	t.session.env.MaxIntermediate = t.size("max_intermediate_result_size", 1<<30)
	t.session.env.PoolSize = int(t.number("max_adaptive_executor_pool_size", 16))
	all, _ := t.own("explain_all_tasks")
	t.session.env.ExplainAll = isOn(all)
}

// plain gives the settings under which the text of values means the same to every reader, nil if the current ones are such.
func (t *settings) plain() *backend.Settings {
	to := t.nodes
	if v, ok := t.value("datestyle"); ok && !strings.HasPrefix(v, "ISO") || !ok && !strings.HasPrefix(t.session.reported["DateStyle"], "ISO") {
		to = to.With("datestyle", "ISO")
	}
	if v, ok := t.value("intervalstyle"); ok && v != "postgres" || !ok && t.session.reported["IntervalStyle"] != "postgres" {
		to = to.With("intervalstyle", "postgres")
	}
	if v, ok := t.value("extra_float_digits"); ok && v != "1" && v != "2" && v != "3" {
		to = to.With("extra_float_digits", "1")
	}
	if to == t.nodes {
		return nil
	}
	return to
}

// value gives a setting as the next statement will find it, ok false if it has its default.
func (t *settings) value(name string) (string, bool) {
	if v, ok := t.local[name]; ok {
		return v, true
	}
	return t.current.Get(name)
}

// own gives one of the gateway's own settings, under either of its prefixes.
func (t *settings) own(name string) (string, bool) {
	if v, ok := t.value("citus." + name); ok {
		return v, true
	}
	return t.value("canopy." + name)
}

// user gives the role whose rights hold.
func (t *settings) user() string {
	if role, ok := t.value("role"); ok && role != "none" {
		return role
	}
	if user, ok := t.value("session_authorization"); ok {
		return user
	}
	return t.session.tx.Identity().User
}

func (t *settings) setPath(value string) {
	user := t.user()
	if value != t.pathText {
		t.pathText = value
		t.session.catalog.tempsStale = t.session.catalog.tempsStale || t.session.tx.Pinned() != nil
	}
	t.path = t.path[:0:0]
	for _, name := range backend.SplitIdentifiers(value) {
		switch name {
		case "$user":
			name = user
		case "pg_temp":
			continue
		}
		t.path = append(t.path, name)
	}
	t.planKey = []byte(planKeyOf(t.session.tx.Identity().Database, t.path, t.repartition, t.managed))
}

func (t *settings) searchPath() []string { return t.path }

// begin notes the settings at the start of a block, to go back to should it be rolled back.
func (t *settings) begin() {
	t.saved, t.marks, t.local = t.current, nil, nil
	t.session.fixed = false
}

// end forgets what held for the block only.
func (t *settings) end(committed bool) {
	local := t.local != nil
	saved := t.saved
	t.local, t.marks, t.saved = nil, nil, nil
	if saved != nil && !committed && t.current != saved {
		t.change(saved)
	} else if local {
		t.derive()
	}
}

// setLocal notes values that hold for the rest of the block only.
func (t *settings) setLocal(values map[string]string) {
	local := map[string]string{} // a new one: savepoints keep the old
	for name, value := range t.local {
		local[name] = value
	}
	for name, value := range values {
		local[name] = value
	}
	t.local = local
	t.derive()
}

func (t *settings) savepoint(name string) {
	t.marks = append(t.marks, settingsMark{name, t.current, t.local})
}

// rollbackTo goes back to the settings at a savepoint, and tells how many savepoints were set before it.
func (t *settings) rollbackTo(name string) int {
	for i := len(t.marks) - 1; i >= 0; i-- {
		if t.marks[i].savepoint == name {
			m := t.marks[i]
			t.marks = t.marks[:i+1]
			t.local = m.local
			t.change(m.current)
			return i
		}
	}
	return len(t.marks)
}
