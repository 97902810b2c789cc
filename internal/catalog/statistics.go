package catalog

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/sql"
)

// Statistics is what the nodes estimate of the tables' contents, at one moment. It is never changed once made. Plans are right
// whatever it says; it only decides which of several right plans is taken.
type Statistics struct {
	Tables map[uint32]*TableStatistics // by the coordinator's OID of the table
}

// TableStatistics is about a whole table: all of its shards, and its partitions' as well.
type TableStatistics struct {
	Rows    float64
	Columns map[string]ColumnStatistics
}

// ColumnStatistics is about a column of a whole table, as ANALYZE found it.
type ColumnStatistics struct {
	Width    float64 // bytes of a value, on average
	Distinct float64 // different values other than NULL
	Nulls    float64 // part of the rows, 0 to 1
}

// Rows gives the estimated number of rows of a table. ok is false if nothing is known of it.
func (s *Statistics) Rows(table uint32) (rows float64, ok bool) {
	if s == nil || s.Tables[table] == nil {
		return 0, false
	}
	return s.Tables[table].Rows, true
}

// Column gives what is known of a column. ok is false for nothing.
func (s *Statistics) Column(table uint32, name string) (c ColumnStatistics, ok bool) {
	if s == nil || s.Tables[table] == nil {
		return ColumnStatistics{}, false
	}
	c, ok = s.Tables[table].Columns[name]
	return c, ok
}

// shardsSampled is how many shards of a table on one node are looked at for its columns.
const shardsSampled = 8

// unanalysedRow is how many bytes a row of a table that was never analysed is taken to have.
const unanalysedRow = 100

// StatisticsQuery writes the query that asks the node of a group for estimates of the tables it holds, "" if it holds none. Its
// rows are read by StatisticsReader.Read. Reference and local tables are the coordinator's to tell.
func (s *Snapshot) StatisticsQuery(groupID int32) string {
	var oids, names []string
	var sampled []string
	add := func(r *Relation, schema string, sample bool) {
		oids = append(oids, strconv.FormatUint(uint64(r.OID), 10))
		names = append(names, sql.QuoteLiteral(sql.QuoteIdentifier(schema)+"."+sql.QuoteIdentifier(r.Name)))
		sampled = append(sampled, strconv.FormatBool(sample))
	}
	for _, r := range s.ByOID {
		switch {
		case r.RelKind != 'r' && r.RelKind != 'm', r.Schema == "pg_catalog", r.Schema == "information_schema", r.Schema == "trunkline":
		case r.Kind == Distributed:
			c := s.Colocations[r.ColocationID]
			if c == nil {
				continue
			}
			seen := 0
			for _, g := range c.Groups {
				if g.GroupID == groupID {
					add(r, ShardSchema(r.Schema, g.ID), seen < shardsSampled)
					seen++
				}
			}
		case groupID == CoordinatorGroup:
			add(r, r.Schema, true)
		}
	}
	if len(oids) == 0 {
		return ""
	}
	return fmt.Sprintf(`WITH shards AS MATERIALIZED (
	SELECT v.t, c.oid, v.sampled, CASE WHEN c.reltuples < 0 THEN pg_catalog.pg_relation_size(c.oid) / %d.0
		WHEN c.relpages > 0 THEN c.reltuples * (pg_catalog.pg_relation_size(c.oid) / 8192.0) / c.relpages ELSE c.reltuples END::float8 AS rows
	FROM ROWS FROM (pg_catalog.unnest(ARRAY[%s]::oid[]), pg_catalog.unnest(ARRAY[%s]::text[]), pg_catalog.unnest(ARRAY[%s]::bool[])) AS v(t, name, sampled)
	JOIN pg_catalog.pg_class c ON c.oid = pg_catalog.to_regclass(v.name))
SELECT t::text, NULL, pg_catalog.sum(rows)::text, pg_catalog.count(*)::text, NULL, NULL, NULL FROM shards GROUP BY t
UNION ALL
SELECT h.t::text, a.attname::text, pg_catalog.sum(h.rows)::text, pg_catalog.count(*)::text, pg_catalog.avg(st.stawidth)::text,
	pg_catalog.sum(CASE WHEN st.stadistinct < 0 THEN -st.stadistinct * h.rows ELSE st.stadistinct END)::text, pg_catalog.avg(st.stanullfrac)::text
FROM shards h JOIN pg_catalog.pg_statistic st ON st.starelid = h.oid AND NOT st.stainherit JOIN pg_catalog.pg_attribute a ON a.attrelid = h.oid AND a.attnum = st.staattnum
WHERE h.sampled AND h.rows > 0 GROUP BY h.t, a.attname`, unanalysedRow, strings.Join(oids, ","), strings.Join(names, ","), strings.Join(sampled, ","))
}

