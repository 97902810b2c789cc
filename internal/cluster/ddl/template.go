package ddl

import (
	"regexp"
	"strings"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// Template is SQL text in which some schema names stand for "this schema's shard schema in the shard group at hand".
// Each element of texts but the last is followed by the element of schemas with the same index.
type Template struct {
	texts   []string
	schemas []string
}

// The marks that surround a user schema's name in a tree or a text that is to become a Template. They are control characters,
// so that the deparser puts the name in double quotes.
const (
	markStart = "\x01"
	markEnd   = "\x02"
)

// Mark gives the name that stands for schema's shard schema until NewTemplate finds it.
func Mark(schema string) string { return markStart + schema + markEnd }

var marked = regexp.MustCompile(`"` + markStart + `((?:[^"` + markEnd + `]|"")*)` + markEnd + `"`)

// NewTemplate cuts a text at its marked schema names, which must be quoted identifiers.
func NewTemplate(text string) Template {
	var t Template
	end := 0
	for _, m := range marked.FindAllStringSubmatchIndex(text, -1) {
		t.texts = append(t.texts, text[end:m[0]])
		t.schemas = append(t.schemas, strings.ReplaceAll(text[m[2]:m[3]], `""`, `"`))
		end = m[1]
	}
	t.texts = append(t.texts, text[end:])
	return t
}

// Deparse writes a tree that may hold marked schema names as a Template.
func Deparse(tree *sql.Node) (Template, error) {
	text, err := sql.Deparse(tree)
	if err != nil {
		return Template{}, err
	}
	return NewTemplate(text), nil
}

// PerShard tells whether the text differs from shard group to shard group.
func (t Template) PerShard() bool { return len(t.schemas) > 0 }

// For gives the text for one shard group.
func (t Template) For(shardGroup int64) string {
	return t.In(func(schema string) string { return catalog.ShardSchema(schema, shardGroup) })
}

// In gives the text with the schemas that name gives for the marked ones.
func (t Template) In(name func(schema string) string) string {
	if len(t.schemas) == 0 {
		return t.texts[0]
	}
	var b strings.Builder
	for i, schema := range t.schemas {
		b.WriteString(t.texts[i])
		b.WriteString(sql.QuoteIdentifier(name(schema)))
	}
	b.WriteString(t.texts[len(t.schemas)])
	return b.String()
}

// Script joins statements into one Template, each ended by a semicolon.
func Script(statements []string) Template {
	if len(statements) == 0 {
		return Template{texts: []string{""}}
	}
	return NewTemplate(strings.Join(statements, ";\n") + ";\n")
}

// MarkedName is schema.name in a text that is to become a Template.
func MarkedName(schema, name string) string {
	return `"` + strings.ReplaceAll(Mark(schema), `"`, `""`) + `".` + sql.QuoteIdentifier(name)
}
