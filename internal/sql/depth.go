package sql

import (
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// The parser's library walks its syntax trees by recursion, on a C stack that it does not watch: a text whose tree is too deep would
// end the process. Parentheses and other nesting to the right are bounded by the grammar's own stack. Nesting to the left is not:
// 1 + 1 + 1 + … is as deep as it is long. So texts long enough for that are looked at first.

const (
	maxDepth  = 10_000   // levels that the library can walk on the stack of a thread
	maxTree   = 5_000    // levels of messages in a tree that it can write as text
	shortText = 16 << 10 // bytes of a text that cannot be deeper than maxDepth
	smallTree = 16 << 10 // bytes of a tree that cannot be deeper than maxTree
)

// errTooDeep is PostgreSQL's error for a statement nested more deeply than its stack allows.
var errTooDeep = &Error{
	Code: "54001", Message: "stack depth limit exceeded", Detail: "The statement is nested too deeply.",
	Hint: "Split the statement, or write long chains of operators and set operations as lists.",
}

// tooDeep tells whether a text's syntax tree might be deeper than maxDepth.
func tooDeep(text string) bool {
	if len(text) <= shortText {
		return false
	}
	var s Scanned
	if Scan(text, &s) {
		return depth(string(s.Key)) > maxDepth
	}
	return chainsIn(strings.ToLower(text)) > maxDepth
}

// chaining are the keywords that make what stands before them a part of something larger.
var chaining = map[string]bool{
	"join": true, "union": true, "intersect": true, "except": true, "collate": true, "at": true, "is": true, "isnull": true, "notnull": true,
	"like": true, "ilike": true, "similar": true, "in": true, "between": true, "overlaps": true,
}

// listing are the tokens between which stand members of one list, whose depths do not add up.
var listing = map[string]bool{",": true, ";": true, "and": true, "or": true, "when": true, "then": true, "else": true}

// depth gives a bound of the depth of the tree of a text, given in Scan's normal form.
func depth(key string) int {
	type level struct{ chain, inner, most int } // of the member at hand, of parentheses in it, of all members
	levels := []level{{}}
	end := func(l level) int { return max(l.most, l.chain+l.inner) }
	for len(key) > 0 {
		var token string
		token, key = nextToken(key)
		l := &levels[len(levels)-1]
		switch {
		case len(token) == 1 && (token[0] == '(' || token[0] == '['):
			levels = append(levels, level{})
		case len(token) == 1 && (token[0] == ')' || token[0] == ']'):
			if len(levels) > 1 {
				inner := end(*l) + 1
				levels = levels[:len(levels)-1]
				l = &levels[len(levels)-1]
				l.chain, l.inner = l.chain+1, max(l.inner, inner)
			}
		case listing[token]:
			*l = level{most: end(*l)}
		case chaining[token], scanClass[token[0]] == classOp, scanClass[token[0]] == classColon, token[0] == '.':
			l.chain++
		}
	}
	deepest := 0
	for _, l := range levels {
		deepest += end(l) + 1
	}
	return deepest
}

// nextToken cuts the first token off a text in Scan's normal form.
func nextToken(key string) (token, rest string) {
	end := strings.IndexByte(key, ' ')
	switch {
	case key[0] == '"':
		end = scanQuotedIdentifier(key, 1)
	case strings.HasPrefix(key, "/*"):
		end = commentEnd(key, 0)
	}
	if end <= 0 || end >= len(key) {
		return key, ""
	}
	if key[end] == ' ' {
		return key[:end], key[end+1:]
	}
	return key[:end], key[end:]
}

// chainsIn bounds the depth of a text, in lower case, that cannot be scanned.
func chainsIn(text string) int {
	n := 0
	for i := range len(text) {
		switch scanClass[text[i]] {
		case classOp, classColon, classDot, classSelf:
			n++
		}
	}
	for word := range chaining {
		n += strings.Count(text, word)
	}
	return n
}

// treeTooDeep tells whether a tree is deeper than maxTree.
func treeTooDeep(tree *Node) bool {
	return proto.Size(tree) > smallTree && deeper(tree.ProtoReflect(), maxTree)
}

// deeper tells whether a message has more than the given number of levels of messages below it.
func deeper(m protoreflect.Message, levels int) bool {
	if levels == 0 {
		return true
	}
	found := false
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if field.Kind() != protoreflect.MessageKind {
			return true
		}
		if !field.IsList() {
			found = deeper(v.Message(), levels-1)
			return !found
		}
		for i := 0; i < v.List().Len() && !found; i++ {
			found = deeper(v.List().Get(i).Message(), levels-1)
		}
		return !found
	})
	return found
}
