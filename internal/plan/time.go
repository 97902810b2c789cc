package plan

import (
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// isTime tells whether a node is a call whose value is one instant for the whole transaction: now(), CURRENT_DATE, ….
func (p *planner) isTime(n *sql.Node) bool {
	if v := n.GetSqlvalueFunction(); v != nil {
		return v.Op >= sql.CurrentDate && v.Op <= sql.LocaltimestampN
	}
	call := n.GetFuncCall()
	if call == nil || len(call.Args) > 0 {
		return false
	}
	names := sql.Strings(call.Funcname)
	if !statementTime[names[len(names)-1]] {
		return false
	}
	for _, f := range p.overloads(names) {
		if f.Schema != "pg_catalog" {
			return false
		}
	}
	return true
}

func (p *planner) timeBelow(tree proto.Message) bool {
	found := false
	sql.Walk(tree, func(m proto.Message) bool {
		if n, ok := m.(*sql.Node); ok && p.isTime(n) {
			found = true
		}
		return !found
	})
	return found
}

// readTimeOnce makes all nodes see the coordinator's clock: each call for the time in the statement becomes a value that is read
// there first.
func (p *planner) readTimeOnce(tree proto.Message) error {
	var calls []*sql.Node
	sql.Walk(tree, func(m proto.Message) bool {
		if n, ok := m.(*sql.Node); ok && p.isTime(n) {
			calls = append(calls, n)
			return false
		}
		return true
	})
	if len(calls) == 0 {
		return nil
	}
	p.rewritten, p.readsTime = true, true
	read := sql.Select(nil, nil, nil)
	result := intermediate{}
	at := make([]int, len(calls))
	for i, call := range calls {
		at[i] = -1
		for j, target := range read.TargetList {
			if sql.Equal(target.GetResTarget().Val, call) {
				at[i] = j
			}
		}
		if at[i] < 0 {
			at[i] = len(read.TargetList)
			name := "t" + itoa(at[i]+1)
			read.TargetList = append(read.TargetList, sql.Target(name, sql.Clone(call)))
			result.columns = append(result.columns, name)
			result.types = append(result.types, p.exprType(&block{}, call))
			result.collations = append(result.collations, "")
		}
	}
	t, err := p.template(sql.SelectNode(read))
	if err != nil {
		return err
	}
	index := p.addSubplan(Gather{SQL: t, Coordinator: true, Columns: result.columns, Reason: "the statement's time"}, result)
	for i, call := range calls {
		name := result.columns[at[i]]
		one := sql.Select([]*sql.Node{sql.Target("", sql.Column("clock", name))}, []*sql.Node{sql.Table("", intermediateName(index), "clock")}, nil)
		call.Node = sql.ScalarSubquery(one).Node
	}
	return nil
}
