package rebalance

import (
	"cmp"
	"math"
	"slices"
)

// finest is how close to its share a node is brought by exchanging units, which takes two moves, whatever the threshold.
const finest = 0.02

// slight is the part of a node's share below which a difference of what two nodes carry of one set does not count.
const slight = 0.02

// rounding is the part of a node's share below which a difference of costs means nothing.
const rounding = 1e-9

// scale weighs some units of a problem against one another: all that takes part in one balancing.
type scale struct {
	p     *Problem
	home  []int     // where each unit of the problem was at first
	load  []float64 // by node: cost of the units
	share []float64 // by node: what it should carry
	whole *scale    // of all units, where these are a part of them; kept up to date, and decides among equals
	held  [][]int   // by node: its units, the costliest first; those that can move
	fixed []bool    // by node: whether it has others

	spread map[int][]float64 // sets that must not become less even: what each node carries of them
}

// newScale makes a scale of one set, or of all units.
func newScale(p *Problem, home []int, set *int) *scale {
	s := &scale{p: p, home: home, load: make([]float64, len(p.Nodes)), share: make([]float64, len(p.Nodes)), held: make([][]int, len(p.Nodes)), fixed: make([]bool, len(p.Nodes))}
	cost, capacity := 0.0, 0.0
	for i, u := range p.Units {
		if set == nil || *set == u.Set {
			s.load[u.Node] += u.Cost
			cost += u.Cost
			if u.Fixed {
				s.fixed[u.Node] = true
			} else {
				s.held[u.Node] = append(s.held[u.Node], i)
			}
		}
	}
	for n, node := range p.Nodes {
		slices.SortStableFunc(s.held[n], func(a, b int) int { return cmp.Compare(p.Units[b].Cost, p.Units[a].Cost) })
		if !node.Drain {
			capacity += node.Capacity
		}
	}
	for n, node := range p.Nodes {
		if !node.Drain && capacity > 0 {
			s.share[n] = cost * node.Capacity / capacity
		}
	}
	return s
}

// most and least are what a node may carry.
func (s *scale) most(n int) float64 { return s.share[n] * (1 + s.p.Threshold + rounding) }
func (s *scale) least(n int) float64 {
	return s.share[n] * (1 - s.p.Threshold - rounding)
}

// use is how much a node carries by its share; 1 is right.
func (s *scale) use(n int) float64 { return s.load[n] / s.share[n] }

// open tells whether units may come to a node.
func (s *scale) open(n int) bool { return s.share[n] > 0 }

func (s *scale) move(unit, to int) {
	u := &s.p.Units[unit]
	from := s.held[u.Node]
	at := slices.Index(from, unit)
	s.held[u.Node] = slices.Delete(from, at, at+1)
	at, _ = slices.BinarySearchFunc(s.held[to], u.Cost, func(other int, cost float64) int { return cmp.Compare(cost, s.p.Units[other].Cost) })
	s.held[to] = slices.Insert(s.held[to], at, unit)
	s.load[u.Node] -= u.Cost
	s.load[to] += u.Cost
	if s.whole != nil {
		s.whole.move(unit, to) // which says where the unit is
		return
	}
	if set := s.spread[u.Set]; set != nil {
		set[u.Node] -= u.Cost
		set[to] += u.Cost
	}
	u.Node = to
}

// allowed tells whether a unit may move to a node.
func (s *scale) allowed(unit, to int) bool {
	u := s.p.Units[unit]
	if set := s.spread[u.Set]; set != nil && s.share[u.Node] > 0 && (set[to]+u.Cost)/s.share[to] > set[u.Node]/s.share[u.Node]*(1+slight) {
		return false
	}
	return s.p.allowed(unit, to)
}

// balance moves units until every node is within the threshold, or nothing that may be done makes it better.
func (s *scale) balance() {
	given := make([]bool, len(s.p.Nodes)) // nodes that could not be helped since the last change
	changed := false
	for {
		n := s.worst(given)
		if n < 0 {
			break
		}
		if s.help(n) {
			clear(given)
			changed = true
		} else {
			given[n] = true
		}
	}
	if changed {
		s.trade()
		s.sendHome()
	}
}

// worst gives the node that is furthest beyond the threshold, leaving out those that have been given up; -1 if there is none.
func (s *scale) worst(given []bool) int {
	worst, furthest := -1, 0.0
	for n := range s.load {
		if !s.open(n) || given[n] {
			continue
		}
		far := max(s.load[n]-s.most(n), s.least(n)-s.load[n]) / s.share[n]
		if far > 0 && (worst < 0 || far > furthest+rounding) {
			worst, furthest = n, far
		}
	}
	return worst
}

