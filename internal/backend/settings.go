package backend

import (
	"cmp"
	"slices"
	"sort"
	"strings"

	"github.com/trunkline/trunkline/internal/sql"
)

// Settings is an immutable set of session settings (names in lower case, values as SHOW prints them). A nil *Settings is the
// empty set. Being immutable lets a connection compare what it has with what is wanted by pointer, then by key.
type Settings struct {
	values map[string]string
	key    string
}

// NewSettings makes a set from a map, which it copies.
func NewSettings(values map[string]string) *Settings {
	s := &Settings{values: make(map[string]string, len(values))}
	names := make([]string, 0, len(values))
	for name, value := range values {
		name = strings.ToLower(name)
		s.values[name] = value
		names = append(names, name)
	}
	sort.Strings(names)
	var key strings.Builder
	for _, name := range names {
		key.WriteString(name + "\x00" + s.values[name] + "\x00")
	}
	s.key = key.String()
	return s
}

// With gives the set with one setting changed or added.
func (s *Settings) With(name, value string) *Settings {
	values := s.Map()
	values[strings.ToLower(name)] = value
	return NewSettings(values)
}

// Without gives the set with the named settings left to the node's defaults.
func (s *Settings) Without(names ...string) *Settings {
	values := s.Map()
	for _, name := range names {
		delete(values, strings.ToLower(name))
	}
	return NewSettings(values)
}

// Get gives the value of a setting.
func (s *Settings) Get(name string) (string, bool) {
	if s == nil {
		return "", false
	}
	value, ok := s.values[strings.ToLower(name)]
	return value, ok
}

// Map gives a copy of the set.
func (s *Settings) Map() map[string]string {
	values := map[string]string{}
	if s != nil {
		for name, value := range s.values {
			values[name] = value
		}
	}
	return values
}

// Key is equal for equal sets.
func (s *Settings) Key() string {
	if s == nil {
		return ""
	}
	return s.key
}

// setStatement writes the SET of one setting. SET and not set_config(), because SET takes no snapshot: it may stand between
// BEGIN and SET TRANSACTION ISOLATION LEVEL. Settings whose value is a list of identifiers need each one quoted by itself.
func setStatement(name, value string) string {
	text := "SET " + quoteSetting(name) + " TO "
	if name != "search_path" && name != "temp_tablespaces" {
		return text + sql.QuoteLiteral(value)
	}
	items := SplitIdentifiers(value)
	if len(items) == 0 {
		return text + "''"
	}
	for i, item := range items {
		if i > 0 {
			text += ", "
		}
		text += sql.QuoteLiteral(item)
	}
	return text
}

// settingsInOrder puts the names of settings in the order in which they are to be set. The role comes last, after the session's user,
// whose change ends it: before them the connection may still have the rights to set the others.
func settingsInOrder(names []string) {
	rank := map[string]int{"session_authorization": 1, "role": 2}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(cmp.Compare(rank[a], rank[b]), strings.Compare(a, b))
	})
}

// SetLocal writes the statement that sets a setting for the rest of the open transaction block.
func SetLocal(name, value string) string {
	return "SET LOCAL" + strings.TrimPrefix(setStatement(name, value), "SET")
}

func resetStatement(name string) string { return "RESET " + quoteSetting(name) }

// quoteSetting quotes each part of a possibly dotted setting name.
func quoteSetting(name string) string {
	parts := strings.Split(name, ".")
	for i, part := range parts {
		parts[i] = `"` + strings.ReplaceAll(part, `"`, `""`) + `"`
	}
	return strings.Join(parts, ".")
}

// SplitIdentifiers reads a comma-separated list of identifiers as SplitIdentifierString of PostgreSQL does: unquoted ones fold to
// lower case, quoted ones stand as they are.
func SplitIdentifiers(list string) []string {
	var items []string
	for i := 0; i < len(list); {
		switch c := list[i]; {
		case c == ' ' || c == ',' || c == '\t' || c == '\n' || c == '\r':
			i++
		case c == '"':
			var item strings.Builder
			for i++; i < len(list); i++ {
				if list[i] == '"' {
					if i+1 < len(list) && list[i+1] == '"' {
						i++
					} else {
						break
					}
				}
				item.WriteByte(list[i])
			}
			i++
			items = append(items, item.String())
		default:
			end := strings.IndexAny(list[i:], ", \t\n\r")
			if end < 0 {
				end = len(list) - i
			}
			items = append(items, strings.ToLower(list[i:i+end]))
			i += end
		}
	}
	return items
}
