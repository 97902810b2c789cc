package session

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/wire"
)

// dispatch runs a planned statement and gives its command tag. Its rows go to out.
func (s *session) dispatch(ctx context.Context, e *entry, bind *exec.Bind, out exec.RowWriter) (string, error) {
	switch e.kind {
	case kindTransaction:
		return s.transaction(ctx, e)
	case kindPrepare, kindExecute, kindDeallocate:
		if s.held(e) {
			return s.preparedSQL(ctx, e, bind, out)
		}
	case kindShow:
		if value, own := s.showOwn(e); own {
			return s.show(value, out)
		}
	case kindExplain:
		if s.held(e) {
			return s.explain(ctx, e, bind, out)
		}
	case kindDeclare, kindFetch, kindClose:
		if s.held(e) {
			return s.cursorSQL(ctx, e, bind, out)
		}
	}
	if s.settings.fixes && takesSnapshot(e.kind) {
		if err := s.fixInstant(ctx); err != nil {
			return "", err
		}
	}
	s.settleBefore(ctx, e)
	if drawn := s.env.Drawn.Setting(); e.plan.AsksDrawn && drawn != "" {
		own := s.tx.Settings()
		s.tx.SetSettings(own.With("trunkline.drawn", drawn))
		defer s.tx.SetSettings(own)
	}
	if _, ok := e.plan.Root.(*plan.Utility); ok {
		return s.utility(ctx, e, bind, out)
	}
	if tenant, err := s.storesForTenant(ctx, e); err != nil {
		return "", err
	} else if tenant {
		return s.storeForTenant(ctx, e, bind, out)
	}
	s.repeats, s.lost = true, 0
	defer func() { s.repeats = false }()
	for tries := 0; ; tries++ {
		s.beginStatement()
		mark := s.client.Mark()
		tag, err := s.attempt(ctx, e, bind, out)
		if s.mayReadAgain(ctx, err) {
			continue
		}
		if !exec.IsStale(err) && !s.misled(ctx, s.env.Snapshot, err) || s.rows.wrote && !s.takeBack(mark, out) || !s.mayTryAgain(ctx, err, tries) {
			return tag, err
		}
		// The snapshot was out of date, and nothing has happened yet: once more with a new one.
		again, failure := s.find(ctx, bind.Text, false, nil, true)
		if failure != nil {
			return "", failure
		}
		bind.Literals, bind.Fields, bind.Once = again.literals, nil, true
		e = again
	}
}

// settleBefore has values of sequences given back that were drawn ahead, if a statement may use sequences by itself.
func (s *session) settleBefore(ctx context.Context, e *entry) {
	if e.kind == kindDefinition || e.plan.Sticky || e.plan.Sequences {
		s.server.settle(ctx)
	}
}

// attempt runs a plan once.
func (s *session) attempt(ctx context.Context, e *entry, bind *exec.Bind, out exec.RowWriter) (string, error) {
	p := e.prepared
	if err := s.mayRun(e); err != nil {
		return "", err
	}
	if e.passThrough() {
		// The client's own text, by the extended protocol.
		conn, release, err := s.coordinatorFor(ctx, e)
		if err != nil {
			return "", err
		}
		defer release()
		mark := s.client.Mark()
		if s.toConfirm(e) {
			bind.Then = func() { s.ask(conn) }
		}
		tag, err := exec.Direct(ctx, &s.env, conn, p, bind, out)
		if bind.Then != nil && conn.Err() == nil && s.client.Err() == nil {
			bind.Then = nil
			if err != nil {
				conn.Collect(ctx) // which means nothing after an error
			} else {
				err = s.confirm(ctx, conn, e, bind.Text, func() bool { return s.takeBack(mark, out) })
			}
		}
		if err == nil {
			err = s.after(ctx, e, bind.Text)
		}
		return tag, err
	}
	if e.plan.Sticky {
		if _, err := s.tx.Pin(ctx); err != nil {
			return "", err
		}
	}
	mark := s.client.Mark()
	tag, err := exec.Run(ctx, &s.env, p, bind, out)
	if err == nil && s.toConfirm(e) && (!e.plan.Writes || s.tx.InBlock()) {
		conn, release, failure := s.borrowCoordinator(ctx)
		if failure != nil {
			return "", failure
		}
		s.ask(conn)
		err = s.confirm(ctx, conn, e, bind.Text, func() bool { return s.takeBack(mark, out) })
		release()
	}
	if err == nil && e.plan.Sticky {
		err = s.after(ctx, e, bind.Text)
	}
	return tag, err
}