// unevenness adds up the squares of how far nodes are beyond the threshold.
func (s *scale) unevenness() float64 {
	sum := 0.0
	for n := range s.load {
		if s.open(n) {
			far := max(0, s.load[n]-s.most(n), s.least(n)-s.load[n])
			sum += far * far / s.share[n]
		}
	}
	return sum
}

// help makes one move, or exchange, that brings a node nearer to its share.
func (s *scale) help(n int) bool {
	if s.load[n] > s.most(n) {
		return s.shed(n) || s.improve(n) || s.exchange(n)
	}
	return s.fetch(n) || s.improve(n) || s.exchange(n)
}

// shed moves the costliest unit away that can go while the node stays within the threshold, or above, and the other one within the
// threshold, or below: the larger the moves, the fewer.
func (s *scale) shed(from int) bool {
	for _, unit := range s.held[from] {
		cost := s.p.Units[unit].Cost
		if cost == 0 || s.load[from]-cost < s.least(from) {
			continue
		}
		to := -1
		for n := range s.load {
			if n != from && s.open(n) && s.load[n]+cost <= s.most(n) && s.allowed(unit, n) && (to < 0 || s.emptier(n, to)) {
				to = n
			}
		}
		if to >= 0 {
			s.move(unit, to)
			return true
		}
	}
	return false
}

// fetch moves the costliest unit to a node that can come while the node it leaves stays within the threshold, or above, and the node
// that it comes to within the threshold, or below.
func (s *scale) fetch(to int) bool {
	best := -1
	for n := range s.load {
		if n == to {
			continue
		}
		for _, unit := range s.held[n] {
			cost := s.p.Units[unit].Cost
			if best >= 0 && !s.preferred(unit, best) {
				break
			}
			if cost > 0 && s.load[n]-cost >= s.least(n) && s.load[to]+cost <= s.most(to) && s.allowed(unit, to) {
				best = unit
				break
			}
		}
	}
	if best < 0 {
		return false
	}
	s.move(best, to)
	return true
}

// preferred tells whether a unit is a better one to fetch than another: costlier, or as costly and from a fuller node.
func (s *scale) preferred(unit, other int) bool {
	a, b := s.p.Units[unit], s.p.Units[other]
	return a.Cost > b.Cost || a.Cost == b.Cost && s.emptier(b.Node, a.Node)
}

// emptier compares two nodes by what they carry of these units, then of all.
func (s *scale) emptier(a, b int) bool {
	d := s.use(a) - s.use(b)
	if s.whole != nil && math.Abs(d) < slight {
		d = s.whole.use(a) - s.whole.use(b)
	}
	return d < -rounding
}

// fullest is how much the fullest node carries by its share.
func (s *scale) fullest() float64 {
	most := 0.0
	for n := range s.load {
		if s.open(n) {
			most = max(most, s.use(n))
		}
	}
	return most
}

// distance is how much two nodes are away from their shares, as squares so that the larger one counts more.
func (s *scale) distance(a int, loadA float64, b int, loadB float64) float64 {
	da, db := (loadA-s.share[a])/s.share[a], (loadB-s.share[b])/s.share[b]
	return da*da*s.share[a] + db*db*s.share[b]
}

// further is the larger of two nodes' distances from their shares.
func (s *scale) further(a int, loadA float64, b int, loadB float64) float64 {
	return max(math.Abs(loadA/s.share[a]-1), math.Abs(loadB/s.share[b]-1))
}

// worthwhile tells whether a transfer of cost from one node to another is a sufficient improvement, and how great a one.
func (s *scale) worthwhile(from, to int, cost float64) (gain float64, ok bool) {
	fromThen, toThen := s.load[from]-cost, s.load[to]+cost
	gain = s.distance(from, s.load[from], to, s.load[to]) - s.distance(from, fromThen, to, toThen)
	if gain <= rounding*(s.share[from]+s.share[to]) {
		return 0, false
	}
	before := s.further(from, s.load[from], to, s.load[to])
	return gain, s.further(from, fromThen, to, toThen) <= before*(1-s.p.Improvement)+rounding
}

