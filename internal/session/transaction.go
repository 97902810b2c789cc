package session

import (
	"cmp"
	"context"
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/wire"
)

var errAborted = &sql.Error{Code: "25P02", Message: "current transaction is aborted, commands ignored until end of transaction block"}

// transaction runs BEGIN, COMMIT, SAVEPOINT and their like.
func (s *session) transaction(ctx context.Context, e *entry) (string, error) {
	n := e.stmt.Tree.GetTransactionStmt()
	switch n.Kind.String() {
	case "TRANS_STMT_BEGIN", "TRANS_STMT_START":
		tag := "BEGIN"
		if n.Kind.String() == "TRANS_STMT_START" {
			tag = "START TRANSACTION"
		}
		if s.tx.InBlock() && !s.tx.Implicit() {
			s.warn("25001", "there is already a transaction in progress")
			return tag, nil
		}
		begin := s.beginText(n.Options)
		switch {
		case !s.tx.InBlock():
			s.settings.begin()
			s.tx.Begin(begin)
		case len(n.Options) == 0:
			s.tx.Begin("BEGIN") // nothing but the defaults, by which the implicit block has begun
		default:
			s.tx.Begin(begin)
		}
		return tag, nil
	case "TRANS_STMT_COMMIT":
		return s.commit(ctx, n.Chain)
	case "TRANS_STMT_ROLLBACK":
		return s.rollback(ctx, n.Chain)
	case "TRANS_STMT_SAVEPOINT":
		if err := s.tx.Savepoint(ctx, n.SavepointName); err != nil {
			return "", err
		}
		s.settings.savepoint(n.SavepointName)
		return "SAVEPOINT", nil
	case "TRANS_STMT_RELEASE":
		return "RELEASE", s.tx.Release(ctx, n.SavepointName)
	case "TRANS_STMT_ROLLBACK_TO":
		if err := s.tx.RollbackTo(ctx, n.SavepointName); err != nil {
			return "", err
		}
		s.closeCursorsBeyond(s.settings.rollbackTo(n.SavepointName))
		s.definitionsUndone()
		return "ROLLBACK", nil
	case "TRANS_STMT_PREPARE":
		return s.prepareTransaction(ctx, n.Gid)
	case "TRANS_STMT_COMMIT_PREPARED":
		return s.finishPrepared(ctx, n.Gid, true)
	case "TRANS_STMT_ROLLBACK_PREPARED":
		return s.finishPrepared(ctx, n.Gid, false)
	}
	return "", sql.Unsupported("this form of transaction control is not supported", "", "")
}

// commit ends the open block, if there is one.
func (s *session) commit(ctx context.Context, chain bool) (string, error) {
	if !s.tx.InBlock() || s.tx.Implicit() {
		if chain {
			return "", sql.Errorf("25P01", "COMMIT AND CHAIN can only be used in transaction blocks")
		}
		s.warn("25P01", "there is no transaction in progress")
		if !s.tx.InBlock() {
			return "COMMIT", nil
		}
	}
	next := s.tx.Successor()
	tag, err := s.tx.Commit(ctx)
	s.afterBlock(err == nil && tag == "COMMIT")
	if err != nil {
		return "", err
	}
	if chain {
		s.settings.begin()
		next()
	}
	return tag, nil
}

// prepareTransaction ends the open block by preparing it under the client's id, on all its nodes.
func (s *session) prepareTransaction(ctx context.Context, gid string) (string, error) {
	if !s.tx.InBlock() || s.tx.Implicit() {
		s.warn("25P01", "there is no transaction in progress")
		if !s.tx.InBlock() {
			return "ROLLBACK", nil
		}
	}
	if s.declaresHeld() {
		_, err := s.rollback(ctx, false)
		return "", cmp.Or(err, error(sql.Errorf("0A000", "cannot PREPARE a transaction that has created a cursor WITH HOLD")))
	}
	defined := s.catalog.own != nil
	tag, err := s.tx.PrepareAs(ctx, gid)
	s.afterBlock(err == nil && tag != "ROLLBACK")
	var refused *pgconn.PgError
	if defined && errors.As(err, &refused) && refused.Code == "0A000" && strings.Contains(refused.Message, "NOTIFY") {
		return "", sql.Unsupported("cannot PREPARE a transaction that has changed definitions", "All gateways are notified of such changes. "+refused.Message+".", "Use COMMIT.")
	}
	return tag, err
}

