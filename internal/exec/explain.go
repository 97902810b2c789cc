package exec

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/plan"
	"github.com/trunkline/trunkline/internal/sql"
)

// ExplainOptions are the options of an EXPLAIN.
type ExplainOptions struct {
	Analyze bool
	Generic bool   // the plan is to be one for any parameters: none are given
	Format  string // "text", "json", "yaml" or "xml"
	Text    string // all options as the nodes are to have them: "(ANALYZE true, COSTS false)"
}

// Explain shows how a plan runs: the rung of the ladder and why it is not a lower one, the tasks, and the plan of one of them, or
// of all if citus.explain_all_tasks is on, from its node. With ANALYZE the statement is carried out. The answer is one string per
// row for the client.
func Explain(ctx context.Context, env *Env, p *Prepared, bind *Bind, o ExplainOptions) ([]string, error) {
	x := &explanation{execution: execution{env: env, prepared: p, renderer: renderer{plan: p.Plan, bind: bind, snapshot: env.Snapshot}}, options: o}
	if bind.Fields == nil {
		bind.Fields = p.Fields
	}
	defer x.close(ctx)
	started := time.Now()
	top := &section{title: "Trunkline " + title(p.Plan.Rung.String())}
	for _, why := range p.Plan.Why {
		top.add("Why", why)
	}
	run := func() error { return x.whole(ctx, top) }
	var err error
	if o.Analyze && p.Plan.Writes {
		err = env.Tx.RunAtomically(ctx, run)
	} else {
		err = run()
	}
	if err != nil {
		return nil, err
	}
	if o.Analyze {
		top.add("Distributed Execution Time", fmt.Sprintf("%.3f ms", float64(time.Since(started).Microseconds())/1000))
	}
	return top.render(o.Format), nil
}