// improve makes the one move to or from a node that improves most, where none brings it within the threshold.
func (s *scale) improve(n int) bool {
	best, bestTo, bestGain := -1, -1, 0.0
	consider := func(unit, to int) {
		u := s.p.Units[unit]
		gain, ok := s.worthwhile(u.Node, to, u.Cost)
		if !ok || !s.allowed(unit, to) {
			return
		}
		better := gain > bestGain*(1+rounding)
		if s.whole != nil && best >= 0 && math.Abs(gain-bestGain) <= slight*bestGain {
			better = to != bestTo && s.emptier(to, bestTo) || s.emptier(s.p.Units[best].Node, u.Node)
		}
		if best < 0 || better {
			best, bestTo, bestGain = unit, to, gain
		}
	}
	if s.load[n] > s.share[n] {
		for to := range s.load {
			if to != n && s.open(to) && s.use(to) < s.use(n) {
				s.near(n, s.ideal(n, to), func(unit int) { consider(unit, to) })
			}
		}
	} else {
		for from := range s.load {
			if from != n && s.open(from) && s.use(from) > s.use(n) {
				s.near(from, s.ideal(from, n), func(unit int) { consider(unit, n) })
			}
		}
	}
	if best < 0 {
		return false
	}
	s.move(best, bestTo)
	return true
}

// ideal is the cost that makes two nodes equally utilised when it moves from one to the other.
func (s *scale) ideal(from, to int) float64 {
	return (s.load[from]*s.share[to] - s.load[to]*s.share[from]) / (s.share[from] + s.share[to])
}

// near calls f for a node's units whose costs are nearest to one: a few on either side, for some may not be allowed to go.
func (s *scale) near(n int, cost float64, f func(unit int)) {
	const few = 8
	held := s.held[n]
	at, _ := slices.BinarySearchFunc(held, cost, func(unit int, cost float64) int { return cmp.Compare(cost, s.p.Units[unit].Cost) })
	for i := max(0, at-few); i < min(len(held), at+few); i++ {
		f(held[i])
	}
}

// exchange swaps a unit of a node with one of another, where no single move makes it better. That takes two moves, so it is done only
// while the node is well away from its share.
func (s *scale) exchange(n int) bool {
	if math.Abs(s.use(n)-1) <= max(finest, s.p.Threshold) {
		return false
	}
	over := s.load[n] > s.share[n]
	best, bestOther, bestGain := -1, -1, 0.0
	for other := range s.load {
		if other == n || !s.open(other) || over != (s.use(other) < s.use(n)) {
			continue
		}
		for _, unit := range s.held[n] {
			cost := s.p.Units[unit].Cost
			s.near(other, cost-s.ideal(n, other), func(back int) {
				gain, ok := s.worthwhile(n, other, cost-s.p.Units[back].Cost)
				if ok && gain > bestGain && s.allowed(unit, other) && s.allowed(back, n) {
					best, bestOther, bestGain = unit, back, gain
				}
			})
		}
	}
	if best < 0 {
		return false
	}
	to := s.p.Units[bestOther].Node
	s.move(bestOther, n)
	s.move(best, to)
	return true
}

// trade lets two nodes exchange all that they hold, where that means fewer moves: it is the same balance.
func (s *scale) trade() {
	if len(s.spread) > 0 {
		return
	}
	came := make([][]int, len(s.load)) // by node: how many of its units are from each node
	for n := range s.load {
		came[n] = make([]int, len(s.load))
		for _, unit := range s.held[n] {
			came[n][s.home[unit]]++
		}
	}
	for a := range s.load {
		for b := range a {
			if came[a][b]+came[b][a] > came[a][a]+came[b][b] && s.share[a] == s.share[b] && s.mayTrade(a, b) {
				fromA, fromB := slices.Clone(s.held[a]), slices.Clone(s.held[b])
				for _, unit := range fromA {
					s.move(unit, b)
				}
				for _, unit := range fromB {
					s.move(unit, a)
				}
				came[a], came[b] = came[b], came[a]
			}
		}
	}
}

func (s *scale) mayTrade(a, b int) bool {
	if s.fixed[a] || s.fixed[b] {
		return false
	}
	for _, unit := range s.held[a] {
		if !s.allowed(unit, b) {
			return false
		}
	}
	for _, unit := range s.held[b] {
		if !s.allowed(unit, a) {
			return false
		}
	}
	return true
}

// sendHome takes back moves that turned out not to be needed: the cheapest units first.
func (s *scale) sendHome() {
	var moved []int
	for _, units := range s.held {
		for _, unit := range units {
			if s.p.Units[unit].Node != s.home[unit] {
				moved = append(moved, unit)
			}
		}
	}
	slices.SortStableFunc(moved, func(a, b int) int { return cmp.Compare(s.p.Units[a].Cost, s.p.Units[b].Cost) })
	for _, unit := range moved {
		u, home := s.p.Units[unit], s.home[unit]
		if s.open(home) && s.allowed(unit, home) && s.load[home]+u.Cost <= s.most(home) && s.load[u.Node]-u.Cost >= s.least(u.Node) {
			s.move(unit, home)
		}
	}
}
