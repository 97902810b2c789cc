package cluster

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/cluster/ddl"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// Row triggers of a distributed table are on its shards and fire there, where the rows are written. Those on the shell never fire;
// they are what shards' triggers are made from. What a trigger could do that would come out otherwise on a shard than on the whole
// table is refused when the trigger is made, and, for its functions, whenever they or the tables they may use change.

// trigger is a user's trigger on a table. Partitions have clones of the triggers of the partitioned tables above them.
type trigger struct {
	OID        uint32
	Parent     uint32 // the trigger that it is a clone of
	Name       string
	Definition string
	Row        bool
	Before     bool
	Transition bool   // it has transition tables
	From       uint32 // of a constraint trigger: the other table that it names
	Enabled    string // pg_trigger.tgenabled
	Comment    string
}

// createTrigger carries out CREATE TRIGGER.
func (p *propagation) createTrigger(ctx context.Context, n *sql.CreateTrigStmt) error {
	t, err := p.resolveVar(ctx, n.Relation)
	if err != nil {
		return err
	}
	if t == nil || !t.spread {
		return p.own(ctx)
	}
	if t.table.reference {
		return refusal("triggers", t, "Do their work in the application, in the same transaction.")
	}
	if err := p.own(ctx); err != nil {
		return err
	}
	tree, err := p.after(ctx, t)
	if err != nil {
		return err
	}
	d := tree[0]
	made := slices.IndexFunc(d.Triggers, func(t trigger) bool { return t.Name == n.Trigname })
	if made < 0 {
		return fmt.Errorf("trigger %q of table %q is not there", n.Trigname, d.Name)
	}
	if err := mayFireOnShards(d, d.Triggers[made]); err != nil {
		return err
	}
	if err := p.checkTriggerFunctions(ctx); err != nil {
		return err
	}
	if err := p.guardShards(ctx, tree, p.columnName(ctx, d.OID, t.table.column), t.table.colocation); err != nil {
		return err
	}
	text, err := newGenerator(tree, true).requalifyTrigger(d, d.Triggers[made].Definition)
	if err != nil {
		return err
	}
	if n.Replace {
		text = "CREATE OR REPLACE " + strings.TrimPrefix(text, "CREATE ")
	}
	if err := functionMissing(p.out(ctx, t.table, ddl.Script([]string{text}))); err != nil {
		return err
	}
	return p.definitionsChanged(ctx)
}

// functionMissing says what it means when a node does not know the function of a trigger.
func functionMissing(err error) error {
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == "42883" {
		return sql.Unsupported("a trigger on a distributed table needs its function on every node", "On a node: "+refused.Message+".",
			"Create the function anew through the gateway. It must not depend on what only the coordinator has, such as a local table's row type.")
	}
	return err
}

// mayFireOnShards refuses triggers that see more than the one row for which they fire.
func mayFireOnShards(d *definition, t trigger) error {
	refuse := func(what, detail string) error {
		return sql.Unsupported(fmt.Sprintf("%s on distributed tables are not supported", what), fmt.Sprintf("Trigger %q of table %q %s", t.Name, d.Name, detail),
			"Use a trigger FOR EACH ROW, or do its work in the application.")
	}
	switch {
	case !t.Row:
		return refuse("statement-level triggers", "would fire once per shard.")
	case t.Transition:
		return refuse("transition tables", "would see the rows of one shard only.")
	case t.From != 0:
		return refuse("constraint triggers FROM another table", "depends on rows that may be on other nodes.")
	case strings.Contains(strings.ToLower(t.Definition), "tableoid"):
		return refuse("triggers that look at tableoid", "would see that of a shard.")
	}
	return nil
}

// triggers makes a table's triggers; those that PostgreSQL has cloned from the table above already get their state only.
func (g *generator) triggers(d *definition) ([]string, error) {
	var statements []string
	for _, t := range d.Triggers {
		if t.Parent == 0 {
			text, err := g.requalifyTrigger(d, t.Definition)
			if err != nil {
				return nil, err
			}
			statements = append(statements, text)
		}
		if t.Enabled != "O" {
			statements = append(statements, enabling(g.table(d), t))
		}
		if t.Comment != "" {
			statements = append(statements, "COMMENT ON TRIGGER "+sql.QuoteIdentifier(t.Name)+" ON "+g.table(d)+" IS "+sql.QuoteLiteral(t.Comment))
		}
	}
	return statements, nil
}