// finishPrepared carries out COMMIT PREPARED and ROLLBACK PREPARED.
func (s *session) finishPrepared(ctx context.Context, gid string, commit bool) (string, error) {
	tag := "ROLLBACK PREPARED"
	if commit {
		tag = "COMMIT PREPARED"
	}
	if s.tx.InBlock() {
		return "", sql.Errorf("25001", "%s cannot run inside a transaction block", tag)
	}
	return tag, s.tx.FinishPrepared(ctx, gid, commit)
}

// rollback undoes the open block, if there is one.
func (s *session) rollback(ctx context.Context, chain bool) (string, error) {
	if !s.tx.InBlock() || s.tx.Implicit() {
		if chain {
			return "", sql.Errorf("25P01", "ROLLBACK AND CHAIN can only be used in transaction blocks")
		}
		s.warn("25P01", "there is no transaction in progress")
		if !s.tx.InBlock() {
			return "ROLLBACK", nil
		}
	}
	next := s.tx.Successor()
	err := s.tx.Rollback(ctx)
	s.afterBlock(false)
	if err != nil {
		return "", err
	}
	if chain {
		s.settings.begin()
		next()
	}
	return "ROLLBACK", nil
}

// afterBlock is what the end of a transaction block means for the session's own state.
func (s *session) afterBlock(committed bool) {
	s.settings.end(committed)
	s.blockEnded()
	s.closePortals()
	s.endCursors(committed)
}

// beginImplicit opens a block that the client did not ask for.
func (s *session) beginImplicit() {
	if !s.tx.InBlock() {
		s.settings.begin()
		s.tx.BeginImplicit()
	}
}

// endImplicit ends the block that beginImplicit opened, if it is still open and the client has not made it its own.
func (s *session) endImplicit(ctx context.Context) error {
	if !s.tx.Implicit() {
		return nil
	}
	if s.tx.Status() == 'E' {
		err := s.tx.Rollback(ctx)
		s.afterBlock(false)
		return err
	}
	_, err := s.tx.Commit(ctx)
	s.afterBlock(err == nil)
	return err
}

func (s *session) warn(code, message string) {
	s.client.SendNotice(&sql.Error{Code: code, Message: message}, wire.SeverityWarning)
}

// beginText writes the BEGIN for the nodes, with its options and the session's defaults for those left out: a node may learn of the
// session's defaults only after its BEGIN.
func (s *session) beginText(options []*sql.Node) string {
	given := map[string]string{}
	for _, option := range options {
		d := option.GetDefElem()
		value := ""
		if c := d.GetArg().GetAConst(); c != nil {
			if v := c.GetSval(); v != nil {
				value = v.Sval
			} else if c.GetIval() != nil && c.GetIval().Ival != 0 {
				value = "on"
			}
		}
		given[d.Defname] = value
	}
	text := "BEGIN"
	isolation, ok := given["transaction_isolation"]
	if !ok {
		isolation, ok = s.settings.value("default_transaction_isolation")
	}
	if ok {
		text += " ISOLATION LEVEL " + strings.ToUpper(isolation)
	}
	readOnly, ok := given["transaction_read_only"]
	if !ok {
		readOnly, ok = s.settings.value("default_transaction_read_only")
	}
	if ok && isOn(readOnly) {
		text += " READ ONLY"
	} else if ok {
		text += " READ WRITE"
	}
	deferrable, ok := given["transaction_deferrable"]
	if !ok {
		deferrable, ok = s.settings.value("default_transaction_deferrable")
	}
	if ok && isOn(deferrable) {
		text += " DEFERRABLE"
	} else if ok {
		text += " NOT DEFERRABLE"
	}
	return text
}

// endsBlock tells whether a statement may run in a failed block.
func endsBlock(stmt sql.Statement) bool {
	switch stmt.Tree.GetTransactionStmt().GetKind().String() {
	case "TRANS_STMT_COMMIT", "TRANS_STMT_ROLLBACK", "TRANS_STMT_ROLLBACK_TO", "TRANS_STMT_PREPARE":
		return stmt.Tree.GetTransactionStmt() != nil
	}
	return false
}
