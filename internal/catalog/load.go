package catalog

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash"
	"hash/fnv"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/trunkline/trunkline/internal/backend"
)

// Load reads a Snapshot from the coordinator, in one round trip. Inside a transaction it sees what the transaction has changed,
// and the snapshot's version is then negative; outside of one it sees a single moment.
func Load(ctx context.Context, conn *backend.Conn) (*Snapshot, error) {
	results, err := ask(ctx, conn, loadStatements())
	if err != nil {
		return nil, err
	}
	l := newLoader()
	digest := fnv.New64a()
	for i, s := range loadStatements() {
		if s.name != "version" && !s.placement() {
			fingerprint(digest, results[i].Rows)
		}
		if err := l.read(s.name, results[i].Rows); err != nil {
			return nil, err
		}
	}
	l.finish()
	l.snapshot.contents = digest.Sum64()
	l.snapshot.seal()
	return l.snapshot, nil
}

// doubt is how far whoever has the catalog read doubts that its versions tell of every change.
type doubt int

const (
	none     doubt = iota
	ofPlaces       // something is not as known; if places have changed, it is that
	ofAll          // definitions may have changed, which versions only count if they concern all gateways
)

// loadSince is Load for whoever has a snapshot already. If nothing but places has changed since, only those are read, unless that is
// in doubt.
func loadSince(ctx context.Context, conn *backend.Conn, old *Snapshot, d doubt) (*Snapshot, error) {
	if old == nil || d == ofAll {
		return Load(ctx, conn)
	}
	var statements []loadStatement
	for _, s := range loadStatements() {
		if s.name == "version" || s.placement() {
			statements = append(statements, s)
		}
	}
	results, err := ask(ctx, conn, statements)
	if err != nil {
		return nil, err
	}
	l := newLoader()
	for id, c := range old.Colocations {
		moved := *c
		moved.Groups = make([]ShardGroup, 0, len(c.Groups))
		l.snapshot.Colocations[id] = &moved
	}
	for i, s := range statements {
		if err := l.read(s.name, results[i].Rows); err != nil {
			return nil, err
		}
	}
	if read := l.snapshot; read.Version != old.Version || d == ofPlaces && read.Moves == old.Moves {
		return Load(ctx, conn)
	}
	now := *old
	now.Moves, now.Moving, now.Colocations = l.snapshot.Moves, l.snapshot.Moving, l.snapshot.Colocations
	now.seal()
	return &now, nil
}

// ask runs statements, at one moment unless a transaction is open, and gives the results of each.
func ask(ctx context.Context, conn *backend.Conn, statements []loadStatement) ([]backend.Result, error) {
	var text strings.Builder
	own := conn.TxStatus() == 'I'
	if own {
		text.WriteString("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ")
	}
	// pg_temp comes last, so that a temporary table cannot stand in for a catalog.
	text.WriteString("SELECT pg_catalog.set_config('trunkline.search_path', pg_catalog.current_setting('search_path'), true); SET LOCAL search_path = pg_catalog, pg_temp; ")
	const before = 2
	for _, s := range statements {
		text.WriteString(s.text)
		text.WriteString("; ")
	}
	text.WriteString("SELECT pg_catalog.set_config('search_path', pg_catalog.current_setting('trunkline.search_path'), true)")
	if own {
		text.WriteString("; COMMIT")
	}
	results, err := conn.Exec(ctx, text.String())
	if err != nil {
		if own {
			conn.Exec(context.WithoutCancel(ctx), "ROLLBACK")
		}
		return nil, fmt.Errorf("cannot read the catalog: %w", err)
	}
	if own {
		results = results[1:]
	}
	return results[before:], nil
}

// seal computes the digests of a snapshot that is otherwise complete. How many nodes a colocation group is on counts among what
// plans are chosen by.
func (s *Snapshot) seal() {
	plans, places := fnv.New64a(), fnv.New64a()
	number := func(digest hash.Hash, n int64) {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], uint64(n))
		digest.Write(b[:])
	}
	number(plans, s.Version)
	number(plans, int64(s.contents))
	for _, id := range slices.Sorted(maps.Keys(s.Colocations)) {
		nodes := map[int32]bool{}
		for _, g := range s.Colocations[id].Groups {
			nodes[g.GroupID] = true
			for _, n := range []int64{g.ID, int64(g.Min), int64(g.Max)} {
				number(plans, n)
			}
			number(places, g.ID)
			number(places, int64(g.GroupID))
		}
		number(plans, int64(len(nodes)))
	}
	s.Fingerprint, s.Placement = plans.Sum64(), places.Sum64()
}

