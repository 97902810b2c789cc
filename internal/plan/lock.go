package plan

import (
	"slices"

	"github.com/trunkline/trunkline/internal/sql"
)

// locksOf gives the row locks that a FROM item's rows are to be taken under, for the query that reads them before the rest of the
// statement: all of them, where PostgreSQL locks those only that the statement returns.
func locksOf(r *rel) []*sql.Node {
	var locks []*sql.Node
	for _, n := range r.owner.sel.LockingClause {
		clause := n.GetLockingClause()
		named := slices.ContainsFunc(clause.LockedRels, func(n *sql.Node) bool { return n.GetRangeVar().GetRelname() == r.alias })
		if len(clause.LockedRels) > 0 && !named {
			continue
		}
		own := sql.Clone(n)
		own.GetLockingClause().LockedRels = nil
		locks = append(locks, own)
	}
	return locks
}

// lockInside makes a subquery that runs before the rest lock what the enclosing query locks of it. PostgreSQL refuses that for rows
// that are no table's; its parser has seen to it where the subquery is the statement's own, not where it is a view's.
func lockInside(r *rel, query *sql.SelectStmt) error {
	locks := locksOf(r)
	if len(locks) == 0 {
		return nil
	}
	refused := ""
	switch {
	case query.Op != sql.SetopNone:
		refused = "with UNION/INTERSECT/EXCEPT"
	case len(query.DistinctClause) > 0:
		refused = "with DISTINCT clause"
	case len(query.GroupClause) > 0:
		refused = "with GROUP BY clause"
	case query.HavingClause != nil:
		refused = "with HAVING clause"
	}
	if refused != "" {
		strength := sql.LockStrength(locks[0].GetLockingClause())
		return sql.Errorf("0A000", "%s is not allowed %s", strength, refused)
	}
	query.LockingClause = append(query.LockingClause, locks...)
	return nil
}
