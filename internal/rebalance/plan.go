package rebalance

import (
	"cmp"
	"math"
	"slices"
)

// Plan gives the moves that balance a cluster, in the order in which they are best made: each next one is from the node that carries
// most by then. A prefix of them is a plan too.
//
// Units that may not be where they are leave in any case. The sets that have enough units to be on every node are then balanced one by
// one, so that the work on each table is spread; at last everything is balanced together, without making those sets less even. A set
// or a cluster in which every node is within the threshold is left as it is. Where the sets' own evenness would cost more than a
// twentieth of the cluster's balance, everything is balanced together only.
func Plan(p Problem) ([]Move, error) {
	home := make([]int, len(p.Units))
	for i, u := range p.Units {
		home[i] = u.Node
	}
	p.Units = slices.Clone(p.Units)
	all := newScale(&p, home, nil)
	if err := evacuate(all); err != nil {
		return nil, err
	}
	if p.DrainOnly {
		return p.order(home), nil
	}
	sets := p.wideSets()
	if len(sets) == 0 {
		all.balance()
		return p.order(home), nil
	}
	before, together := p, p
	before.Units, together.Units = slices.Clone(p.Units), slices.Clone(p.Units)
	simple := newScale(&together, home, nil)
	simple.balance()
	all.spread = map[int][]float64{}
	for _, set := range sets {
		s := newScale(&p, home, &set)
		s.whole = all
		s.balance()
		all.spread[set] = s.load
	}
	all.balance()
	if all.fullest() > max(1+p.Threshold, simple.fullest())*1.05 {
		p = together
	}
	if p.unevenness(home, sets) >= before.unevenness(home, sets) {
		p = before // else two aims that exclude each other could take turns from one rebalance to the next
	}
	return p.order(home), nil
}

// unevenness is how far nodes are beyond the threshold, altogether and in each set.
func (p *Problem) unevenness(home []int, sets []int) float64 {
	sum := newScale(p, home, nil).unevenness()
	for _, set := range sets {
		sum += newScale(p, home, &set).unevenness()
	}
	return sum
}

// wideSets lists the sets that have at least one unit for each node, the costliest first.
func (p *Problem) wideSets() []int {
	count, cost := map[int]int{}, map[int]float64{}
	for _, u := range p.Units {
		count[u.Set]++
		cost[u.Set] += u.Cost
	}
	nodes := 0
	for _, n := range p.Nodes {
		if !n.Drain && n.Capacity > 0 {
			nodes++
		}
	}
	var sets []int
	for set, n := range count {
		if n >= nodes && len(count) > 1 {
			sets = append(sets, set)
		}
	}
	slices.SortFunc(sets, func(a, b int) int { return cmp.Or(cmp.Compare(cost[b], cost[a]), cmp.Compare(a, b)) })
	return sets
}

// evacuate takes units away from where they may not be, the costliest first, each to the node that it leaves least utilised.
func evacuate(s *scale) error {
	p := s.p
	var leaving []int
	for i, u := range p.Units {
		if !u.Fixed && !p.allowed(i, u.Node) {
			leaving = append(leaving, i)
		}
	}
	slices.SortStableFunc(leaving, func(a, b int) int { return cmp.Compare(p.Units[b].Cost, p.Units[a].Cost) })
	onNode := map[[2]int]float64{} // the cost of a set on a node
	for _, u := range p.Units {
		onNode[[2]int{u.Set, u.Node}] += u.Cost
	}
	for _, unit := range leaving {
		u := &p.Units[unit]
		best, bestUse := -1, [2]float64{}
		for n, node := range p.Nodes {
			if !p.allowed(unit, n) {
				continue
			}
			// Its set is spread first of all; what the node carries altogether decides among equals.
			use := [2]float64{(onNode[[2]int{u.Set, n}] + u.Cost) / node.Capacity, s.load[n] / node.Capacity}
			if best < 0 || use[0] < bestUse[0] || use[0] == bestUse[0] && use[1] < bestUse[1] {
				best, bestUse = n, use
			}
		}
		if best < 0 {
			return &HomelessError{Unit: unit}
		}
		onNode[[2]int{u.Set, u.Node}] -= u.Cost
		onNode[[2]int{u.Set, best}] += u.Cost
		s.move(unit, best)
	}
	return nil
}

// order lists the moves from where units were to where they are now.
func (p *Problem) order(home []int) []Move {
	load, waiting := make([]float64, len(p.Nodes)), make([][]Move, len(p.Nodes))
	total := 0
	for i, u := range p.Units {
		load[home[i]] += u.Cost
		if u.Node != home[i] {
			waiting[home[i]] = append(waiting[home[i]], Move{Unit: i, From: home[i], To: u.Node})
			total++
		}
	}
	for _, list := range waiting {
		slices.SortStableFunc(list, func(a, b Move) int { return cmp.Compare(p.Units[b.Unit].Cost, p.Units[a.Unit].Cost) })
	}
	if p.MaxMoves >= 0 {
		total = min(total, p.MaxMoves)
	}
	moves := make([]Move, 0, total)
	for len(moves) < total {
		from, most := -1, 0.0
		for n, list := range waiting {
			use := math.Inf(1) // a node that is to be emptied
			if p.Nodes[n].Capacity > 0 && !p.Nodes[n].Drain {
				use = load[n] / p.Nodes[n].Capacity
			}
			if len(list) > 0 && (from < 0 || use > most) {
				from, most = n, use
			}
		}
		m := waiting[from][0]
		waiting[from] = waiting[from][1:]
		load[m.From] -= p.Units[m.Unit].Cost
		load[m.To] += p.Units[m.Unit].Cost
		moves = append(moves, m)
	}
	return moves
}