// StatisticsReader puts the answers of all nodes together.
type StatisticsReader struct {
	snapshot *Snapshot
	rows     map[uint32]float64
	samples  map[uint32]map[string]*sample
}

// sample adds up what is known of a column's shards.
type sample struct{ rows, shards, width, distinct, nulls float64 }

// NewStatisticsReader makes a reader for the tables of a snapshot.
func (s *Snapshot) NewStatisticsReader() *StatisticsReader {
	return &StatisticsReader{snapshot: s, rows: map[uint32]float64{}, samples: map[uint32]map[string]*sample{}}
}

// Read takes a node's answer to StatisticsQuery.
func (r *StatisticsReader) Read(result backend.Result) error {
	for _, row := range result.Rows {
		if len(row) != 7 || row[0] == nil || row[2] == nil || row[3] == nil {
			return fmt.Errorf("cannot read the statistics of tables: a row has %d columns", len(row))
		}
		table, err := strconv.ParseUint(string(row[0]), 10, 32)
		if err != nil {
			return fmt.Errorf("cannot read the statistics of tables: %w", err)
		}
		var numbers [5]float64
		for i := range numbers {
			if row[2+i] == nil {
				continue
			}
			if numbers[i], err = strconv.ParseFloat(string(row[2+i]), 64); err != nil {
				return fmt.Errorf("cannot read the statistics of tables: %w", err)
			}
		}
		oid := uint32(table)
		if row[1] == nil {
			for t := r.snapshot.ByOID[oid]; t != nil; t = r.snapshot.ByOID[t.Parent] {
				r.rows[t.OID] += numbers[0]
			}
			continue
		}
		for t := r.snapshot.ByOID[oid]; t != nil; t = r.snapshot.ByOID[t.Parent] {
			if r.samples[t.OID] == nil {
				r.samples[t.OID] = map[string]*sample{}
			}
			s := r.samples[t.OID][string(row[1])]
			if s == nil {
				s = &sample{}
				r.samples[t.OID][string(row[1])] = s
			}
			s.rows += numbers[0]
			s.shards += numbers[1]
			s.width += numbers[1] * numbers[2]
			s.distinct += numbers[3]
			s.nulls += numbers[1] * numbers[4]
		}
	}
	return nil
}

// Statistics gives what all answers together say.
func (r *StatisticsReader) Statistics() *Statistics {
	s := &Statistics{Tables: map[uint32]*TableStatistics{}}
	for oid, rows := range r.rows {
		t := &TableStatistics{Rows: rows, Columns: map[string]ColumnStatistics{}}
		relation := r.snapshot.ByOID[oid]
		for name, c := range r.samples[oid] {
			if c.shards == 0 || c.rows == 0 {
				continue
			}
			split := relation.DistColumn >= 0 && relation.Columns[relation.DistColumn].Name == name
			t.Columns[name] = ColumnStatistics{Width: c.width / c.shards, Nulls: c.nulls / c.shards,
				Distinct: distinctOverall(c.rows/c.shards, c.distinct/c.shards, rows, split)}
		}
		s.Tables[oid] = t
	}
	return s
}

// distinctOverall estimates how many different values all rows have, of which n rows have d. Values of the distribution column lie
// in one shard each; those of others are taken to be spread evenly: then n rows drawn from D values have D(1-(1-1/D)^n) of them.
func distinctOverall(n, d, all float64, split bool) float64 {
	if n <= 0 || d <= 0 {
		return 1
	}
	if split || d >= 0.98*n {
		return max(1, d*all/n)
	}
	low, high := d, all
	for range 40 {
		middle := (low + high) / 2
		if seen := middle * -math.Expm1(n*math.Log1p(-1/max(middle, 1.0001))); seen < d {
			low = middle
		} else {
			high = middle
		}
	}
	return max(1, low)
}

// Differs tells whether a plan made by one of two statistics should be made again by the other: the number of rows of one of the
// tables has become another by far.
func Differs(a, b *Statistics, tables []uint32) bool {
	for _, table := range tables {
		before, knownBefore := a.Rows(table)
		now, knownNow := b.Rows(table)
		if knownBefore != knownNow {
			return true
		}
		const much, few = 3, 1000
		if max(before, now) > few && max(before, now) > much*max(1, min(before, now)) {
			return true
		}
	}
	return false
}
