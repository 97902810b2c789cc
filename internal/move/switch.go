package move

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/txn"
	"golang.org/x/sync/errgroup"
)

// Bounds of the switch. While it waits for a lock, whoever comes later waits behind it; so it gives up soon, lets everyone pass, and
// tries again, with more patience each time: on a machine that is busy enough no transaction would ever end within the first try's.
const (
	lockPatience  = 20 * time.Millisecond  // the first try's, for each lock
	lockMore      = 10 * time.Millisecond  // than the try before
	lockMost      = 500 * time.Millisecond // no try's is longer
	lockShort     = 60 * time.Millisecond  // where nothing is lost by giving up
	applyPatience = 150 * time.Millisecond // for the last changes, besides that for a lock
	firstPause    = 50 * time.Millisecond  // between tries
	lastPause     = time.Second
	longAgo       = 100 // milliseconds: a transaction that began longer ago is waited for without asking for locks
)

// patienceOf is how long the nth try waits for a lock.
func patienceOf(n int) time.Duration { return min(lockPatience+time.Duration(n)*lockMore, lockMost) }

// switchTry is one try to switch over: a distributed transaction.
type switchTry struct {
	o           *operation
	tx          *txn.Tx
	coordinator *backend.Conn
	source      *backend.Conn
	targets     []*backend.Conn // one per part
	patience    time.Duration
}

// switchOver makes the parts the shard group's place.
func (o *operation) switchOver(ctx context.Context) error {
	if err := o.enter(ctx, stepSwitching); err != nil {
		return err
	}
	watcher, err := o.hand(ctx, o.Source)
	if err != nil {
		return err
	}
	pause := firstPause
	for n := 0; ; n++ {
		if err := o.awaitOthers(ctx, watcher); err != nil {
			return err
		}
		if err := o.catchUp(ctx, watcher); err != nil {
			return err
		}
		err := o.try(ctx, watcher, n)
		if !again(err) {
			return err
		}
		o.progress.waits(ctx, "locks on the source, which others hold")
		if err := sleep(ctx, pause/2+rand.N(pause)); err != nil {
			return err
		}
		pause = min(2*pause, lastPause)
	}
}

// try tries once.
func (o *operation) try(ctx context.Context, watcher *backend.Conn, n int) error {
	s, err := o.newTry(ctx, patienceOf(n))
	defer s.rollback(ctx)
	if err != nil {
		return err
	}
	// All that can be done before anyone has to wait.
	resume := o.progress.pause() // whose row the transaction changes
	defer resume()
	if err := s.metadata(ctx); err != nil {
		return err
	}
	if err := s.lock(ctx, "EXCLUSIVE"); err != nil {
		return err
	}
	if err := o.fault("writes locked"); err != nil {
		return err
	}
	if err := o.applier.roundTrip(ctx, watcher, fmt.Sprintf("try %d", n), applyPatience+patienceOf(n)); err != nil {
		return err
	}
	return s.complete(ctx)
}

// again tells whether another try may do better.
func again(err error) bool {
	var node *pgconn.PgError
	if errors.As(err, &node) {
		return node.Code == "55P03" || node.Code == "40P01" // lock_not_available, deadlock_detected
	}
	return errors.Is(err, errBehind)
}

// newTry begins the transaction, with what takes no lock on the source's tables.
func (o *operation) newTry(ctx context.Context, patience time.Duration) (*switchTry, error) {
	s := &switchTry{o: o, patience: patience}
	s.tx = o.Manager.New(o.Admin, func(group int32) (backend.Address, error) {
		if address, ok := o.nodes[group]; ok {
			return address, nil
		}
		return backend.Address{}, sql.Errorf("08001", "node group %d has no active primary", group)
	})
	s.tx.Begin("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE")
	var err error
	if s.coordinator, err = s.join(ctx, catalog.CoordinatorGroup); err != nil {
		return s, err
	}
	if s.source, err = s.join(ctx, o.Source); err != nil {
		return s, err
	}
	if err := s.sameDefinitions(ctx); err != nil {
		return s, err
	}
	for i, p := range o.Parts {
		target, err := s.join(ctx, p.Group)
		if err != nil {
			return s, err
		}
		s.targets = append(s.targets, target)
		for j, schema := range o.shape.Schemas {
			if err := run(ctx, target, renameSchema(o.coming(i, j), catalog.ShardSchema(schema, p.ID))); err != nil {
				return s, err
			}
		}
	}
	return s, nil
}

