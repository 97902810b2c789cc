package rebalance

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// cluster makes a problem: a node for each list of costs.
func cluster(held ...[]float64) Problem {
	p := Problem{MaxMoves: -1}
	for n, costs := range held {
		p.Nodes = append(p.Nodes, Node{Capacity: 1})
		for _, c := range costs {
			p.Units = append(p.Units, Unit{Cost: c, Node: n})
		}
	}
	return p
}

func repeat(cost float64, n int) []float64 { return slices.Repeat([]float64{cost}, n) }

// must plans, and checks what holds for every plan: each unit moves once, from where it is to where it may be.
func must(t testing.TB, p Problem) []Move {
	t.Helper()
	before := slices.Clone(p.Units)
	moves, err := Plan(p)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(before, p.Units) {
		t.Fatal("the problem was changed")
	}
	seen := map[int]bool{}
	for _, m := range moves {
		switch {
		case seen[m.Unit]:
			t.Errorf("unit %d moves twice", m.Unit)
		case p.Units[m.Unit].Fixed:
			t.Errorf("unit %d moves though it is fixed", m.Unit)
		case m.From != p.Units[m.Unit].Node || m.To == m.From:
			t.Errorf("move %+v of a unit on node %d", m, p.Units[m.Unit].Node)
		case !p.allowed(m.Unit, m.To):
			t.Errorf("unit %d may not be on node %d", m.Unit, m.To)
		}
		seen[m.Unit] = true
	}
	if p.MaxMoves >= 0 && len(moves) > p.MaxMoves {
		t.Errorf("%d moves, at most %d were wanted", len(moves), p.MaxMoves)
	}
	return moves
}

// loads gives what nodes carry after moves.
func loads(p Problem, moves []Move) []float64 {
	load := make([]float64, len(p.Nodes))
	for _, u := range p.Units {
		load[u.Node] += u.Cost
	}
	for _, m := range moves {
		load[m.From] -= p.Units[m.Unit].Cost
		load[m.To] += p.Units[m.Unit].Cost
	}
	return load
}

// fullest is the utilisation of the fullest node by the mean.
func fullest(p Problem, load []float64) float64 {
	cost, capacity, most := 0.0, 0.0, 0.0
	for n, l := range load {
		if p.Nodes[n].Drain {
			continue
		}
		cost, capacity, most = cost+l, capacity+p.Nodes[n].Capacity, max(most, l/p.Nodes[n].Capacity)
	}
	if cost == 0 {
		return 1
	}
	return most / (cost / capacity)
}

func TestEqualCosts(t *testing.T) {
	for _, test := range []struct {
		p     Problem
		moves int
		want  []float64
	}{
		{cluster(repeat(1, 32), nil), 16, []float64{16, 16}},
		{cluster(repeat(1, 16), repeat(1, 16), nil), 10, []float64{11, 11, 10}},
		{cluster(repeat(1, 11), repeat(1, 11), repeat(1, 10)), 0, []float64{11, 11, 10}},
		{cluster(repeat(1, 4), repeat(1, 2)), 1, []float64{3, 3}},
		{cluster(repeat(1, 3), repeat(1, 2)), 0, []float64{3, 2}},
		{cluster(nil, nil), 0, []float64{0, 0}},
		{cluster(repeat(0, 5), nil), 0, []float64{0, 0}},
		{cluster(repeat(1, 1), nil, nil), 0, []float64{1, 0, 0}},
	} {
		moves := must(t, test.p)
		got := loads(test.p, moves)
		slices.SortFunc(got, func(a, b float64) int { return int(b - a) })
		if len(moves) != test.moves || !slices.Equal(got, test.want) {
			t.Errorf("%v: %d moves to %v, want %d to %v", test.p.Units, len(moves), got, test.moves, test.want)
		}
	}
}

func TestThreshold(t *testing.T) {
	p := cluster(repeat(1, 11), repeat(1, 9))
	p.Threshold = 0.1
	if moves := must(t, p); len(moves) != 0 {
		t.Errorf("%d moves though every node is within the threshold", len(moves))
	}
	p = cluster(repeat(1, 12), repeat(1, 8))
	p.Threshold = 0.1
	if moves := must(t, p); len(moves) != 1 {
		t.Errorf("%d moves, one is enough to be within the threshold", len(moves))
	}
}

