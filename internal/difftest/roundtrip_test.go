package difftest

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/trunkline/trunkline/internal/sql"
)

// TestDeparse proves that a deparsed statement means what it said: parsed again, it is the same tree.
func TestDeparse(t *testing.T) {
	t.Parallel()
	seed := uint64(number("TRUNKLINE_FUZZ_SEED", 1))
	failures := 0
	check := func(text string) string {
		first, err := sql.Parse(text)
		if err != nil {
			return ""
		}
		again, err := sql.Deparse(first[0].Tree)
		if err != nil {
			return "cannot be deparsed: " + err.Error()
		}
		second, err := sql.Parse(again)
		if err != nil {
			return again + "\n" + err.Error()
		}
		withoutPlaces(first[0].Tree.ProtoReflect())
		withoutPlaces(second[0].Tree.ProtoReflect())
		if !proto.Equal(first[0].Tree, second[0].Tree) {
			return again
		}
		return ""
	}
	for n := range number("TRUNKLINE_FUZZ_ROUNDTRIPS", 2000) {
		choices := RandomChoices(seed + uint64(n))
		st := SelectCase(choices)[0]
		got := check(st.SQL)
		if got == "" {
			continue
		}
		Shrink(choices.Made, 3000, func(made []int) bool {
			simpler := SelectCase(ReplayChoices(made))[0]
			if text := check(simpler.SQL); text != "" && len(simpler.SQL) <= len(st.SQL) {
				st, got = simpler, text
				return true
			}
			return false
		})
		t.Errorf("seed %d:\n%s\nbecomes\n%s", seed+uint64(n), st.SQL, got)
		if failures++; failures == 12 {
			break
		}
	}
}

// withoutPlaces clears where in the text each node stood.
func withoutPlaces(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case strings.Contains(string(f.Name()), "location") && f.Kind() == protoreflect.Int32Kind:
			m.Clear(f)
		case f.IsList() && f.Kind() == protoreflect.MessageKind:
			for i := range v.List().Len() {
				withoutPlaces(v.List().Get(i).Message())
			}
		case f.Kind() == protoreflect.MessageKind && !f.IsMap():
			withoutPlaces(v.Message())
		}
		return true
	})
}