// fingerprint adds rows to a digest.
func fingerprint(digest hash.Hash, rows [][][]byte) {
	var size [8]byte
	for _, row := range rows {
		for _, v := range row {
			binary.LittleEndian.PutUint64(size[:], uint64(len(v)))
			if v == nil {
				size[7] = 1
			}
			digest.Write(size[:])
			digest.Write(v)
		}
	}
}

// loadStatement is a statement of ddl/load.sql.
type loadStatement struct{ name, text string }

// placement tells whether what a statement reads says only where shard groups are, or that they move.
func (s loadStatement) placement() bool { return s.name == "shardGroups" || s.name == "moving" }

var loadStatements = sync.OnceValue(func() []loadStatement {
	var statements []loadStatement
	for _, part := range strings.Split(mustRead("load.sql"), "-- :")[1:] {
		name, text, _ := strings.Cut(part, "\n")
		statements = append(statements, loadStatement{name, strings.TrimSpace(sqlComment.ReplaceAllString(text, ""))})
	}
	return statements
})

var sqlComment = regexp.MustCompile(`(?m)^--.*\n`)

// loader builds a snapshot from rows. The order of ddl/load.sql matters: what a row refers to by OID has been read before it.
type loader struct {
	snapshot   *Snapshot
	namespaces map[uint32]string
	partitions map[uint32]partition
	byOpclass  map[uint32]string // hash functions by the operator class' own type
	casts      map[uint32][]uint32
	bodies     map[*Function]string
	triggers   map[*Relation][]uint32 // their functions
	interned   map[string]string
}

// partition is a row of pg_dist_partition, with the table's shards.
type partition struct {
	method, model byte
	colocation    int32
	attNum        int16
	shards        []int64
}

func newLoader() *loader {
	return &loader{
		snapshot: &Snapshot{
			Colocations: map[int32]*Colocation{},
			Relations:   map[Name]*Relation{},
			ByOID:       map[uint32]*Relation{},
			Types:       map[uint32]*Type{},
			Functions:   map[string][]*Function{},
			Collations:  map[uint32]*Collation{},
			Operators:   map[string]bool{},
			Tenants:     map[string]bool{},
			Unchecked:   map[uint32][]UncheckedKey{},
		},
		namespaces: map[uint32]string{},
		partitions: map[uint32]partition{},
		byOpclass:  map[uint32]string{},
		casts:      map[uint32][]uint32{},
		bodies:     map[*Function]string{},
		triggers:   map[*Relation][]uint32{},
		interned:   map[string]string{},
	}
}

func (l *loader) read(what string, rows [][][]byte) error {
	read := map[string]func(*fields){
		"version":       l.version,
		"moving":        func(*fields) { l.snapshot.Moving = true },
		"deferrable":    func(f *fields) { l.snapshot.Deferrable = f.bool() },
		"nodes":         l.node,
		"colocations":   l.colocation,
		"shardGroups":   l.shardGroup,
		"partitions":    l.partition,
		"namespaces":    func(f *fields) { l.namespaces[f.oid()] = f.text() },
		"tenants":       func(f *fields) { l.snapshot.Tenants[f.text()] = true },
		"relations":     l.relation,
		"columns":       l.column,
		"uncheckedKeys": l.uncheckedKey,
		"types":         l.typ,
		"hashFunctions": func(f *fields) { l.byOpclass[f.oid()] = f.text() },
		"binaryCasts":   func(f *fields) { from := f.oid(); l.casts[from] = append(l.casts[from], f.oid()) },
		"collations": func(f *fields) {
			l.snapshot.Collations[f.oid()] = &Collation{Schema: f.text(), Name: f.text(), SQL: f.text(), Deterministic: f.bool()}
		},
		"operators": func(f *fields) { l.snapshot.Operators[f.text()] = true },
		"functions": l.function,
	}[what]
	f := fields{intern: l.interned}
	for _, row := range rows {
		f.row = row
		if read(&f); f.err != nil {
			return fmt.Errorf("cannot read the catalog's %s: %w", what, f.err)
		}
	}
	return nil
}

