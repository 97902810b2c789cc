// Package rebalance decides which shard groups to move so that every node carries its share. It is pure: a Problem in, a list of
// moves out, the same every time. It imports nothing of Trunkline. Read Problem first, then Plan.
package rebalance

import "fmt"

// Node is a node that holds shard groups, or may come to hold them.
type Node struct {
	// Capacity is how much cost the node carries in relation to others; any unit, 0 for a node that is to hold nothing.
	Capacity float64

	// Drain says that everything is to leave the node and nothing may come.
	Drain bool
}

// Unit is a shard group: what moves as one.
type Unit struct {
	Set  int     // its colocation group: the units of one set are spread over the nodes by themselves
	Cost float64 // any unit, not negative
	Node int     // where it is, an index into Problem.Nodes

	Fixed bool // it must not move, but is part of what its node carries
}

// Problem is a cluster as it is, and how it should be.
type Problem struct {
	Nodes []Node
	Units []Unit

	// Allowed tells whether a unit may be on a node. Nil allows everything.
	Allowed func(unit, node int) bool

	// Threshold is how far a node's utilisation, its cost by its capacity, may be from the mean, as a part of the mean.
	Threshold float64

	// Improvement is how much better a move must make things that takes one of the two nodes from one side of the mean beyond the
	// threshold on the other: by which part it must reduce the larger of the two nodes' distances from the mean.
	Improvement float64

	// DrainOnly leaves nodes alone that carry too much or too little; units only leave where they may not be.
	DrainOnly bool

	// MaxMoves is the most moves there may be; negative for any number.
	MaxMoves int
}

// Move takes a unit from one node to another; all three are indexes.
type Move struct{ Unit, From, To int }

// HomelessError says that a unit must leave its node, but may be on no other.
type HomelessError struct{ Unit int }

func (e *HomelessError) Error() string {
	return fmt.Sprintf("unit %d must leave its node and is allowed on no other", e.Unit)
}

func (p *Problem) allowed(unit, node int) bool {
	return !p.Nodes[node].Drain && p.Nodes[node].Capacity > 0 && (p.Allowed == nil || p.Allowed(unit, node))
}
