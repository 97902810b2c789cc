package session

import (
	"unsafe"

	"github.com/trunkline/trunkline/internal/sql"
)

// statementKind is what a session must know of a statement besides its plan.
type statementKind byte

const (
	kindQuery       statementKind = iota // SELECT, INSERT, UPDATE, DELETE, MERGE, VALUES
	kindTransaction                      // BEGIN, COMMIT, …
	kindSet                              // SET, RESET
	kindShow                             // SHOW
	kindDiscard                          // DISCARD
	kindConstraints                      // SET CONSTRAINTS
	kindPrepare                          // PREPARE
	kindExecute                          // EXECUTE
	kindDeallocate                       // DEALLOCATE
	kindDeclare                          // DECLARE CURSOR
	kindFetch                            // FETCH, MOVE
	kindClose                            // CLOSE
	kindExplain                          // EXPLAIN
	kindCopy                             // COPY
	kindListen                           // LISTEN, UNLISTEN
	kindNeutral                          // other statements that change no definitions: NOTIFY, LOCK, VACUUM, ANALYZE, CHECKPOINT, …
	kindDefinition                       // all the rest: may change definitions
)

func kindOf(stmt sql.Statement) statementKind {
	n := stmt.Tree
	switch {
	case n.GetSelectStmt() != nil && n.GetSelectStmt().IntoClause == nil,
		n.GetInsertStmt() != nil, n.GetUpdateStmt() != nil, n.GetDeleteStmt() != nil, n.GetMergeStmt() != nil:
		return kindQuery
	case n.GetTransactionStmt() != nil:
		return kindTransaction
	case n.GetVariableSetStmt() != nil:
		return kindSet
	case n.GetVariableShowStmt() != nil:
		return kindShow
	case n.GetDiscardStmt() != nil:
		return kindDiscard
	case n.GetConstraintsSetStmt() != nil:
		return kindConstraints
	case n.GetPrepareStmt() != nil:
		return kindPrepare
	case n.GetExecuteStmt() != nil:
		return kindExecute
	case n.GetDeallocateStmt() != nil:
		return kindDeallocate
	case n.GetDeclareCursorStmt() != nil:
		return kindDeclare
	case n.GetFetchStmt() != nil:
		return kindFetch
	case n.GetClosePortalStmt() != nil:
		return kindClose
	case n.GetExplainStmt() != nil:
		return kindExplain
	case n.GetCopyStmt() != nil:
		return kindCopy
	case n.GetListenStmt() != nil, n.GetUnlistenStmt() != nil:
		return kindListen
	case n.GetNotifyStmt() != nil, n.GetLockStmt() != nil, n.GetVacuumStmt() != nil, n.GetCheckPointStmt() != nil, n.GetLoadStmt() != nil:
		return kindNeutral
	}
	return kindDefinition
}

// perSession tells whether a statement means something else in another session.
func (k statementKind) perSession() bool { return k >= kindPrepare && k <= kindClose }

// unsafeString reads b as a string without copying. It must not be kept beyond b's next change.
func unsafeString(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