func (l *loader) version(f *fields) {
	l.snapshot.Version, l.snapshot.Moves = f.int64(), f.int64()
	if !f.null() {
		l.snapshot.Version = f.int64()
	}
}

func (l *loader) node(f *fields) {
	l.snapshot.Nodes = append(l.snapshot.Nodes, Node{ID: f.int32(), GroupID: f.int32(), Host: f.text(), Port: int(f.int32()),
		Active: f.bool(), Secondary: f.bool(), ShouldHaveShards: f.bool()})
}

func (l *loader) colocation(f *fields) {
	c := &Colocation{ID: f.int32(), ShardCount: int(f.int32()), TypeOID: f.oid(), Collation: f.oid(), TypMod: -1}
	l.snapshot.Colocations[c.ID] = c
}

func (l *loader) shardGroup(f *fields) {
	if c := l.snapshot.Colocations[f.int32()]; c != nil {
		c.Groups = append(c.Groups, ShardGroup{ID: f.int64(), Min: f.int32(), Max: f.int32(), GroupID: f.int32()})
	}
}

func (l *loader) partition(f *fields) {
	oid := f.oid()
	p := partition{method: f.byte(), model: f.byte(), colocation: f.int32()}
	if f.null() {
		f.skip()
	} else {
		p.attNum = int16(f.int32())
	}
	for _, id := range strings.Fields(f.text()) {
		shard, _ := strconv.ParseInt(id, 10, 64)
		p.shards = append(p.shards, shard)
	}
	l.partitions[oid] = p
}

func (l *loader) relation(f *fields) {
	r := &Relation{OID: f.oid()}
	schema, ok := l.namespaces[f.oid()]
	if !ok {
		return
	}
	r.Schema, r.Name, r.RelKind, r.Owner = schema, f.text(), f.byte(), f.text()
	r.RowSecurity, r.Inherited = f.bool(), f.bool()
	for _, function := range strings.Fields(f.view()) {
		oid, _ := strconv.ParseUint(function, 10, 32)
		l.triggers[r] = append(l.triggers[r], uint32(oid))
		r.HasTriggers = true
	}
	r.Parent = f.oid()
	for _, attNum := range strings.Fields(f.text()) { // attribute numbers until the columns are known
		n, _ := strconv.Atoi(attNum)
		r.PrimaryKey = append(r.PrimaryKey, n)
	}
	r.Definition, r.Referenced, r.CheckOption, r.HasRules, r.ColumnGrants = f.text(), f.bool(), f.text(), f.bool(), f.bool()
	r.DistColumn = -1
	if p, ok := l.partitions[r.OID]; ok {
		r.ColocationID, r.ShardIDs = p.colocation, p.shards
		switch {
		case p.model == 't':
			r.Kind = Reference
		case p.colocation != 0:
			r.Kind = Distributed
		}
	}
	l.snapshot.Relations[Name{schema, r.Name}] = r
	l.snapshot.ByOID[r.OID] = r
}

// uncheckedKey reads one column of a foreign key.
func (l *loader) uncheckedKey(f *fields) {
	table, k := f.oid(), UncheckedKey{Name: f.text(), References: f.text()}
	keys := l.snapshot.Unchecked[table]
	if last := len(keys) - 1; last >= 0 && keys[last].Name == k.Name && keys[last].References == k.References {
		keys[last].Columns = append(keys[last].Columns, f.text())
		return
	}
	k.Columns = []string{f.text()}
	l.snapshot.Unchecked[table] = append(keys, k)
}

func (l *loader) column(f *fields) {
	r := l.snapshot.ByOID[f.oid()]
	if r == nil {
		return
	}
	c := Column{Name: f.text(), AttNum: int16(f.int32()), TypeOID: f.oid(), TypMod: f.int32(), Collation: f.oid(), NotNull: f.bool(),
		Identity: f.byte(), Generated: f.byte() == 's', SQLType: f.text(), Default: f.text(), Volatile: f.bool()}
	if f.null() {
		f.skip()
		f.skip()
	} else {
		c.Sequence = &Name{l.namespaces[f.oid()], f.text()}
	}
	if c.Generated {
		c.Volatile = false
	}
	r.Columns = append(r.Columns, c)
}

func (l *loader) typ(f *fields) {
	t := &Type{OID: f.oid(), Schema: l.namespaces[f.oid()], Name: f.text(), SQL: f.text(), Kind: f.byte(), Category: f.byte(),
		Base: f.oid(), Element: f.oid(), Array: f.oid(), BaseTypMod: f.int32(), BaseSQL: f.text()}
	l.snapshot.Types[t.OID] = t
}