// mayRun refuses views whose policies would be those of another user than PostgreSQL takes.
func (s *session) mayRun(e *entry) error {
	for _, owner := range e.plan.ViewOwners {
		if owner != s.settings.user() {
			return sql.Unsupported("views over distributed tables with row-level security can be used by their owner only",
				"Its query would be run with the policies for you, not for the view's owner "+sql.QuoteIdentifier(owner)+".", "Query the tables themselves.")
		}
	}
	return nil
}

// takeBack takes back the rows of a statement of the extended protocol, if that is still possible.
func (s *session) takeBack(mark wire.Mark, out exec.RowWriter) bool {
	if out != exec.RowWriter(&s.rows) || s.simple || !s.client.Rewind(mark) {
		return false
	}
	s.rows.wrote = false
	return true
}

// utility runs a statement that follows rules of its own.
func (s *session) utility(ctx context.Context, e *entry, bind *exec.Bind, out exec.RowWriter) (string, error) {
	switch e.kind {
	case kindSet:
		return s.set(ctx, e)
	case kindDiscard:
		return s.discard(ctx, e)
	case kindConstraints:
		return s.constraints(ctx, e)
	case kindExplain:
		return s.explain(ctx, e, bind, out)
	case kindCopy:
		snapshot, err := s.snapshot(ctx)
		if err != nil {
			return "", err
		}
		s.env.Snapshot = snapshot
		return s.copy(ctx, e)
	}
	switch e.plan.Root.(*plan.Utility).Kind {
	case plan.UtilityDDL:
		return s.define(ctx, e)
	case plan.UtilityCurrentOf:
		return s.changeCurrent(ctx, e, bind, out)
	case plan.UtilityMaterialize:
		return s.materialize(ctx, e, out)
	}
	return "", sql.Unsupported("this statement is not supported on distributed tables yet", "", "")
}

func (s *session) planSettings() plan.Settings {
	return plan.Settings{
		SearchPath: s.settings.searchPath(), Repartition: s.settings.repartition, Managed: s.settings.managed,
		TempTables: s.catalog.temps, TempViews: s.catalog.tempViews, Statistics: s.server.statistics.current.Load(),
	}
}

// define runs a data definition statement that other nodes need as well.
func (s *session) define(ctx context.Context, e *entry) (string, error) {
	snapshot, err := s.snapshot(ctx)
	if err != nil {
		return "", err
	}
	if e.stmt.Tree.GetLockStmt() != nil && !s.tx.InBlock() {
		return "", sql.Errorf("25P01", "LOCK TABLE can only be used in transaction blocks")
	}
	tag, err := s.server.cluster.DDL(ctx, s.tx, snapshot, s.settings.searchPath(), e.stmt)
	s.definitionsChanged()
	return tag, err
}

