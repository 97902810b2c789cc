package sql

import pg "github.com/pganalyze/pg_query_go/v6"

// CopyStmt is COPY.
type CopyStmt = pg.CopyStmt
