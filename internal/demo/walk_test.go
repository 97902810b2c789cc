package demo

import (
	"slices"
	"testing"
)

func TestPlanInTwoLines(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ lines, want []string }{
		{
			[]string{"Trunkline Router", "Task Count: 1", "Shard Groups: 1", "->  Task", "Node: 127.0.0.1:1", "->  Seq Scan on t"},
			[]string{"Trunkline Router", "Task Count: 1, Shard Groups: 1, Node: 127.0.0.1:1"},
		},
		{
			[]string{"Trunkline Pushdown", "Why: router: x", "Task Count: 2", "Shard Groups: 32", "Combine: merge of sorted tasks", "Tasks Shown: One of 2", "->  Task", "Node: n:1", "Sort Key: a"},
			[]string{"Trunkline Pushdown", "Task Count: 2, Shard Groups: 32, Combine: merge of sorted tasks"},
		},
		{
			[]string{"Trunkline Pushdown", "->  Subplan 1", "Task Count: 2", "Shard Groups: 32", "->  Task", "Node: n:1", "->  Combine", "->  Task", "Node: n:2"},
			[]string{"Trunkline Pushdown", "Task Count: 2, Shard Groups: 32, Combine: one query over their rows"},
		},
		{nil, nil},
	} {
		if got := summary(c.lines); !slices.Equal(got, c.want) {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