func TestImprovement(t *testing.T) {
	// The mean is 10.5: of 15 and 6 a move makes 8 and 13, which is better by less than half.
	p := cluster([]float64{7, 8}, []float64{6})
	if moves := must(t, p); len(moves) != 1 {
		t.Errorf("moves %v, want one", moves)
	}
	p.Improvement = 0.5
	if moves := must(t, p); len(moves) != 0 {
		t.Errorf("moves %v, none is worth it", moves)
	}
}

func TestCapacity(t *testing.T) {
	p := cluster(repeat(1, 30), nil)
	p.Nodes[1].Capacity = 2
	if got := loads(p, must(t, p)); got[0] != 10 || got[1] != 20 {
		t.Errorf("loads %v", got)
	}
	p = cluster(repeat(1, 10), repeat(1, 10))
	p.Nodes[1].Capacity = 0 // is to hold nothing
	if got := loads(p, must(t, p)); got[0] != 20 || got[1] != 0 {
		t.Errorf("loads %v", got)
	}
}

func TestAllowed(t *testing.T) {
	p := cluster(repeat(1, 20), nil)
	p.Allowed = func(unit, node int) bool { return node == 0 || unit < 4 }
	if got := loads(p, must(t, p)); got[0] != 16 || got[1] != 4 {
		t.Errorf("loads %v", got)
	}
	p.Allowed = func(unit, node int) bool { return (unit == 3) == (node == 1) }
	if moves := must(t, p); len(moves) != 1 || moves[0] != (Move{3, 0, 1}) {
		t.Errorf("moves %v, want that of unit 3", moves)
	}
	p.Allowed = func(unit, node int) bool { return unit != 7 }
	var homeless *HomelessError
	if _, err := Plan(p); !errors.As(err, &homeless) || homeless.Unit != 7 {
		t.Errorf("error %v", err)
	}
}

func TestDrain(t *testing.T) {
	p := cluster(repeat(1, 9), repeat(1, 3), repeat(1, 3))
	p.Nodes[0].Drain, p.DrainOnly = true, true
	if got := loads(p, must(t, p)); got[0] != 0 || fmt.Sprint(got[1:]) != "[8 7]" && fmt.Sprint(got[1:]) != "[7 8]" {
		t.Errorf("loads %v", got)
	}
	p = cluster(repeat(1, 9), repeat(1, 3), nil)
	p.DrainOnly = true
	if moves := must(t, p); len(moves) != 0 {
		t.Errorf("moves %v, though no node is to be emptied", moves)
	}
	p = cluster(repeat(1, 3))
	p.Nodes[0].Drain = true
	if _, err := Plan(p); err == nil {
		t.Error("units went to no node")
	}
}

func TestFixedAndMost(t *testing.T) {
	p := cluster(repeat(1, 20), nil)
	for i := range 10 {
		p.Units[i].Fixed = true
	}
	p.MaxMoves = 3
	if moves := must(t, p); len(moves) != 3 {
		t.Errorf("%d moves", len(moves))
	}
}

// What leaves one node goes where what must stay leaves room.
func TestDrainBesideFixed(t *testing.T) {
	p := cluster(repeat(1, 3), repeat(1, 7), repeat(1, 6))
	for i := range p.Units {
		p.Units[i].Fixed = p.Units[i].Node != 0
	}
	p.Nodes[0].Drain, p.DrainOnly = true, true
	if got := loads(p, must(t, p)); fmt.Sprint(got) != "[0 8 8]" {
		t.Errorf("loads %v", got)
	}
}

// Each set is spread by itself, and what remains of one goes where another left room.
func TestSets(t *testing.T) {
	p := Problem{Nodes: []Node{{Capacity: 1}, {Capacity: 1}, {Capacity: 1}}, MaxMoves: -1}
	for set := range 3 {
		for i := range 16 {
			p.Units = append(p.Units, Unit{Set: set, Cost: 1 + 1e-4*float64(i), Node: 0}) // sizes are never quite the same
		}
	}
	for set := range 3 {
		p.Units = append(p.Units, Unit{Set: 3 + set, Cost: 1, Node: 0})
	}
	moves := must(t, p)
	for n, load := range loads(p, moves) {
		if math.Round(load) != 17 {
			t.Errorf("node %d carries %v", n, load)
		}
	}
	for set := range 3 {
		count := make([]int, 3)
		node := map[int]int{}
		for _, m := range moves {
			node[m.Unit] = m.To
		}
		for i, u := range p.Units {
			if u.Set == set {
				count[node[i]]++
			}
		}
		if slices.Min(count) != 5 || slices.Max(count) != 6 {
			t.Errorf("set %d lies %v on the nodes", set, count)
		}
	}
}

