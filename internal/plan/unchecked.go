package plan

import (
	"fmt"
	"slices"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// refuseUnchecked refuses to write what a foreign key of a local table to a distributed one would have to be checked for. PostgreSQL on the
// coordinator sees the empty shell only, and would say that there is no such row.
func (p *planner) refuseUnchecked(tree *sql.Node) error {
	if len(p.catalog.Unchecked) == 0 || tree.GetSelectStmt() == nil && writtenTable(tree) == nil && tree.GetMergeStmt() == nil && tree.GetCopyStmt() == nil {
		return nil
	}
	var failure error
	sql.Walk(tree, func(m proto.Message) bool {
		if n, ok := m.(*sql.Node); ok && failure == nil {
			failure = p.refuseUncheckedWrite(n)
		}
		return failure == nil
	})
	return failure
}

func (p *planner) refuseUncheckedWrite(n *sql.Node) error {
	var target *sql.RangeVar
	set := func(string) bool { return true }
	switch {
	case n.GetInsertStmt() != nil:
		target = n.GetInsertStmt().Relation
	case n.GetMergeStmt() != nil:
		target = n.GetMergeStmt().Relation
	case n.GetUpdateStmt() != nil:
		target = n.GetUpdateStmt().Relation
		set = func(column string) bool {
			return slices.ContainsFunc(n.GetUpdateStmt().TargetList, func(t *sql.Node) bool { return t.GetResTarget().GetName() == column })
		}
	case n.GetCopyStmt().GetIsFrom():
		target = n.GetCopyStmt().Relation
	}
	if target == nil {
		return nil
	}
	table := p.resolve(target)
	if table == nil || table.Kind != catalog.Local {
		return nil
	}
	for _, k := range p.catalog.Unchecked[table.OID] {
		if slices.ContainsFunc(k.Columns, set) {
			return sql.Unsupported(fmt.Sprintf("cannot write to local table %q, which references distributed table %q", table.Name, k.References),
				fmt.Sprintf("Foreign key constraint %q cannot be checked on the coordinator, where the distributed table has no rows.", k.Name),
				fmt.Sprintf("Distribute %q too, with create_distributed_table(), or drop the foreign key.", table.Name))
		}
	}
	return nil
}
