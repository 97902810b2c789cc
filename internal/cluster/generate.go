package cluster

import (
	"fmt"
	"sort"
	"strings"

	"github.com/trunkline/trunkline/internal/cluster/ddl"
	"github.com/trunkline/trunkline/internal/sql"
)

// generator writes the statements that make a table anew on another node. Texts hold marked schema names wherever a distributed
// table or something that belongs to one is named, so they become a ddl.Template.
type generator struct {
	// distributed tells whether a table that is being made or referred to is distributed, and so lives in shard schemas.
	distributed map[uint32]bool
	byOID       map[uint32]*definition
}

func newGenerator(tree []*definition, distributed bool) *generator {
	g := &generator{distributed: map[uint32]bool{}, byOID: map[uint32]*definition{}}
	for _, d := range tree {
		g.byOID[d.OID] = d
		g.distributed[d.OID] = distributed
	}
	return g
}

// name is how a thing of table d's, which is in schema, is written.
func (g *generator) name(d *definition, schema, name string) string {
	if g.distributed[d.OID] {
		return ddl.MarkedName(schema, name)
	}
	return qualify(schema, name)
}

func (g *generator) table(d *definition) string { return g.name(d, d.Schema, d.Name) }

// create makes the table with its columns and CHECK constraints, ready to be filled. Defaults from sequences and identities are
// left out: the gateway draws their values.
func (g *generator) create(d *definition) []string {
	var items []string
	for _, c := range d.Columns {
		items = append(items, columnText(c))
	}
	for _, k := range d.Constraints {
		if k.Type == "c" && k.Valid {
			items = append(items, "CONSTRAINT "+sql.QuoteIdentifier(k.Name)+" "+k.Definition)
		}
	}
	text := "CREATE "
	if d.Persistence == "u" {
		text += "UNLOGGED "
	}
	text += "TABLE " + g.table(d) + " (" + strings.Join(items, ", ") + ")"
	if d.PartitionKey != "" {
		text += " PARTITION BY " + d.PartitionKey
	}
	if d.AccessMethod != "" {
		text += " USING " + sql.QuoteIdentifier(d.AccessMethod)
	}
	if len(d.Options) > 0 {
		text += " WITH (" + optionList(d.Options) + ")"
	}
	if d.Tablespace != "" {
		text += " TABLESPACE " + sql.QuoteIdentifier(d.Tablespace)
	}
	statements := []string{text}
	for _, c := range d.Columns {
		statements = append(statements, g.columnSettings(d, c)...)
	}
	if parent := g.byOID[d.Parent]; parent != nil {
		statements = append(statements, "ALTER TABLE ONLY "+g.table(parent)+" ATTACH PARTITION "+g.table(d)+" "+d.PartitionBound)
	}
	return statements
}

func columnText(c column) string {
	text := sql.QuoteIdentifier(c.Name) + " " + c.Type
	if c.Collation != "" {
		text += " COLLATE " + c.Collation
	}
	switch {
	case c.Generated != "":
		text += " GENERATED ALWAYS AS (" + c.Default + ") STORED"
	case c.Default != "" && !c.FromSequence:
		text += " DEFAULT " + c.Default
	}
	if c.NotNull {
		text += " NOT NULL"
	}
	return text
}

func (g *generator) columnSettings(d *definition, c column) []string {
	alter := func(what string) string {
		return "ALTER TABLE ONLY " + g.table(d) + " ALTER COLUMN " + sql.QuoteIdentifier(c.Name) + " " + what
	}
	var statements []string
	if storage := map[string]string{"p": "PLAIN", "e": "EXTERNAL", "x": "EXTENDED", "m": "MAIN"}[c.Storage]; storage != "" {
		statements = append(statements, alter("SET STORAGE "+storage))
	}
	if compression := map[string]string{"p": "pglz", "l": "lz4"}[c.Compression]; compression != "" {
		statements = append(statements, alter("SET COMPRESSION "+compression))
	}
	if c.Statistics != nil {
		statements = append(statements, alter(fmt.Sprintf("SET STATISTICS %d", *c.Statistics)))
	}
	if len(c.Options) > 0 {
		statements = append(statements, alter("SET ("+optionList(c.Options)+")"))
	}
	return statements
}