// join takes a node into the transaction.
func (s *switchTry) join(ctx context.Context, group int32) (*backend.Conn, error) {
	s.tx.MarkWrite(group)
	conn, err := s.tx.Conn(ctx, group)
	if err != nil {
		return nil, err
	}
	return conn, run(ctx, conn, fmt.Sprintf("SET LOCAL search_path = pg_catalog; SET LOCAL statement_timeout = 0; SET LOCAL client_min_messages = warning; SET LOCAL check_function_bodies = off; SET LOCAL lock_timeout = '%dms'",
		s.patience.Milliseconds()))
}

func renameSchema(from, to string) string {
	return "ALTER SCHEMA " + sql.QuoteIdentifier(from) + " RENAME TO " + sql.QuoteIdentifier(to)
}

// sameDefinitions makes sure that the tables are what they were when they were made anew. Changes wait for the operation
// (trunkline_internal.await_moves), except one in a transaction whose snapshot is older than the operation.
func (s *switchTry) sameDefinitions(ctx context.Context) error {
	var shells []string
	for i := range s.o.shape.Tables {
		t := &s.o.shape.Tables[i]
		shells = append(shells, "ONLY "+qualify(t.Schema, t.Name))
	}
	changed := &sql.Error{Code: "40001", Message: fmt.Sprintf("tables of shard group %d were redefined meanwhile", s.o.ShardGroup), Hint: "Try again."}
	if err := run(ctx, s.coordinator, "LOCK TABLE "+strings.Join(shells, ", ")+" IN SHARE UPDATE EXCLUSIVE MODE"); err != nil {
		if isUndefined(err) {
			return changed
		}
		return err
	}
	now, err := s.o.Shape(ctx, s.coordinator, s.o.colocation)
	if err != nil {
		return err
	}
	if !s.o.shape.same(now) {
		return changed
	}
	return nil
}

func isUndefined(err error) bool {
	var node *pgconn.PgError
	return errors.As(err, &node) && (node.Code == "42P01" || node.Code == "3F000")
}

// metadata records the shard group's new place, and what is to be cleared away once that is committed.
func (s *switchTry) metadata(ctx context.Context) error {
	o := s.o
	rows, err := query(ctx, s.coordinator, "UPDATE trunkline.shard_move SET step = '%s', waiting_for = NULL WHERE operation_id = %d AND step <> '%s' RETURNING 1", stepCleaning, o.id, stepUndoing)
	if err != nil {
		return err
	}
	if len(rows) == 0 {
		return sql.Errorf("57P01", "the move was given up by another gateway, which could not see this one any more")
	}
	var text strings.Builder
	fmt.Fprintf(&text, "DELETE FROM trunkline.pg_dist_cleanup WHERE operation_id = %d AND policy_type = %d;\n", o.id, policyOnFailure)
	for i, schema := range o.shape.Schemas {
		text.WriteString(recordText(o.id, recordSchema, o.gone(i)+"="+catalog.ShardSchema(schema, o.ShardGroup), o.Source, policyOnSuccess))
	}
	for _, p := range o.Parts {
		if validate := o.shape.Validate.For(p.ID); validate != "" {
			text.WriteString(recordText(o.id, recordStatement, validate, p.Group, policyOnSuccess))
		}
	}
	if o.split() {
		var ids, groups, lows, highs []string
		for _, p := range o.Parts {
			ids, groups = append(ids, fmt.Sprint(p.ID)), append(groups, fmt.Sprint(p.Group))
			lows, highs = append(lows, fmt.Sprint(p.Min)), append(highs, fmt.Sprint(p.Max))
		}
		fmt.Fprintf(&text, "SELECT trunkline_internal.split_shard_group(%d, '{%s}', '{%s}', '{%s}', '{%s}')", o.ShardGroup,
			strings.Join(ids, ","), strings.Join(lows, ","), strings.Join(highs, ","), strings.Join(groups, ","))
	} else {
		fmt.Fprintf(&text, "SELECT trunkline_internal.move_shard_group(%d, %d)", o.ShardGroup, o.Parts[0].Group)
	}
	return run(ctx, s.coordinator, text.String())
}