// constraints runs SET CONSTRAINTS: at once on all nodes that take part in the block, which check what is deferred no longer, and
// first thing on those that join it later.
func (s *session) constraints(ctx context.Context, e *entry) (string, error) {
	names := e.stmt.Tree.GetConstraintsSetStmt().Constraints
	if err := s.refuseConstraints(ctx, names); err != nil {
		return "", err
	}
	conn, release, err := s.tx.Borrow(ctx, catalog.CoordinatorGroup)
	if err != nil {
		return "", err
	}
	defer release()
	results, err := conn.Exec(ctx, e.text)
	if err != nil {
		return "", err
	}
	if !s.tx.InBlock() || len(names) > 0 {
		return results[0].Tag, nil
	}
	groups := s.tx.Participants()
	for _, group := range groups {
		if group == catalog.CoordinatorGroup {
			continue
		}
		conn, err := s.tx.Conn(ctx, group)
		if err != nil {
			return "", err
		}
		if _, err := conn.Exec(ctx, e.text); err != nil {
			return "", err
		}
	}
	s.tx.Replay(e.text, groups...)
	return results[0].Tag, nil
}

// refuseConstraints refuses to set constraints by name that shards have: there they are in other schemas.
func (s *session) refuseConstraints(ctx context.Context, names []*sql.Node) error {
	if len(names) == 0 {
		return nil
	}
	snapshot, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	conn, release, err := s.tx.Borrow(ctx, catalog.CoordinatorGroup)
	if err != nil {
		return err
	}
	defer release()
	for _, n := range names {
		name := n.GetRangeVar().Relname
		results, err := conn.Exec(ctx, "SELECT conrelid::oid FROM pg_catalog.pg_constraint WHERE condeferrable AND conname = "+sql.QuoteLiteral(name))
		if err != nil {
			return err
		}
		for _, row := range results[0].Rows {
			oid, err := strconv.ParseUint(string(row[0]), 10, 32)
			if err != nil {
				return err
			}
			if table := snapshot.ByOID[uint32(oid)]; table != nil && table.Kind != catalog.Local {
				return sql.Unsupported("setting single constraints of distributed and reference tables is not supported",
					"Constraint "+sql.QuoteIdentifier(name)+" belongs to "+sql.QuoteIdentifier(table.Name)+".", "Use SET CONSTRAINTS ALL.")
			}
		}
	}
	return nil
}

// facts brings what a statement needs to know of other nodes to the coordinator's connection, for the open block or for one opened
// around the statement.
func (s *session) facts(ctx context.Context, names []string) error {
	var tell []string
	if slices.ContainsFunc(names, isActivity) {
		text, err := s.activity(ctx, names)
		if err != nil {
			return err
		}
		tell = append(tell, text)
	}
	if !slices.ContainsFunc(names, func(name string) bool { return !isActivity(name) }) {
		return s.tell(ctx, tell)
	}
	snapshot, err := s.snapshot(ctx)
	if err != nil {
		return err
	}
	sizes, err := s.server.cluster.CollectShardSizes(ctx, s.tx, snapshot)
	if err != nil {
		return err
	}
	return s.tell(ctx, append(tell, catalog.SetSizes(sizes, true)))
}

// tell runs statements on the coordinator's connection of the open block, or of one opened around the statement.
func (s *session) tell(ctx context.Context, statements []string) error {
	s.beginImplicit()
	conn, err := s.tx.Conn(ctx, catalog.CoordinatorGroup)
	if err != nil {
		return err
	}
	for _, text := range statements {
		if _, err := conn.Exec(ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// call carries out a function of the gateway's own.
func (s *session) call(ctx context.Context, name string, args json.RawMessage) (exec.CallResult, error) {
	if name == "master_modify_multiple_shards" {
		return s.modifyShards(ctx, args)
	}
	if f := sessionCalls[name]; f != nil {
		value, err := f(s, ctx, args)
		return oneValue(value), err
	}
	snapshot, err := s.snapshot(ctx)
	if err != nil {
		return exec.CallResult{}, err
	}
	s.prompt = true
	defer func() { s.prompt = false }()
	result, err := s.server.cluster.Call(ctx, s.tx, snapshot, name, args)
	if result.Changed || err != nil {
		s.definitionsChanged()
	}
	return exec.CallResult{Columns: result.Columns, Rows: result.Rows}, err
}