// finish adds, once the rows are in, all that belongs to the table except its foreign keys, triggers and its owner's and others' rights.
func (g *generator) finish(d *definition) ([]string, error) {
	var statements []string
	add := func(format string, args ...any) { statements = append(statements, fmt.Sprintf(format, args...)) }
	table := g.table(d)
	for _, k := range d.Constraints {
		switch {
		case k.Type == "p" || k.Type == "u" || k.Type == "x":
			add("ALTER TABLE ONLY %s ADD CONSTRAINT %s %s", table, sql.QuoteIdentifier(k.Name), k.Definition)
		case k.Type == "c" && !k.Valid:
			add("ALTER TABLE %s ADD CONSTRAINT %s %s", table, sql.QuoteIdentifier(k.Name), k.Definition)
		}
	}
	for _, i := range d.Indexes {
		made, err := g.index(d, i)
		if err != nil {
			return nil, err
		}
		statements = append(statements, made...)
	}
	for _, s := range d.Statistics {
		made, err := g.statistics(d, s)
		if err != nil {
			return nil, err
		}
		statements = append(statements, made...)
	}
	for _, p := range d.Policies {
		statements = append(statements, g.policy(d, p)...)
	}
	if d.RowSecurity {
		add("ALTER TABLE %s ENABLE ROW LEVEL SECURITY", table)
	}
	if d.ForceRowSecurity {
		add("ALTER TABLE %s FORCE ROW LEVEL SECURITY", table)
	}
	switch d.ReplicaIdentity {
	case "n":
		add("ALTER TABLE ONLY %s REPLICA IDENTITY NOTHING", table)
	case "f":
		add("ALTER TABLE ONLY %s REPLICA IDENTITY FULL", table)
	}
	comment := func(kind, name, text string) {
		if text != "" {
			add("COMMENT ON %s %s IS %s", kind, name, sql.QuoteLiteral(text))
		}
	}
	comment("TABLE", table, d.Comment)
	for _, c := range d.Columns {
		comment("COLUMN", table+"."+sql.QuoteIdentifier(c.Name), c.Comment)
	}
	for _, k := range d.Constraints {
		if k.Type != "f" {
			comment("CONSTRAINT", sql.QuoteIdentifier(k.Name)+" ON "+table, k.Comment)
		}
	}
	return statements, nil
}

// index makes an index unless a constraint has made it already, and its properties.
func (g *generator) index(d *definition, i index) ([]string, error) {
	var statements []string
	add := func(format string, args ...any) { statements = append(statements, fmt.Sprintf(format, args...)) }
	name := g.name(d, d.Schema, i.Name)
	if i.Constraint == "" {
		text, err := g.requalify(d, i.Definition)
		if err != nil {
			return nil, err
		}
		statements = append(statements, text)
	} else if len(i.Options) > 0 {
		add("ALTER INDEX %s SET (%s)", name, optionList(i.Options))
	}
	for _, s := range i.Statistics {
		add("ALTER INDEX %s ALTER COLUMN %d SET STATISTICS %d", name, s.Number, s.Target)
	}
	if parent := g.byOID[d.Parent]; parent != nil && i.Parent != "" {
		add("ALTER INDEX %s ATTACH PARTITION %s", g.name(parent, parent.Schema, i.Parent), name)
	}
	if i.Clustered {
		add("ALTER TABLE %s CLUSTER ON %s", g.table(d), sql.QuoteIdentifier(i.Name))
	}
	if i.ReplicaIdentity {
		add("ALTER TABLE ONLY %s REPLICA IDENTITY USING INDEX %s", g.table(d), sql.QuoteIdentifier(i.Name))
	}
	if i.Comment != "" {
		add("COMMENT ON INDEX %s IS %s", name, sql.QuoteLiteral(i.Comment))
	}
	return statements, nil
}