// lock locks the shard group's tables on the source.
func (s *switchTry) lock(ctx context.Context, mode string) error {
	return run(ctx, s.source, s.lockText(mode))
}

func (s *switchTry) lockText(mode string) string {
	return "LOCK TABLE " + strings.Join(s.o.sourceTables("ONLY "), ", ") + " IN " + mode + " MODE"
}

// sourceTables lists the tables on the source, each with a word before it.
func (o *operation) sourceTables(word string) []string {
	var tables []string
	for i := range o.shape.Tables {
		tables = append(tables, word+o.sourceTable(&o.shape.Tables[i]))
	}
	return tables
}

// completeBlocking does the rest after a copy that has kept writes waiting.
func (s *switchTry) completeBlocking(ctx context.Context) error {
	if err := s.lockReads(ctx); err != nil {
		return err
	}
	resume := s.o.progress.pause()
	defer resume()
	if err := s.metadata(ctx); err != nil {
		return err
	}
	return s.complete(ctx)
}

// complete flips the shard group: nothing is written to the source any more, the parts have all that was, and the transaction's part on
// the coordinator is done.
func (s *switchTry) complete(ctx context.Context) error {
	o := s.o
	work := map[*backend.Conn]string{s.source: s.vacation()}
	for i, p := range o.Parts {
		work[s.targets[i]] += o.shape.Late.For(p.ID)
	}
	var g errgroup.Group
	for conn, text := range work {
		g.Go(func() error { return run(ctx, conn, text) })
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if err := o.fault("before commit"); err != nil {
		return err
	}
	_, err := s.tx.Commit(context.WithoutCancel(ctx))
	if err != nil && !o.switched(context.WithoutCancel(ctx)) {
		return err
	}
	return o.fault("committed")
}

// vacation has the source give up its tables' names, once nobody reads them.
func (s *switchTry) vacation() string {
	o := s.o
	var text strings.Builder
	text.WriteString(s.lockText("ACCESS EXCLUSIVE") + ";\n")
	if o.shape.References {
		// As long as the old tables have rows, rows that they refer to cannot be deleted from the source's reference tables.
		text.WriteString("TRUNCATE " + strings.Join(o.sourceTables(""), ", ") + ";\n")
	}
	for i, schema := range o.shape.Schemas {
		text.WriteString(renameSchema(catalog.ShardSchema(schema, o.ShardGroup), o.gone(i)) + ";\n")
	}
	return text.String()
}

// switched finds out what became of a commit that gave an error.
func (o *operation) switched(ctx context.Context) bool {
	rows, err := query(ctx, o.owner, "SELECT FROM trunkline.shard_move WHERE operation_id = %d AND step = '%s' FOR UPDATE", o.id, stepCleaning)
	return err == nil && len(rows) == 1
}

// lockReads locks reads out after a copy that has kept writes waiting: it tries until it succeeds, letting readers pass in between.
func (s *switchTry) lockReads(ctx context.Context) error {
	for {
		if err := run(ctx, s.source, "SAVEPOINT trunkline_lock"); err != nil {
			return err
		}
		err := s.lock(ctx, "ACCESS EXCLUSIVE")
		if err == nil || !again(err) {
			return err
		}
		if err := run(ctx, s.source, "ROLLBACK TO SAVEPOINT trunkline_lock; RELEASE SAVEPOINT trunkline_lock"); err != nil {
			return err
		}
		s.o.progress.waits(ctx, "reads of the shard group's tables on the source")
		if err := sleep(ctx, firstPause); err != nil {
			return err
		}
	}
}

// lockForCopy begins the transaction of a move that blocks writes, and blocks them.
func (o *operation) lockForCopy(ctx context.Context) (*switchTry, error) {
	watcher, err := o.hand(ctx, o.Source)
	if err != nil {
		return nil, err
	}
	for n := 0; ; n++ {
		if err := o.awaitOthers(ctx, watcher); err != nil {
			return nil, err
		}
		s, err := o.newTry(ctx, patienceOf(n))
		if err == nil {
			err = s.lock(ctx, "EXCLUSIVE")
		}
		if err == nil {
			return s, nil
		}
		s.rollback(ctx)
		if !again(err) {
			return nil, err
		}
		if err := sleep(ctx, firstPause); err != nil {
			return nil, err
		}
	}
}

func (s *switchTry) rollback(ctx context.Context) {
	s.tx.Rollback(ctx)
	s.tx.Close()
}

// awaitOthers waits, without standing in anyone's way, for the transactions that have had the shard group's tables on the source for long,
// and says which one it waits for. Not for those that begin meanwhile: where all take long, it would never end.
func (o *operation) awaitOthers(ctx context.Context, source *backend.Conn) error {
	var tables []string
	for i := range o.shape.Tables {
		tables = append(tables, sql.QuoteLiteral(o.sourceTable(&o.shape.Tables[i]))+"::regclass")
	}
	text := fmt.Sprintf(`SELECT l.virtualtransaction, coalesce('process ' || l.pid || ', ' || a.state || ' since ' || pg_catalog.date_trunc('second', a.xact_start), 'a prepared transaction')
		FROM pg_catalog.pg_locks l LEFT JOIN pg_catalog.pg_stat_activity a USING (pid)
		WHERE l.locktype = 'relation' AND l.granted AND l.relation = ANY (ARRAY[%s]::oid[]) AND l.database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())
		  AND l.mode IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock', 'ShareLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
		  AND l.pid IS DISTINCT FROM pg_catalog.pg_backend_pid()
		  AND (l.pid IS NULL OR a.xact_start < pg_catalog.clock_timestamp() - interval '%d milliseconds')`, strings.Join(tables, ", "), longAgo)
	first, told := map[string]bool{}, false
	for n := 0; ; n++ {
		rows, err := query(ctx, source, "%s", text)
		if err != nil {
			return err
		}
		in := slices.IndexFunc(rows, func(r [][]byte) bool { return n == 0 || first[string(r[0])] })
		if in < 0 {
			o.progress.waits(ctx, "")
			return nil
		}
		if n == 0 {
			for _, r := range rows {
				first[string(r[0])] = true
			}
		}
		reason := "a transaction that uses the shard group's tables on the source: " + string(rows[in][1])
		o.progress.waits(ctx, reason)
		if !told {
			o.notice(ctx, reason)
			told = true
		}
		if err := sleep(ctx, firstPause); err != nil {
			return err
		}
	}
}

// patiently runs a statement that needs a lock which others may hold for long, without keeping others waiting behind it.
func (o *operation) patiently(ctx context.Context, conn *backend.Conn, text string) error {
	pause := firstPause
	for {
		_, err := conn.Exec(ctx, fmt.Sprintf("BEGIN; SET LOCAL lock_timeout = '%dms'; %s; COMMIT", lockShort.Milliseconds(), text))
		if err == nil {
			o.progress.waits(ctx, "")
			return nil
		}
		if end := run(ctx, conn, "ROLLBACK"); end != nil || !again(err) {
			return err
		}
		o.progress.waits(ctx, "locks on the source, which others hold")
		if err := sleep(ctx, pause/2+rand.N(pause)); err != nil {
			return err
		}
		pause = min(2*pause, lastPause)
	}
}

// explain says, as long as something that cannot be bounded is waited for, what is in the way: the one value that a query gives.
func (o *operation) explain(ctx context.Context, conn *backend.Conn, text string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		told := false
		for sleep(ctx, progressInterval) == nil {
			rows, err := query(ctx, conn, "%s", text)
			if err != nil || len(rows) == 0 {
				continue
			}
			o.progress.waits(ctx, string(rows[0][0]))
			if !told {
				o.notice(ctx, "a "+string(rows[0][0]))
				told = true
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
