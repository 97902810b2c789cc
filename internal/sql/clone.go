package sql

import (
	"reflect"
	"sync"

	"google.golang.org/protobuf/proto"
)

// Clone makes a deep copy of a tree, to be changed freely. It goes by Go's own reflection, as Walk does and for the same reason.
func Clone[T proto.Message](tree T) T {
	return copyStruct(reflect.ValueOf(tree)).Interface().(T)
}

// copyStruct copies what a pointer to a message, or to the wrapper of one of several fields, points at.
func copyStruct(pointer reflect.Value) reflect.Value {
	if pointer.IsNil() {
		return pointer
	}
	from := pointer.Elem()
	to := reflect.New(from.Type())
	for _, i := range exportedFields(from.Type()) {
		copyField(to.Elem().Field(i), from.Field(i))
	}
	return to
}

func copyField(to, from reflect.Value) {
	switch from.Kind() {
	case reflect.Pointer:
		if !from.IsNil() {
			to.Set(copyStruct(from))
		}
	case reflect.Interface: // one of several fields
		if !from.IsNil() {
			to.Set(copyStruct(from.Elem()))
		}
	case reflect.Slice:
		if from.IsNil() {
			return
		}
		if nodes, ok := from.Addr().Interface().(*[]*Node); ok {
			*to.Addr().Interface().(*[]*Node) = copyNodes(*nodes)
			return
		}
		to.Set(reflect.MakeSlice(from.Type(), from.Len(), from.Len()))
		for i := range from.Len() {
			copyField(to.Index(i), from.Index(i))
		}
	default:
		to.Set(from)
	}
}

func copyNodes(nodes []*Node) []*Node {
	copies := make([]*Node, len(nodes))
	for i, n := range nodes {
		copies[i] = copyStruct(reflect.ValueOf(n)).Interface().(*Node)
	}
	return copies
}

// knownExported are the answers of exportedFields, by type.
var knownExported sync.Map

// exportedFields lists the fields of a type that are a message's own, rather than its library's.
func exportedFields(t reflect.Type) []int {
	if known, ok := knownExported.Load(t); ok {
		return known.([]int)
	}
	var fields []int
	for i := range t.NumField() {
		if t.Field(i).IsExported() {
			fields = append(fields, i)
		}
	}
	knownExported.Store(t, fields)
	return fields
}