// requalify writes the table's name in a CREATE INDEX as pg_get_indexdef gives it as a marked one.
func (g *generator) requalify(d *definition, text string) (string, error) {
	if !g.distributed[d.OID] {
		return text, nil
	}
	parsed, err := sql.Parse(text)
	if err != nil {
		return "", err
	}
	return replaceName(text, parsed[0].Tree.GetIndexStmt().GetRelation(), g.table(d))
}

// replaceName replaces the qualified name that stands at v's place in a text that PostgreSQL itself wrote.
func replaceName(text string, v *sql.RangeVar, by string) (string, error) {
	start := int(v.GetLocation())
	for _, schema := range []string{v.GetSchemaname(), `"` + strings.ReplaceAll(v.GetSchemaname(), `"`, `""`) + `"`} {
		for _, name := range []string{v.GetRelname(), `"` + strings.ReplaceAll(v.GetRelname(), `"`, `""`) + `"`} {
			if written := schema + "." + name; strings.HasPrefix(text[start:], written) {
				return text[:start] + by + text[start+len(written):], nil
			}
		}
	}
	return "", fmt.Errorf("cannot find the name of table %q in %q", v.GetRelname(), text)
}

func (g *generator) statistics(d *definition, s statistics) ([]string, error) {
	text := s.Definition
	if g.distributed[d.OID] {
		parsed, err := sql.Parse(text)
		if err != nil {
			return nil, err
		}
		// Only the list after the last FROM is the table; pg_get_statisticsobjdef writes it last.
		from := strings.LastIndex(text, " FROM ")
		open := strings.Index(text, s.Name)
		if from < 0 || open < 0 || parsed[0].Tree.GetCreateStatsStmt() == nil {
			return nil, fmt.Errorf("cannot read statistics definition %q", text)
		}
		written := qualify(s.Schema, s.Name)
		rest, ok := strings.CutPrefix(text[:from], "CREATE STATISTICS "+written)
		if !ok {
			return nil, fmt.Errorf("cannot find the name in statistics definition %q", text)
		}
		text = "CREATE STATISTICS " + g.name(d, s.Schema, s.Name) + rest + " FROM " + g.table(d)
	}
	statements := []string{text}
	if s.Target != nil {
		statements = append(statements, fmt.Sprintf("ALTER STATISTICS %s SET STATISTICS %d", g.name(d, s.Schema, s.Name), *s.Target))
	}
	if s.Comment != "" {
		statements = append(statements, "COMMENT ON STATISTICS "+g.name(d, s.Schema, s.Name)+" IS "+sql.QuoteLiteral(s.Comment))
	}
	return statements, nil
}

func (g *generator) policy(d *definition, p policy) []string {
	text := "CREATE POLICY " + sql.QuoteIdentifier(p.Name) + " ON " + g.table(d)
	if !p.Permissive {
		text += " AS RESTRICTIVE"
	}
	text += map[string]string{"r": " FOR SELECT", "a": " FOR INSERT", "w": " FOR UPDATE", "d": " FOR DELETE"}[p.Command]
	text += " TO " + strings.Join(p.Roles, ", ")
	if p.Using != "" {
		text += " USING (" + p.Using + ")"
	}
	if p.Check != "" {
		text += " WITH CHECK (" + p.Check + ")"
	}
	statements := []string{text}
	if p.Comment != "" {
		statements = append(statements, "COMMENT ON POLICY "+sql.QuoteIdentifier(p.Name)+" ON "+g.table(d)+" IS "+sql.QuoteLiteral(p.Comment))
	}
	return statements
}

// foreignKeys adds the table's own foreign keys; those that come from a partitioned table above are made with that one's.
func (g *generator) foreignKeys(d *definition) ([]string, error) {
	var statements []string
	for _, k := range d.Constraints {
		if k.Type == "f" && !k.Inherited {
			made, err := g.foreignKey(d, k)
			if err != nil {
				return nil, err
			}
			statements = append(statements, made...)
		}
	}
	return statements, nil
}