// enabling gives a trigger on a table the state it is meant to have.
func enabling(table string, t trigger) string {
	state := map[string]string{"O": "ENABLE", "D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}[t.Enabled]
	return "ALTER TABLE ONLY " + table + " " + state + " TRIGGER " + sql.QuoteIdentifier(t.Name)
}

// requalifyTrigger writes the table's name in a CREATE TRIGGER as pg_get_triggerdef gives it as a marked one.
func (g *generator) requalifyTrigger(d *definition, text string) (string, error) {
	parsed, err := sql.Parse(text)
	if err != nil {
		return "", err
	}
	return replaceName(text, parsed[0].Tree.GetCreateTrigStmt().GetRelation(), g.table(d))
}

// ownTriggers leaves out, in the definitions of a partition and those below it, the clones of triggers of tables above it.
func ownTriggers(tree []*definition) {
	kept := map[uint32]bool{}
	for _, d := range tree {
		d.Triggers = slices.DeleteFunc(d.Triggers, func(t trigger) bool {
			kept[t.OID] = t.Parent == 0 || kept[t.Parent]
			return !kept[t.OID]
		})
	}
}

// silencing gives the statements that disable a table's triggers, and that enable them again as they were.
func silencing(table string, triggers []trigger) (off, on []string) {
	for _, t := range triggers {
		if t.Enabled != "D" {
			on = append(on, enabling(table, t))
			t.Enabled = "D"
			off = append(off, enabling(table, t))
		}
	}
	return off, on
}

// withoutTriggers runs f while a table's triggers on the coordinator do not fire: for rows that come back to it, for which they
// fired when the rows were new.
func (o *operation) withoutTriggers(ctx context.Context, d *definition, f func() error) error {
	off, on := silencing(d.qualified(), d.Triggers)
	if len(off) == 0 {
		return f()
	}
	if err := o.exec(ctx, strings.Join(off, "; ")); err != nil {
		return err
	}
	if err := f(); err != nil {
		return err
	}
	return o.exec(ctx, strings.Join(on, "; "))
}

// guardShards makes shards refuse rows that are not theirs, if a trigger may change rows before they are written: the gateway
// routed them by the distribution column they had before. The guard stays when the trigger goes.
func (o *operation) guardShards(ctx context.Context, tree []*definition, key string, colocation int) error {
	guarded := slices.DeleteFunc(slices.Clone(tree), func(d *definition) bool {
		return d.Kind == "p" || !slices.ContainsFunc(d.Triggers, func(t trigger) bool { return t.Row && t.Before })
	})
	if len(guarded) == 0 || key == "" {
		return nil
	}
	_, hash, err := o.distributionColumn(tree[0], key)
	if err != nil {
		return err
	}
	shards, err := o.shardGroups(ctx, colocation)
	if err != nil {
		return err
	}
	nodes, held := perNode(shards)
	return o.onNodes(ctx, nodes, func(ctx context.Context, group int32, conn *backend.Conn) error {
		var text strings.Builder
		for _, s := range held[group] {
			for _, d := range guarded {
				fmt.Fprintf(&text, "SELECT trunkline_internal.guard_shard(%s, %s, %s, %d, %d);\n", sql.QuoteLiteral(qualify(catalog.ShardSchema(d.Schema, s.id), d.Name)),
					sql.QuoteLiteral(key), sql.QuoteLiteral(hash), s.min, s.max)
			}
		}
		return run(ctx, conn, text.String())
	})
}

// guardPartition guards the shards of a table that has just become a partition of a distributed one, from which it has got triggers.
func (p *propagation) guardPartition(ctx context.Context, child, parent *target) error {
	tree, err := p.after(ctx, child)
	if err != nil {
		return err
	}
	return p.guardShards(ctx, tree, p.columnName(ctx, parent.oid, parent.table.column), parent.table.colocation)
}

// guardShells has shells refuse writing again after ALTER TABLE … DISABLE TRIGGER ALL, which turns off PostgreSQL's own triggers too.
func (p *propagation) guardShells(ctx context.Context, tree []*definition) error {
	rows, err := p.query(ctx, "SELECT tgrelid::bigint FROM pg_catalog.pg_trigger WHERE tgname = 'trunkline_shell' AND tgenabled = 'D'")
	if err != nil {
		return err
	}
	for _, r := range rows {
		for _, d := range tree {
			if d.OID == uint32(r.int(0)) {
				if err := p.exec(ctx, "ALTER TABLE ONLY "+d.qualified()+" ENABLE TRIGGER trunkline_shell"); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// function is what a trigger on a distributed table runs, or what that calls.
type function struct {
	oid                  uint32
	name, language, body string
}

// checkTriggerFunctions refuses the present state of things if a function that a distributed table's trigger runs would, on a
// shard's node, find other tables than on the coordinator, or none.
func (o *operation) checkTriggerFunctions(ctx context.Context) error {
	triggers, err := o.query(ctx, `SELECT t.tgname, c.relname, t.tgfoid::bigint, pg_catalog.pg_get_triggerdef(t.oid)
		FROM pg_catalog.pg_trigger t JOIN trunkline.pg_dist_partition d ON d.logicalrelid = t.tgrelid JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
		WHERE NOT t.tgisinternal AND t.tgparentid = 0 ORDER BY 2, 1`)
	if err != nil || len(triggers) == 0 {
		return err
	}
	conn, err := o.coordinator(ctx)
	if err != nil {
		return err
	}
	snap, err := catalog.Load(ctx, conn) // as this transaction has made it
	if err != nil {
		return err
	}
	rows, err := o.query(ctx, `SELECT p.oid::bigint, p.proname, l.lanname, coalesce(pg_catalog.pg_get_function_sqlbody(p.oid), p.prosrc)
		FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_language l ON l.oid = p.prolang JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
		WHERE p.oid >= 16384 AND n.nspname NOT IN ('trunkline', 'trunkline_call', 'trunkline_internal')`)
	if err != nil {
		return err
	}
	byOID, byName := map[uint32]function{}, map[string][]function{}
	for _, r := range rows {
		f := function{uint32(r.int(0)), r.text(1), r.text(2), r.text(3)}
		byOID[f.oid], byName[f.name] = f, append(byName[f.name], f)
	}
	reads := map[uint32]bool{}
	for _, overloads := range snap.Functions {
		for _, f := range overloads {
			reads[f.OID] = f.ReadsTables
		}
	}
	for _, t := range triggers {
		used, err := conditionFunctions(t.text(3), byName)
		if err != nil {
			return err
		}
		if f, ok := byOID[uint32(t.int(2))]; ok {
			used = append(used, f)
		}
		seen := map[uint32]bool{}
		for i := 0; i < len(used); i++ { // grows by what the functions mention
			f := used[i]
			if seen[f.oid] {
				continue
			}
			seen[f.oid] = true
			why := f.unfit(snap)
			if reads[f.oid] {
				why = "may read or write distributed or reference tables, or runs SQL that it makes itself"
			}
			if why != "" {
				return sql.Unsupported(fmt.Sprintf("trigger %q on distributed table %q is not supported", t.text(0), t.text(1)),
					fmt.Sprintf("It runs on the nodes that hold the rows, but function %s() %s.", f.name, why), "Do its work in the application, in the same transaction.")
			}
			if f.language != "c" {
				for _, w := range word.FindAllString(f.body, -1) {
					used = append(used, byName[strings.ToLower(w)]...)
				}
			}
		}
	}
	return nil
}

// conditionFunctions lists the users' functions that a trigger's WHEN calls.
func conditionFunctions(definition string, byName map[string][]function) ([]function, error) {
	parsed, err := sql.Parse(definition)
	if err != nil {
		return nil, err
	}
	var called []function
	sql.Walk(parsed[0].Tree, func(m proto.Message) bool {
		if node, ok := m.(*sql.Node); ok {
			if names := sql.Strings(node.GetFuncCall().GetFuncname()); len(names) > 0 {
				called = append(called, byName[names[len(names)-1]]...)
			}
		}
		return true
	})
	return called, nil
}

var (
	word        = regexp.MustCompile(`[\pL_][\pL\pN_$]*`)
	commentLine = regexp.MustCompile(`(?m)^\s*--.*$`)
	shardsName  = regexp.MustCompile(`(?i)\b(tg_relid|tg_table_schema|tableoid)\b`)
	shardsField = regexp.MustCompile(`(?i)\b(relid|table_schema)\b`) // in languages other than PL/pgSQL
	sequenceUse = regexp.MustCompile(`(?i)\b(nextval|currval|setval|lastval)\s*\(`)
	notifies    = regexp.MustCompile(`(?i)\bpg_notify\s*\(|\bnotify\s+["\pL_]`)
	tableUse    = regexp.MustCompile(`(?i)\b(?:from|join|into|update|only|table|using)\s+(?:"?([\pL_][\pL\pN_$]*)"?\s*\.\s*)?"?([\pL_][\pL\pN_$]*)"?`)
)

// unfitModules are trigger functions of PostgreSQL's contrib modules that use what is not on a shard's node.
var unfitModules = []string{"check_primary_key", "check_foreign_key", "autoinc", "triggered_change_notification", "lo_manage"}

// unfit tells what a function does, besides using spread tables, that cannot be done on a shard's node; "" if nothing is known.
func (f function) unfit(snap *catalog.Snapshot) string {
	if f.language == "c" {
		if slices.Contains(unfitModules, f.name) {
			return "uses what only the coordinator has"
		}
		return ""
	}
	body := commentLine.ReplaceAllString(f.body, "")
	switch {
	case shardsName.MatchString(body), f.language != "plpgsql" && f.language != "sql" && shardsField.MatchString(body):
		return "asks for the table's schema or OID, and would get those of a shard"
	case sequenceUse.MatchString(body):
		return "uses a sequence, which only the coordinator has"
	case notifies.MatchString(body):
		return "notifies listeners, who listen on the coordinator"
	}
	for _, m := range tableUse.FindAllStringSubmatch(body, -1) {
		for name, r := range snap.Relations {
			local := r.Kind == catalog.Local && strings.IndexByte("rpvmf", r.RelKind) >= 0 && r.OID >= 16384
			if local && strings.EqualFold(name.Name, m[2]) && (m[1] == "" || strings.EqualFold(name.Schema, m[1])) {
				return fmt.Sprintf("uses table %q, which only the coordinator has", name.Name)
			}
		}
	}
	return ""
}