func (l *loader) function(f *fields) {
	fn := &Function{OID: f.oid(), Schema: l.namespaces[f.oid()], Name: f.text(), Kind: f.byte(), Volatility: f.byte(),
		ReturnsSet: f.bool(), Strict: f.bool()}
	for rest := f.view(); len(rest) > 0; {
		arg, after, _ := strings.Cut(rest, " ")
		oid, _ := strconv.ParseUint(arg, 10, 32)
		fn.Args = append(fn.Args, uint32(oid))
		rest = after
	}
	fn.Result, fn.Defaults, fn.Variadic = f.oid(), int(f.int32()), f.bool()
	fn.Language, fn.AggKind = f.text(), f.byte()
	if !f.null() {
		l.bodies[fn] = f.text()
	} else {
		f.skip()
	}
	if signature := f.next(); signature != nil && f.err == nil {
		fn.Body = &FunctionBody{SQL: l.bodies[fn]}
		f.err = json.Unmarshal(signature, fn.Body)
	}
	l.snapshot.Functions[fn.Name] = append(l.snapshot.Functions[fn.Name], fn)
}

// finish fills in what depends on several kinds of rows.
func (l *loader) finish() {
	for oid, r := range l.snapshot.ByOID {
		if p := l.partitions[oid]; r.Kind == Distributed && p.attNum != 0 {
			r.DistColumn = r.columnIndex(int(p.attNum))
		}
		keys := r.PrimaryKey[:0]
		for _, attNum := range r.PrimaryKey {
			if i := r.columnIndex(attNum); i >= 0 {
				keys = append(keys, i)
			}
		}
		r.PrimaryKey = keys
	}
	l.typeModifiers()
	l.hashFunctions()
	l.markReaders()
}

// typeModifiers gives each colocation group the type modifier of its tables' distribution columns.
func (l *loader) typeModifiers() {
	seen := map[*Colocation]bool{}
	for _, r := range l.snapshot.ByOID {
		c := l.snapshot.Colocations[r.ColocationID]
		if c == nil || r.DistColumn < 0 {
			continue
		}
		key, _ := r.Key()
		switch {
		case !seen[c]:
			c.TypMod, c.SQLType = key.TypMod, key.SQLType
		case c.TypMod != key.TypMod:
			c.TypMod = MixedTypMod
		}
		seen[c] = true
	}
	for _, c := range l.snapshot.Colocations {
		if t := l.snapshot.Types[c.TypeOID]; !seen[c] && t != nil {
			c.SQLType = t.SQL
		}
	}
}

// columnIndex gives the index in Columns of an attribute number, -1 if it is dropped.
func (r *Relation) columnIndex(attNum int) int {
	for i, c := range r.Columns {
		if int(c.AttNum) == attNum {
			return i
		}
	}
	return -1
}

// hashFunctions gives each type the function of its default hash operator class: its own, or that of a type it is the same as in
// binary, or the one for all types of its kind (as GetDefaultOpClass of PostgreSQL chooses).
func (l *loader) hashFunctions() {
	const anyarray, anyenum, anyrange, anymultirange, record = 2277, 3500, 3831, 4537, 2249
	var find func(t *Type, depth int) string
	find = func(t *Type, depth int) string {
		if t == nil || depth > 32 { // no type nests that deep
			return ""
		}
		if t.Kind == 'd' {
			return find(l.snapshot.Types[t.Base], depth+1)
		}
		if f := l.byOpclass[t.OID]; f != "" {
			return f
		}
		for _, target := range l.casts[t.OID] {
			if f := l.byOpclass[target]; f != "" {
				return f
			}
		}
		switch {
		case t.Category == 'A' && t.Element != 0:
			if find(l.snapshot.Types[t.Element], depth+1) != "" {
				return l.byOpclass[anyarray]
			}
		case t.Kind == 'e':
			return l.byOpclass[anyenum]
		case t.Kind == 'r':
			return l.byOpclass[anyrange]
		case t.Kind == 'm':
			return l.byOpclass[anymultirange]
		case t.Kind == 'c':
			return l.byOpclass[record]
		}
		return ""
	}
	for _, t := range l.snapshot.Types {
		t.HashFunction = find(t, 0)
	}
}