func (g *generator) foreignKey(d *definition, k constraint) ([]string, error) {
	text := "ALTER TABLE " + g.table(d) + " ADD CONSTRAINT " + sql.QuoteIdentifier(k.Name) + " "
	definition := k.Definition
	if g.distributed[k.References] {
		prefix := "ALTER TABLE t ADD "
		parsed, err := sql.Parse(prefix + definition)
		if err != nil {
			return nil, err
		}
		v := parsed[0].Tree.GetAlterTableStmt().GetCmds()[0].GetAlterTableCmd().GetDef().GetConstraint().GetPktable()
		v.Location -= int32(len(prefix))
		if definition, err = replaceName(definition, v, ddl.MarkedName(v.GetSchemaname(), v.GetRelname())); err != nil {
			return nil, err
		}
	}
	statements := []string{text + definition}
	if k.Comment != "" {
		statements = append(statements, "COMMENT ON CONSTRAINT "+sql.QuoteIdentifier(k.Name)+" ON "+g.table(d)+" IS "+sql.QuoteLiteral(k.Comment))
	}
	return statements, nil
}

// rights gives the table to its owner and grants what it grants, and nothing else that default privileges would give.
func (g *generator) rights(d *definition, maker maker) []string {
	var statements []string
	if maker.favoured != "" {
		statements = append(statements, "REVOKE ALL ON TABLE "+g.table(d)+" FROM "+maker.favoured)
	}
	if d.Owner != maker.name {
		for _, s := range d.Statistics {
			if s.Owner != maker.name {
				statements = append(statements, "ALTER STATISTICS "+g.name(d, s.Schema, s.Name)+" OWNER TO "+sql.QuoteIdentifier(s.Owner))
			}
		}
		statements = append(statements, "ALTER TABLE "+g.table(d)+" OWNER TO "+sql.QuoteIdentifier(d.Owner))
	}
	statements = append(statements, grants("TABLE "+g.table(d), d.Owner, "", d.Grants)...)
	for _, c := range d.Columns {
		statements = append(statements, grants("TABLE "+g.table(d), "", " ("+sql.QuoteIdentifier(c.Name)+")", c.Grants)...)
	}
	return statements
}

// grants brings about exactly the given privileges on an object. An empty list is the default: the owner alone has all of them.
// The owner's own are taken away first, since they may be fewer; an empty owner leaves that out.
func grants(object, owner, columns string, list []grant) []string {
	if len(list) == 0 {
		return nil
	}
	var statements []string
	if owner != "" {
		statements = append(statements, "REVOKE ALL ON "+object+" FROM PUBLIC, "+sql.QuoteIdentifier(owner))
	}
	type key struct {
		grantee   string
		grantable bool
	}
	privileges := map[key][]string{}
	for _, g := range list {
		k := key{g.Grantee, g.Grantable}
		privileges[k] = append(privileges[k], g.Privilege+columns)
	}
	keys := make([]key, 0, len(privileges))
	for k := range privileges {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool {
		if keys[i].grantee != keys[j].grantee {
			return keys[i].grantee < keys[j].grantee
		}
		return !keys[i].grantable
	})
	for _, k := range keys {
		grantee := "PUBLIC"
		if k.grantee != "" {
			grantee = sql.QuoteIdentifier(k.grantee)
		}
		text := "GRANT " + strings.Join(privileges[k], ", ") + " ON " + object + " TO " + grantee
		if k.grantable {
			text += " WITH GRANT OPTION"
		}
		statements = append(statements, text)
	}
	return statements
}

// optionList writes storage parameters, which the catalogs hold as name=value.
func optionList(options []string) string {
	list := make([]string, len(options))
	for i, o := range options {
		name, value, _ := strings.Cut(o, "=")
		parts := strings.Split(name, ".")
		for j := range parts {
			parts[j] = sql.QuoteIdentifier(parts[j])
		}
		list[i] = strings.Join(parts, ".") + " = " + sql.QuoteLiteral(value)
	}
	return strings.Join(list, ", ")
}
