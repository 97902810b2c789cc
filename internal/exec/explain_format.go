package exec

import (
	"encoding/json"
	"encoding/xml"
	"strings"
)

// section is a part of an explanation.
type section struct {
	title      string
	properties []property
	children   []*section
	remote     []string // a node's own answer, in the format asked for
}

type property struct{ name, value string }

func (s *section) add(name, value string) {
	s.properties = append(s.properties, property{name, value})
}

// render gives the rows of the answer: a line each in text format, one document otherwise.
func (s *section) render(format string) []string {
	var b strings.Builder
	switch format {
	case "json":
		b.WriteString("[\n  {\n    \"Plan\": ")
		s.json(&b, "    ")
		b.WriteString("\n  }\n]")
		return []string{b.String()}
	case "yaml":
		b.WriteString("- Plan: \n")
		s.yaml(&b, "    ")
		return []string{strings.TrimSuffix(b.String(), "\n")}
	case "xml":
		b.WriteString("<explain xmlns=\"http://www.postgresql.org/2009/explain\">\n  <Query>\n    <Plan>\n")
		s.xml(&b, "      ")
		b.WriteString("    </Plan>\n  </Query>\n</explain>")
		return []string{b.String()}
	}
	s.text(&b, "", "")
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

func (s *section) text(b *strings.Builder, arrow, indent string) {
	b.WriteString(arrow + s.title + "\n")
	for _, p := range s.properties {
		b.WriteString(indent + "  " + p.name + ": " + p.value + "\n")
	}
	for i, line := range s.remote {
		lead := indent + "  ->  "
		if i > 0 {
			lead = indent + "      "
		}
		b.WriteString(lead + line + "\n")
	}
	for _, child := range s.children {
		child.text(b, indent+"  ->  ", indent+"      ")
	}
}

// grouped gives the properties with those of one name together.
func (s *section) grouped() (names []string, values map[string][]string) {
	values = map[string][]string{}
	for _, p := range s.properties {
		if values[p.name] == nil {
			names = append(names, p.name)
		}
		values[p.name] = append(values[p.name], p.value)
	}
	return names, values
}

func (s *section) json(b *strings.Builder, indent string) {
	inner := indent + "  "
	b.WriteString("{\n" + inner + "\"Node Type\": " + quoteJSON(s.title))
	names, values := s.grouped()
	for _, name := range names {
		b.WriteString(",\n" + inner + quoteJSON(name) + ": ")
		if name != "Why" && len(values[name]) == 1 {
			b.WriteString(quoteJSON(values[name][0]))
			continue
		}
		quoted := make([]string, len(values[name]))
		for i, v := range values[name] {
			quoted[i] = quoteJSON(v)
		}
		b.WriteString("[" + strings.Join(quoted, ", ") + "]")
	}
	if len(s.remote) > 0 {
		b.WriteString(",\n" + inner + "\"Remote Plan\": " + strings.Join(s.remote, "\n"+inner))
	}
	if len(s.children) > 0 {
		b.WriteString(",\n" + inner + "\"Plans\": [")
		for i, child := range s.children {
			if i > 0 {
				b.WriteString(", ")
			}
			child.json(b, inner)
		}
		b.WriteString("]")
	}
	b.WriteString("\n" + indent + "}")
}

func quoteJSON(s string) string {
	quoted, err := json.Marshal(s)
	if err != nil {
		return `""`
	}
	return string(quoted)
}

func (s *section) yaml(b *strings.Builder, indent string) {
	b.WriteString(indent + "Node Type: " + quoteJSON(s.title) + "\n")
	s.yamlRest(b, indent)
}

func (s *section) yamlRest(b *strings.Builder, indent string) {
	names, values := s.grouped()
	for _, name := range names {
		if name != "Why" && len(values[name]) == 1 {
			b.WriteString(indent + name + ": " + quoteJSON(values[name][0]) + "\n")
			continue
		}
		b.WriteString(indent + name + ": \n")
		for _, v := range values[name] {
			b.WriteString(indent + "  - " + quoteJSON(v) + "\n")
		}
	}
	if len(s.remote) > 0 {
		b.WriteString(indent + "Remote Plan: \n")
		for _, line := range s.remote {
			b.WriteString(indent + "  " + line + "\n")
		}
	}
	if len(s.children) > 0 {
		b.WriteString(indent + "Plans: \n")
		for _, child := range s.children {
			b.WriteString(indent + "  - Node Type: " + quoteJSON(child.title) + "\n")
			child.yamlRest(b, indent+"    ")
		}
	}
}

func (s *section) xml(b *strings.Builder, indent string) {
	b.WriteString(indent + "<Node-Type>" + escapeXML(s.title) + "</Node-Type>\n")
	for _, p := range s.properties {
		tag := strings.ReplaceAll(p.name, " ", "-")
		b.WriteString(indent + "<" + tag + ">" + escapeXML(p.value) + "</" + tag + ">\n")
	}
	if len(s.remote) > 0 {
		b.WriteString(indent + "<Remote-Plan>\n")
		for _, line := range s.remote {
			b.WriteString(indent + "  " + line + "\n")
		}
		b.WriteString(indent + "</Remote-Plan>\n")
	}
	if len(s.children) > 0 {
		b.WriteString(indent + "<Plans>\n")
		for _, child := range s.children {
			b.WriteString(indent + "  <Plan>\n")
			child.xml(b, indent+"    ")
			b.WriteString(indent + "  </Plan>\n")
		}
		b.WriteString(indent + "</Plans>\n")
	}
}

func escapeXML(s string) string {
	var b strings.Builder
	if xml.EscapeText(&b, []byte(s)) != nil {
		return ""
	}
	return b.String()
}