// random makes a problem that is out of balance.
func random(r *rand.Rand, nodes, units int) Problem {
	p := Problem{MaxMoves: -1}
	for range nodes {
		p.Nodes = append(p.Nodes, Node{Capacity: 1})
	}
	kind := r.IntN(3)
	used := 1 + r.IntN(nodes)
	for range units {
		cost := 1.0
		switch kind {
		case 1:
			cost = 1 + r.Float64()
		case 2:
			cost = math.Exp(r.NormFloat64())
		}
		p.Units = append(p.Units, Unit{Cost: cost, Node: r.IntN(used)})
	}
	return p
}

// best searches all placements of a small problem for the best balance, and for the fewest moves to one in which no node carries
// more than by its share, or less.
func best(p Problem, most, least float64) (balance float64, moves int) {
	balance, moves = math.Inf(1), math.MaxInt
	load := make([]float64, len(p.Nodes))
	total := 0.0
	for _, u := range p.Units {
		total += u.Cost
	}
	mean := total / float64(len(p.Nodes))
	var place func(unit, moved int)
	place = func(unit, moved int) {
		if unit == len(p.Units) {
			balance = min(balance, slices.Max(load)/mean)
			if moved < moves && slices.Max(load) <= most*mean+1e-9 && slices.Min(load) >= least*mean-1e-9 {
				moves = moved
			}
			return
		}
		for n := range load {
			step := 0
			if n != p.Units[unit].Node {
				step = 1
			}
			load[n] += p.Units[unit].Cost
			place(unit+1, moved+step)
			load[n] -= p.Units[unit].Cost
		}
	}
	place(0, 0)
	return balance, moves
}

// Small problems, which are the hard ones: there is little to choose from.
func TestAgainstBruteForce(t *testing.T) {
	const cases = 400
	r := rand.New(rand.NewPCG(1, 2))
	more := 0
	for i := range cases {
		p := random(r, 2+r.IntN(2), 5+r.IntN(6))
		if i%2 == 0 {
			p.Threshold = 0.1
		}
		moves := must(t, p)
		load := loads(p, moves)
		mean := 0.0
		for _, l := range load {
			mean += l / float64(len(load))
		}
		got := fullest(p, load)
		balance, fewest := best(p, max(got, 1+p.Threshold), min(slices.Min(load)/mean, 1-p.Threshold))
		if got > max(balance, 1+p.Threshold)*1.05 {
			t.Errorf("case %d: the fullest node has %.3f of the mean, %.3f was possible", i, got, balance)
		}
		if len(moves) > fewest {
			more++
		}
		if len(moves) > fewest+2 {
			t.Errorf("case %d: %d moves, %d would do", i, len(moves), fewest)
		}
	}
	if more > cases/20 {
		t.Errorf("%d of %d plans have more moves than needed", more, cases)
	}
}

// large makes the benchmark's problem: 10,000 units on some of 100 nodes.
func large(seed uint64, used int, equal bool) Problem {
	r := rand.New(rand.NewPCG(seed, 4))
	p := Problem{MaxMoves: -1}
	for range 100 {
		p.Nodes = append(p.Nodes, Node{Capacity: 1})
	}
	for range 10_000 {
		cost := 1.0
		if !equal {
			cost = math.Exp(r.NormFloat64())
			p.Threshold = 0.05
		}
		p.Units = append(p.Units, Unit{Cost: cost, Node: r.IntN(used)})
	}
	return p
}

