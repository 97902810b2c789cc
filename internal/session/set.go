package session

import (
	"context"
	"strconv"
	"strings"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// set runs SET and RESET: on the coordinator, which validates it, and then on other nodes whenever they next run something.
func (s *session) set(ctx context.Context, e *entry) (string, error) {
	n := e.stmt.Tree.GetVariableSetStmt()
	name := strings.ToLower(n.Name)
	if n.Kind.String() == "VAR_SET_VALUE" && len(n.Args) == 1 {
		if err := checkOwnSetting(name, constantText(n.Args[0])); err != nil {
			return "", err
		}
		if err := checkInstantSetting(name, constantText(n.Args[0])); err != nil {
			return "", err
		}
		s.noteNoUse(name)
	}
	conn, release, err := s.tx.Borrow(ctx, catalog.CoordinatorGroup)
	if err != nil {
		return "", err
	}
	defer release()
	if name == "transaction snapshot" && s.tx.InBlock() && !s.catalog.foreign && len(n.Args) == 1 {
		return s.importSnapshots(ctx, conn, constantText(n.Args[0]))
	}
	if s.tx.InBlock() && ofTransaction(e.stmt.Tree) {
		return s.setTransaction(ctx, e)
	}
	results, err := conn.Exec(ctx, e.text)
	if err != nil {
		return "", err
	}
	if name == "session_authorization" && !n.IsLocal { // which ends the role
		conn.NoteSetting("role", "", true)
		s.settings.change(s.settings.current.Without("role"))
	}
	tag := results[len(results)-1].Tag
	switch kind := n.Kind.String(); {
	case kind == "VAR_RESET_ALL":
		s.resetAll(conn)
		return tag, nil
	case kind == "VAR_SET_MULTI" && name == "session characteristics":
		return tag, s.noteSettings(ctx, conn, "default_transaction_isolation", "default_transaction_read_only", "default_transaction_deferrable")
	case ofTransaction(e.stmt.Tree): // which outside of a block means nothing
		return tag, nil
	case n.IsLocal:
		if s.tx.InBlock() {
			if !isIdleLimit(name) {
				s.tx.Replay(e.text, catalog.CoordinatorGroup)
			}
			values, err := currentSettings(ctx, conn, []string{name})
			if err != nil {
				return "", err
			}
			s.settings.setLocal(values)
			return tag, s.withhold(ctx, conn, name, true)
		}
		return tag, nil
	case kind == "VAR_RESET" || kind == "VAR_SET_DEFAULT":
		conn.NoteSetting(name, "", true)
		if initial, ok := s.settings.initial.Get(name); ok {
			s.settings.change(s.settings.current.With(name, initial))
		} else {
			s.settings.change(s.settings.current.Without(name))
		}
		return tag, s.withhold(ctx, conn, name, false)
	}
	if err := s.noteSettings(ctx, conn, name); err != nil {
		return "", err
	}
	return tag, s.withhold(ctx, conn, name, false)
}

// withhold takes a setting that is not for nodes back from the coordinator, which has just checked it.
func (s *session) withhold(ctx context.Context, conn *backend.Conn, name string, local bool) error {
	if !isIdleLimit(name) {
		return nil
	}
	if local {
		_, err := conn.Exec(ctx, backend.SetLocal(name, "0"))
		return err
	}
	_, err := conn.Exec(ctx, "SET "+name+" TO 0")
	conn.NoteSetting(name, "0", false)
	return err
}

// ofTransaction tells whether a SET is about the characteristics of the open transaction: SET TRANSACTION, SET transaction_read_only.
func ofTransaction(stmt *sql.Node) bool {
	n := stmt.GetVariableSetStmt()
	switch name := strings.ToLower(n.Name); n.Kind.String() {
	case "VAR_SET_MULTI":
		return name == "transaction"
	case "VAR_SET_VALUE", "VAR_SET_DEFAULT", "VAR_RESET":
		return name == "transaction_isolation" || name == "transaction_read_only" || name == "transaction_deferrable"
	}
	return false
}

// setTransaction changes the open transaction's characteristics: at once on all nodes that take part in it, which may find that it is too
// late for that, and first thing on those that join it later.
func (s *session) setTransaction(ctx context.Context, e *entry) (tag string, err error) {
	groups := s.tx.Participants()
	for _, group := range groups {
		conn, err := s.tx.Conn(ctx, group)
		if err != nil {
			return "", err
		}
		results, err := conn.Exec(ctx, e.text)
		if err != nil {
			return "", err
		}
		tag = results[len(results)-1].Tag
	}
	s.tx.Replay(e.text, groups...)
	return tag, nil
}

// constantText is a constant of a SET as text.
func constantText(n *sql.Node) string {
	c := n.GetAConst()
	switch {
	case c.GetSval() != nil:
		return c.GetSval().Sval
	case c.GetIval() != nil:
		return itoa(int(c.GetIval().Ival))
	case c.GetFval() != nil:
		return c.GetFval().Fval
	case c.GetBoolval() != nil:
		return strconv.FormatBool(c.GetBoolval().Boolval)
	}
	return ""
}

// noteSettings takes over settings that a statement changed on a connection to the coordinator.
func (s *session) noteSettings(ctx context.Context, conn *backend.Conn, names ...string) error {
	values, err := currentSettings(ctx, conn, names)
	if err != nil {
		return err
	}
	to := s.settings.current
	for _, name := range names {
		if value, ok := values[name]; ok {
			conn.NoteSetting(name, value, false)
			to = to.With(name, value)
			if own, ok := strings.CutPrefix(name, "canopy."); ok {
				to = to.With("citus."+own, value)
			}
			if s.settings.local != nil {
				delete(s.settings.local, name)
			}
		}
	}
	s.settings.change(to)
	return nil
}

// resetAll is RESET ALL, which has been run on conn.
func (s *session) resetAll(conn *backend.Conn) {
	for name := range s.settings.current.Map() {
		conn.NoteSetting(name, "", true)
	}
	s.settings.change(s.settings.initial)
}

// setConfigCalled takes over what a statement that calls set_config() may have changed on the session's own connection.
func (s *session) setConfigCalled(ctx context.Context, text string) error {
	names, forBlock, err := setConfigCalls(text)
	if err != nil {
		return err
	}
	conn, release, err := s.tx.Borrow(ctx, catalog.CoordinatorGroup)
	if err != nil {
		return err
	}
	defer release()
	query := "SELECT pg_catalog.lower(name), pg_catalog.current_setting(name) FROM pg_catalog.pg_settings WHERE source = 'session'"
	for _, name := range names { // those with a prefix of the user's own are not in pg_settings
		query += " UNION SELECT pg_catalog.lower(name), pg_catalog.current_setting(name) FROM (VALUES (" + sql.QuoteLiteral(name) + ")) AS _(name)"
	}
	results, err := conn.Exec(ctx, query)
	if err != nil {
		return err
	}
	forBlock = forBlock && s.tx.InBlock()
	local := map[string]string{}
	to := s.settings.current
	for _, row := range results[0].Rows {
		name, value := string(row[0]), string(row[1])
		if has, ok := s.settings.value(name); ok && has == value || strings.HasPrefix(name, "transaction_") && !(forBlock && name == "transaction_read_only") {
			continue
		}
		if forBlock {
			if !isIdleLimit(name) {
				s.tx.Replay(backend.SetLocal(name, value), catalog.CoordinatorGroup)
			}
			local[name] = value
			continue
		}
		conn.NoteSetting(name, value, false)
		to = to.With(name, value)
	}
	if len(local) > 0 {
		s.settings.setLocal(local)
	}
	if to != s.settings.current {
		s.settings.change(to)
	}
	return nil
}

// setConfigCalls gives the settings that a statement's calls of set_config() name, as far as they do so by constants, and whether all
// calls say that they hold for the open block only.
func setConfigCalls(text string) (names []string, forBlock bool, err error) {
	statements, err := sql.Parse(text)
	if err != nil {
		return nil, false, err
	}
	forBlock = true
	for _, stmt := range statements {
		sql.Walk(stmt.Tree, func(m proto.Message) bool {
			n, ok := m.(*sql.Node)
			if !ok || n.GetFuncCall() == nil {
				return true
			}
			call := n.GetFuncCall()
			if function := sql.Strings(call.Funcname); function[len(function)-1] == "set_config" && len(call.Args) == 3 {
				if name := constantText(call.Args[0]); name != "" {
					names = append(names, name)
				}
				forBlock = forBlock && call.Args[2].GetAConst().GetBoolval().GetBoolval()
			}
			return true
		})
	}
	return names, forBlock, nil
}

// discard runs DISCARD.
func (s *session) discard(ctx context.Context, e *entry) (string, error) {
	n := e.stmt.Tree.GetDiscardStmt()
	if target := n.Target.String(); target == "DISCARD_ALL" && !s.tx.InBlock() || target == "DISCARD_SEQUENCES" {
		s.env.Drawn = exec.Drawn{}
	}
	if n.Target.String() != "DISCARD_ALL" {
		if s.tx.Pinned() == nil {
			return strings.ToUpper(strings.TrimSuffix(strings.Join(strings.Fields(e.text), " "), ";")), nil
		}
		conn, release, err := s.tx.Borrow(ctx, catalog.CoordinatorGroup)
		if err != nil {
			return "", err
		}
		defer release()
		s.catalog.tempsStale = true
		results, err := conn.Exec(ctx, e.text)
		if err != nil {
			return "", err
		}
		return results[0].Tag, nil
	}
	if s.tx.InBlock() {
		return "", sql.Errorf("25001", "DISCARD ALL cannot run inside a transaction block")
	}
	s.closePortals()
	s.closeCursors()
	clear(s.statements)
	s.tx.Unpin()
	s.catalog.temps, s.catalog.tempViews, s.catalog.tempsStale = nil, nil, false
	s.settings.change(s.settings.initial)
	return "DISCARD ALL", s.reportAll(ctx)
}

// reportAll tells the client of all settings that may have changed.
func (s *session) reportAll(ctx context.Context) error {
	conn, release, err := s.tx.Borrow(ctx, catalog.CoordinatorGroup)
	if err != nil {
		return err
	}
	defer release()
	for name, value := range conn.Parameters() {
		s.noteParameter(name, value)
	}
	return nil
}

// size reads a setting of the gateway's own that is a size in bytes; a number without a unit counts kilobytes, -1 means no bound.
func (t *settings) size(name string, standard int64) int64 {
	value, ok := t.own(name)
	if !ok {
		return standard
	}
	units := map[string]int64{"": 1 << 10, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40}
	value = strings.ToLower(strings.TrimSpace(value))
	digits := strings.TrimRight(value, "bkmgt ")
	n, err := strconv.ParseInt(digits, 10, 64)
	unit, known := units[strings.TrimSpace(value[len(digits):])]
	switch {
	case err != nil || !known:
		return standard
	case n < 0:
		return 0
	}
	return n * unit
}

func (t *settings) number(name string, standard int64) int64 {
	if value, ok := t.own(name); ok {
		if n, err := strconv.ParseInt(value, 10, 64); err == nil {
			return n
		}
	}
	return standard
}

func isOn(value string) bool {
	switch strings.ToLower(value) {
	case "on", "true", "yes", "1", "t":
		return true
	}
	return false
}

func itoa(n int) string { return strconv.Itoa(n) }
