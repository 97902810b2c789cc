package exec

import (
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/copyfmt"
	"github.com/trunkline/trunkline/internal/sql"
	"google.golang.org/protobuf/proto"
)

// copyOptions are the options of a COPY as far as the gateway must know them. The coordinator checks them first, so mistakes are
// not looked for here.
type copyOptions struct {
	format                 copyfmt.Format
	delimiter              byte
	quote, escape          byte
	null                   string
	nullGiven              bool
	marker                 *string // DEFAULT
	header                 copyfmt.Header
	encoding               string
	ignoreErrors           bool
	forceNull, forceNot    []string // columns' names
	forceNullAll, forceAll bool

	all    string // " WITH (…)"
	shared string // the same for shards: without HEADER and FREEZE
}

func readCopyOptions(c *sql.CopyStmt) (o copyOptions) {
	var kept, all []string
	for _, node := range c.Options {
		d := node.GetDefElem()
		value := d.Arg.GetString_().GetSval()
		keep := true
		switch d.Defname {
		case "format":
			switch value {
			case "csv":
				o.format = copyfmt.CSV
			case "binary":
				o.format = copyfmt.Binary
			}
		case "delimiter":
			o.delimiter = firstByte(value)
		case "quote":
			o.quote = firstByte(value)
		case "escape":
			o.escape = firstByte(value)
		case "null":
			o.null, o.nullGiven = value, true
		case "default":
			o.marker = &value
		case "header":
			keep = false
			switch {
			case strings.EqualFold(value, "match"):
				o.header = copyfmt.HeaderMatch
			case isTrue(d):
				o.header = copyfmt.HeaderSkip
			}
		case "freeze":
			// It needs a table made in the same transaction, and only saves later work.
			keep = false
		case "encoding":
			o.encoding = value
		case "on_error":
			o.ignoreErrors = strings.EqualFold(value, "ignore")
		case "force_null":
			o.forceNull, o.forceNullAll = names(d)
		case "force_not_null":
			o.forceNot, o.forceAll = names(d)
		}
		all = append(all, optionText(d))
		if keep {
			kept = append(kept, optionText(d))
		}
	}
	o.all, o.shared = optionList(all), optionList(kept)
	return o
}

func optionList(options []string) string {
	if len(options) == 0 {
		return ""
	}
	return " WITH (" + strings.Join(options, ", ") + ")"
}

func firstByte(s string) byte {
	if s == "" {
		return 0
	}
	return s[0]
}

// isTrue reads a boolean option.
func isTrue(d *sql.DefElem) bool {
	switch {
	case d.Arg == nil:
		return true
	case d.Arg.GetBoolean() != nil:
		return d.Arg.GetBoolean().Boolval
	case d.Arg.GetInteger() != nil:
		return d.Arg.GetInteger().Ival != 0
	}
	switch strings.ToLower(d.Arg.GetString_().GetSval()) {
	case "true", "on":
		return true
	}
	return false
}

// names reads an option that lists columns, or has a star for all.
func names(d *sql.DefElem) (list []string, all bool) {
	if d.Arg.GetAStar() != nil {
		return nil, true
	}
	return sql.Strings(d.Arg.GetList().GetItems()), false
}

// optionText writes an option in the form name value, in which no value is mistaken for a keyword.
func optionText(d *sql.DefElem) string {
	text := sql.QuoteIdentifier(d.Defname)
	switch arg := d.Arg; {
	case arg == nil:
		return text
	case arg.GetAStar() != nil:
		return text + " *"
	case arg.GetList() != nil:
		var items []string
		for _, item := range sql.Strings(arg.GetList().GetItems()) {
			items = append(items, sql.QuoteLiteral(item))
		}
		return text + " (" + strings.Join(items, ", ") + ")"
	case arg.GetBoolean() != nil:
		return text + " " + strconv.FormatBool(arg.GetBoolean().Boolval)
	case arg.GetInteger() != nil:
		return text + " " + strconv.Itoa(int(arg.GetInteger().Ival))
	case arg.GetFloat() != nil:
		return text + " " + arg.GetFloat().Fval
	default:
		return text + " " + sql.QuoteLiteral(arg.GetString_().GetSval())
	}
}

// data gives the options for splitting data of the given columns, of which wanted (ascending indexes) are looked at.
func (o *copyOptions) data(columns []string, wanted []int) copyfmt.Options {
	d := copyfmt.Options{
		Format: o.format, Delimiter: o.delimiter, Null: o.null, Default: o.marker, Quote: o.quote, Escape: o.escape, Header: o.header,
		Columns: columns, Wanted: wanted,
	}
	d.SetDefaults(o.nullGiven)
	if o.format == copyfmt.CSV {
		for _, i := range wanted {
			d.ForceNull = append(d.ForceNull, o.forceNullAll || slices.Contains(o.forceNull, columns[i]))
			d.ForceNotNull = append(d.ForceNotNull, o.forceAll || slices.Contains(o.forceNot, columns[i]))
		}
	}
	return d
}

// copyWhere writes a COPY's WHERE clause for shards: a column may be qualified by its table, but not by its table's schema.
func copyWhere(c *sql.CopyStmt) (string, error) {
	if c.WhereClause == nil {
		return "", nil
	}
	where := sql.Clone(c.WhereClause)
	sql.Walk(where, func(m proto.Message) bool {
		if ref, ok := m.(*sql.ColumnRef); ok && len(ref.Fields) == 3 {
			ref.Fields = ref.Fields[1:]
		}
		return true
	})
	const relation = "trunkline"
	probe := &sql.CopyStmt{Relation: &sql.RangeVar{Relname: relation, Inh: true, Relpersistence: "p"}, IsFrom: true, WhereClause: where}
	text, err := sql.Deparse(sql.CopyNode(probe))
	if err != nil {
		return "", err
	}
	_, condition, ok := strings.Cut(text, "COPY "+relation+" FROM STDIN ")
	if !ok {
		return "", sql.Errorf("XX000", "cannot write the WHERE clause of COPY")
	}
	return " " + condition, nil
}

// noShards says that the snapshot knows a table but not its shards.
func noShards(table *catalog.Relation) error {
	return &StaleError{Err: &pgconn.PgError{Severity: "ERROR", Code: "42P01", Message: "the shards of table \"" + table.Name + "\" do not exist"}}
}

func missingColumn(table *catalog.Relation, name string) *pgconn.PgError {
	return &pgconn.PgError{Severity: "ERROR", Code: "42703", Message: "column \"" + name + "\" of relation \"" + table.Name + "\" does not exist"}
}

// encodings in which a byte of a multi-byte character may be an ASCII character, so that data can only be split after conversion
// (PostgreSQL manual, 24.3.1: the client-only encodings).
var unsplittable = map[string]bool{"BIG5": true, "GB18030": true, "GBK": true, "JOHAB": true, "SJIS": true, "SHIFTJIS2004": true, "UHC": true,
	"MSKANJI": true, "SHIFTJIS": true, "WIN932": true, "WINDOWS932": true, "WIN936": true, "WINDOWS936": true, "WIN949": true, "WINDOWS949": true, "WIN950": true, "WINDOWS950": true}

// plainEncoding writes an encoding's name as PostgreSQL compares them.
func plainEncoding(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return -1
	}, name)
	if name == "UNICODE" {
		return "UTF8"
	}
	return name
}
