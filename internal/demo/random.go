package demo

// random is SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom
// Number Generators, 2014). The demo has its own generator so that the same
// scale gives the same rows with every version of Go, on every machine.
type random struct{ state uint64 }

// randomFor is the generator of one row or one group of rows: it depends on
// nothing but its name, so rows can be made in any order and in parallel.
func randomFor(table, id int64) random {
	r := random{state: uint64(table)*0x9e3779b97f4a7c15 ^ uint64(id)*0xd1342543de82ef95}
	r.next()
	return r
}

func (r *random) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// below returns a number in [0, n). The tiny bias of the remainder does not
// matter here.
func (r *random) below(n int64) int64 { return int64(r.next() % uint64(n)) }

// between returns a number in [low, high].
func (r *random) between(low, high int64) int64 { return low + r.below(high-low+1) }

func pick[T any](r *random, from []T) T { return from[r.below(int64(len(from)))] }
