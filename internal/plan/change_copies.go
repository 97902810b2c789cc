package plan

import (
	"strings"

	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// Names of columns by which rows of a reference table without a primary key are known on all nodes: what they hold, which of those
// that hold the same, and where that is on the node at hand.
const (
	contentColumn = "row content"
	numberColumn  = "row number"
	placeColumn   = "row place"
)

// contentOf is all that a row holds, as text. It is the same for the same row on every node, as its place is not.
func contentOf(table *catalog.Relation, alias string) string {
	var columns []string
	for _, c := range table.Columns {
		columns = append(columns, sql.QuoteIdentifier(alias)+"."+sql.QuoteIdentifier(c.Name))
	}
	return "ROW(" + strings.Join(columns, ", ") + ")::pg_catalog.text"
}

// parsed gives a query of the planner's own making.
func parsed(text string) (*sql.SelectStmt, error) {
	stmts, err := sql.Parse(text)
	if err != nil {
		return nil, err
	}
	clearLocations(stmts[0].Tree)
	return stmts[0].Tree.GetSelectStmt(), nil
}

// numberedRows reads the rows that were found of a reference table without a primary key, once each, and numbers those that hold the same.
// content and place are the columns that hold a row's content and its ctid on the coordinator.
func numberedRows(index int, alias, content, place string) (*sql.Node, error) {
	content, place = "found."+sql.QuoteIdentifier(content), "found."+sql.QuoteIdentifier(place)
	rows, err := parsed("SELECT DISTINCT ON (" + place + ") found.*, pg_catalog.dense_rank() OVER (PARTITION BY " + content + " ORDER BY " + place + ") AS " +
		sql.QuoteIdentifier(numberColumn) + " ORDER BY " + place)
	if err != nil {
		return nil, err
	}
	rows.FromClause = []*sql.Node{readIntermediate(index, &sql.Alias{Aliasname: "found"})}
	return sql.Subquery(rows, &sql.Alias{Aliasname: alias}, false), nil
}

// copiesOf reads where a node keeps which rows of a reference table, numbered likewise. Rows that hold the same are as good as each other.
func copiesOf(table *catalog.Relation, target *sql.RangeVar, alias string) (*sql.Node, error) {
	content := contentOf(table, "kept")
	rows, err := parsed("SELECT kept.ctid AS " + sql.QuoteIdentifier(placeColumn) + ", " + content + " AS " + sql.QuoteIdentifier(contentColumn) +
		", pg_catalog.row_number() OVER (PARTITION BY " + content + ") AS " + sql.QuoteIdentifier(numberColumn))
	if err != nil {
		return nil, err
	}
	kept := sql.Clone(target)
	kept.Alias = &sql.Alias{Aliasname: "kept"}
	rows.FromClause = []*sql.Node{sql.TableNode(kept)}
	return sql.Subquery(rows, &sql.Alias{Aliasname: alias}, false), nil
}
