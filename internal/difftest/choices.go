package difftest

import "math/rand/v2"

// Choices are the decisions by which a generator makes a case. They are drawn at random and recorded, or replayed: a recorded
// list that has been shortened or lowered makes a simpler case, since 0 always stands for the simplest way to go on.
type Choices struct {
	random *rand.Rand
	given  []int
	Made   []int
}

// RandomChoices draws from a seed.
func RandomChoices(seed uint64) *Choices {
	return &Choices{random: rand.New(rand.NewPCG(seed, 0x7472756e6b6c696e))}
}

// ReplayChoices goes through made once more, and then chooses 0.
func ReplayChoices(made []int) *Choices { return &Choices{given: made} }

// N chooses one of n ways.
func (c *Choices) N(n int) int {
	v := 0
	switch {
	case n <= 1:
		return 0
	case c.random != nil:
		v = c.random.IntN(n)
	case len(c.Made) < len(c.given):
		v = c.given[len(c.Made)] % n
	}
	c.Made = append(c.Made, v)
	return v
}

// Chance is true in percent of a hundred draws; a simplified case has it false.
func (c *Choices) Chance(percent int) bool { return c.N(100) >= 100-percent }

// pick chooses an element; the first is the simplest.
func pick[T any](c *Choices, from []T) T { return from[c.N(len(from))] }

// Shrink looks for a simpler list of choices for which fails still holds, trying it at most budget times.
func Shrink(made []int, budget int, fails func([]int) bool) []int {
	try := func(candidate []int) bool {
		if budget <= 0 {
			return false
		}
		budget--
		return fails(candidate)
	}
	for improved := true; improved && budget > 0; {
		improved = false
		for size := max(len(made)/2, 1); size > 0; size /= 2 {
			for at := len(made) - size; at >= 0 && budget > 0; at -= size {
				shorter := append(append([]int{}, made[:at]...), made[at+size:]...)
				if try(shorter) {
					made, improved = shorter, true
					at = min(at, len(made))
				}
			}
		}
		for i := 0; i < len(made) && budget > 0; i++ {
			for _, lower := range []int{0, made[i] / 2, made[i] - 1} {
				if lower < 0 || lower >= made[i] {
					continue
				}
				candidate := append([]int{}, made...)
				candidate[i] = lower
				if try(candidate) {
					made, improved = candidate, true
					break
				}
			}
		}
	}
	return made
}