func title(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// explanation is an EXPLAIN under way.
type explanation struct {
	execution
	options ExplainOptions
}

func (x *explanation) whole(ctx context.Context, top *section) error {
	for i := range x.plan.Subplans {
		g := &x.plan.Subplans[i]
		s := &section{title: "Subplan " + strconv.Itoa(i+1)}
		top.children = append(top.children, s)
		if g.Reason != "" {
			s.add("Reason", g.Reason)
		}
		if x.options.Analyze {
			started := time.Now()
			if err := x.subplan(ctx, i); err != nil {
				return err
			}
			im := x.results[i]
			s.add("Rows", strconv.FormatInt(im.count, 10))
			s.add("Bytes", strconv.FormatInt(im.bytes, 10))
			s.add("Time", fmt.Sprintf("%.3f ms", float64(time.Since(started).Microseconds())/1000))
		}
		// The rows are fetched already; its plan is looked at, which must not carry out what it writes again.
		if err := x.gatherPlan(ctx, s, g, x.options.Analyze && !g.Writes && g.Insert == nil && g.Reference == nil); err != nil {
			return err
		}
		if !x.options.Analyze {
			im := x.prepared.subplans[i]
			im.index = i
			x.results = append(x.results, &im)
		}
	}
	return x.rootPlan(ctx, top)
}

// rootPlan explains the last step.
func (x *explanation) rootPlan(ctx context.Context, top *section) error {
	switch op := x.plan.Root.(type) {
	case *plan.Gather:
		return x.gatherPlan(ctx, top, op, x.options.Analyze)
	case *plan.Coordinator:
		s := top
		if len(x.plan.Subplans) > 0 {
			s = &section{title: "Combine"}
			top.children = append(top.children, s)
		}
		return x.onePlan(ctx, s, catalog.CoordinatorGroup, op.SQL, place{explain: !x.options.Analyze}, x.options.Analyze)
	case *plan.InsertValues:
		return x.valuesPlan(ctx, top, op)
	case *plan.InsertRows:
		if x.options.Analyze {
			tag, err := x.insertRows(ctx, op, x.rootFormats(nil), rowFunc(func([]byte) error { return nil }))
			top.add("Rows Inserted", strconv.FormatInt(tagCount(tag), 10))
			return err
		}
		at := place{explain: true}
		node := catalog.CoordinatorGroup
		if c := x.snapshot.Colocations[op.Colocation]; c != nil && len(c.Groups) > 0 {
			at.groups, node = c.Groups[:1], c.Groups[0].GroupID
			top.add("Task Count", "one per shard group that gets rows")
		}
		return x.onePlan(ctx, top, node, op.SQL, at, false)
	case *plan.ReferenceWrite:
		top.add("Task Count", strconv.Itoa(max(len(x.snapshot.ActivePrimaries()), 1)))
		if x.options.Analyze {
			tag, err := x.referenceWrite(ctx, op, x.rootFormats(nil), rowFunc(func([]byte) error { return nil }))
			if err != nil {
				return err
			}
			top.add("Rows Affected", strconv.FormatInt(tagCount(tag), 10))
			return nil
		}
		return x.onePlan(ctx, top, catalog.CoordinatorGroup, op.SQL, place{}, false)
	case *plan.Empty:
		top.add("Task Count", "0")
		return nil
	}
	return sql.Unsupported("this statement cannot be explained", "", "")
}

// gatherPlan explains a statement over shard groups. With analyze all of its tasks run.
func (x *explanation) gatherPlan(ctx context.Context, s *section, g *plan.Gather, analyze bool) error {
	if g.Coordinator {
		return x.onePlan(ctx, s, catalog.CoordinatorGroup, g.SQL, place{explain: !analyze}, analyze)
	}
	groups, err := x.explained(ctx, g)
	if err != nil {
		return err
	}
	tasks := splitTasks(g, groups)
	s.add("Task Count", strconv.Itoa(len(tasks)))
	s.add("Shard Groups", strconv.Itoa(len(groups)))
	if len(g.Merge) > 0 && len(tasks) > 1 {
		s.add("Combine", "merge of sorted tasks")
	}
	shown := len(tasks)
	if !x.env.ExplainAll && len(tasks) > 1 {
		shown = 1
		s.add("Tasks Shown", "One of "+strconv.Itoa(len(tasks)))
	}
	if !analyze {
		tasks = tasks[:shown]
	}
	if x.options.Analyze {
		nodes := make([]int32, len(tasks))
		for i := range tasks {
			nodes[i] = tasks[i].node
		}
		if _, err := x.reader(ctx, g.SQL, nodes...); err != nil {
			return err
		}
	}
	for i := range tasks {
		tasks[i].at.explain = !x.options.Analyze
		text, err := x.renderTask(nil, g, &tasks[i])
		if err != nil {
			return err
		}
		lines, err := x.ofNode(ctx, tasks[i].node, g.SQL, text, analyze, g.Writes)
		if err != nil {
			return err
		}
		if i < shown {
			x.addTask(s, tasks[i].node, lines)
		}
	}
	return nil
}

// explained gives the shard groups on which a statement runs: of one for any parameters, one stands for whichever it will be.
func (x *explanation) explained(ctx context.Context, g *plan.Gather) ([]catalog.ShardGroup, error) {
	if c := x.colocation(g.Pruning.Colocation); x.options.Generic && c != nil && len(c.Groups) > 0 {
		if g.Pruning.All {
			return c.Groups, nil
		}
		return c.Groups[:1], nil
	}
	return x.prune(ctx, &g.Pruning)
}

// onePlan explains a statement on one node.
func (x *explanation) onePlan(ctx context.Context, s *section, node int32, t plan.Template, at place, analyze bool) error {
	at.node = node
	if _, err := x.reader(ctx, t, node); err != nil {
		return err
	}
	text, err := x.render(nil, t, at)
	if err != nil {
		return err
	}
	lines, err := x.ofNode(ctx, node, t, text, analyze, x.plan.Writes)
	if err != nil {
		return err
	}
	x.addTask(s, node, lines)
	return nil
}

// valuesPlan explains an INSERT … VALUES. Without ANALYZE no sequence is drawn from, and the first row stands for all.
func (x *explanation) valuesPlan(ctx context.Context, s *section, op *plan.InsertValues) error {
	c := x.snapshot.Colocations[op.Colocation]
	if c == nil || len(op.Rows) == 0 {
		return sql.Errorf("XX000", "colocation group %d does not exist", op.Colocation)
	}
	if x.options.Analyze {
		tag, err := x.insertValues(ctx, op, rowFunc(func([]byte) error { return nil }))
		s.add("Rows Inserted", strconv.FormatInt(tagCount(tag), 10))
		return err
	}
	at := 0
	if key := &op.Rows[0].Key; key.Kind != plan.ValueSequence {
		var err error
		if at, err = x.routeRow(ctx, c, key); err != nil {
			return err
		}
	}
	t := append(append(append(plan.Template{}, op.Head...), op.Rows[0].SQL...), op.Tail...)
	return x.onePlan(ctx, s, c.Groups[at].GroupID, t, place{groups: c.Groups[at : at+1], explain: true}, false)
}

func (x *explanation) addTask(s *section, node int32, lines []string) {
	t := &section{title: "Task", remote: lines}
	where := "coordinator"
	if n, ok := x.snapshot.Primary(node); ok {
		where = n.Host + ":" + strconv.Itoa(n.Port)
	}
	t.add("Node", where)
	s.children = append(s.children, t)
}

// ofNode has a node explain a statement, the text of a template.
func (x *explanation) ofNode(ctx context.Context, node int32, t plan.Template, text []byte, analyze, writes bool) ([]string, error) {
	options := x.options.Text
	if x.options.Analyze && !analyze {
		options = "(FORMAT " + x.options.Format + ")"
	}
	full := append([]byte("EXPLAIN "+options+" "), text...)
	var lines []string
	f := &form{columns: 1}
	atHome, err := x.reader(ctx, t, node)
	if err != nil {
		return nil, err
	}
	conn, release, err := x.borrow(ctx, node, atHome)
	if err != nil {
		return nil, err
	}
	defer release()
	_, err = x.on(ctx, conn, node, full, f, writes && analyze, rowFunc(func(raw []byte) error {
		values, err := splitRow(raw, nil)
		if err != nil {
			return err
		}
		for _, line := range strings.Split(string(values[0]), "\n") {
			lines = append(lines, x.userNames(line))
		}
		return nil
	}))
	return lines, err
}

// userNames puts the user's names in place of shards' in a line of a plan.
func (x *explanation) userNames(line string) string {
	for i := range x.plan.Tables {
		t := &x.plan.Tables[i]
		if c := x.snapshot.Colocations[t.ColocationID]; c != nil && !t.Reference {
			for _, g := range c.Groups {
				if shard := catalog.ShardSchema(t.Schema, g.ID); strings.Contains(line, shard) {
					line = strings.ReplaceAll(line, shard, t.Schema)
				}
			}
		}
	}
	return line
}