// The best possible balance of so many units is the mean, but for rounding.
func TestLarge(t *testing.T) {
	for seed := range uint64(3) {
		for _, used := range []int{50, 90, 99, 100} {
			for _, equal := range []bool{true, false} {
				p := large(seed, used, equal)
				moves := must(t, p)
				if got := fullest(p, loads(p, moves)); got > 1.05+1e-9 {
					t.Errorf("used=%d equal=%t: the fullest node has %.3f of the mean", used, equal, got)
				}
				bound, slack := fewestPossible(p), 1.0
				if !equal {
					slack = 1.1
				}
				if float64(len(moves)) > float64(bound)*slack {
					t.Errorf("used=%d equal=%t: %d moves, at least %d are needed", used, equal, len(moves), bound)
				}
				if again := must(t, p); !slices.Equal(moves, again) {
					t.Error("two plans for one problem")
				}
			}
		}
	}
}

// Whatever the problem, planning again soon finds nothing to do, and no node becomes much fuller than the fullest was on the way.
func TestRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for i := range 300 {
		p := random(r, 1+r.IntN(8), r.IntN(120))
		p.Threshold = []float64{0, 0.05, 0.1, 0.3}[r.IntN(4)]
		p.Improvement = []float64{0, 0.5}[r.IntN(2)]
		for n := range p.Nodes {
			p.Nodes[n].Capacity = []float64{1, 1, 2, 0.5}[r.IntN(4)]
		}
		for u := range p.Units {
			p.Units[u].Set = r.IntN(3)
		}
		moves := must(t, p)
		before := fullest(p, loads(p, nil))
		for k := range moves {
			if now := fullest(p, loads(p, moves[:k+1])); now > before+2.5*heaviest(p) {
				t.Errorf("case %d: after %d moves the fullest node has %.3f of the mean, %.3f before", i, k+1, now, before)
			}
		}
		if after := fullest(p, loads(p, moves)); after > max(before, 1+p.Threshold)+1e-9 {
			t.Errorf("case %d: the fullest node has %.3f of the mean, %.3f before", i, after, before)
		}
		rounds := 0
		for ; len(moves) > 0 && rounds < 5; rounds++ {
			for _, m := range moves {
				p.Units[m.Unit].Node = m.To
			}
			moves = must(t, p)
		}
		if rounds > 2 {
			t.Errorf("case %d: %d rounds until there was nothing more to do", i, rounds)
		}
	}
}

// heaviest is the largest part of the mean that one unit is.
func heaviest(p Problem) float64 {
	most, total := 0.0, 0.0
	for _, u := range p.Units {
		most, total = max(most, u.Cost), total+u.Cost
	}
	return most / (total / float64(len(p.Nodes)))
}

func BenchmarkPlan(b *testing.B) {
	for _, used := range []int{50, 90, 99} {
		for _, equal := range []bool{true, false} {
			b.Run(fmt.Sprintf("used=%d/equal=%t", used, equal), func(b *testing.B) {
				p := large(3, used, equal)
				var moves []Move
				for b.Loop() {
					moves = must(b, p)
				}
				b.ReportMetric(float64(len(moves)), "moves")
				b.ReportMetric(float64(fewestPossible(p)), "moves-needed")
				b.ReportMetric(fullest(p, loads(p, moves)), "fullest/mean")
			})
		}
	}
}

// fewestPossible is a number of moves that no plan can do with less of: what each node has too much must leave it, in the costliest
// units, and what one has too little must come, in the costliest of all.
func fewestPossible(p Problem) int {
	load := loads(p, nil)
	total := 0.0
	var all []float64
	held := make([][]float64, len(load))
	for _, u := range p.Units {
		total += u.Cost
		all = append(all, u.Cost)
		held[u.Node] = append(held[u.Node], u.Cost)
	}
	mean := total / float64(len(load))
	descending := func(a, b float64) int { return -int(math.Copysign(1, a-b)) }
	slices.SortFunc(all, descending)
	leave, come, missing := 0, 0, 0.0
	for n := range load {
		slices.SortFunc(held[n], descending)
		have := load[n]
		for _, c := range held[n] {
			if have <= mean*(1+p.Threshold)+1e-9 {
				break
			}
			have -= c
			leave++
		}
	}
	for n := range load {
		missing += max(0, mean*(1-p.Threshold)-1e-9-load[n])
	}
	for ; missing > 0; come++ {
		missing -= all[come]
	}
	return max(leave, come)
}
