package catalog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/sql"
)

// schemaVersion is how many migrations (ddl/tables_N.sql) this gateway knows.
const schemaVersion = 3

// bootstrapLock is the advisory lock under which gateways set up a node one at a time.
const bootstrapLock = "pg_catalog.hashtextextended('trunkline bootstrap', 0)"

// Bootstrap creates schema trunkline on the coordinator, or brings an older one up to date: migrations that have not run yet run
// once, in order; functions and views are replaced whenever their text has changed. It is one transaction, so that gateways
// starting together do it once. A schema newer than this gateway is left alone if it can still be used.
func Bootstrap(ctx context.Context, conn *backend.Conn) error {
	return inBootstrap(ctx, conn, func() error {
		if err := run(ctx, conn, mustRead("node.sql")); err != nil {
			return err
		}
		err := run(ctx, conn, `CREATE TABLE IF NOT EXISTS trunkline.schema_version (version int PRIMARY KEY, digest text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())`)
		if err != nil {
			return err
		}
		results, err := conn.Exec(ctx, `SELECT version, digest FROM trunkline.schema_version ORDER BY version DESC LIMIT 1`)
		if err != nil {
			return fmt.Errorf("cannot read the catalog's version: %w", err)
		}
		version, digest := 0, ""
		if rows := results[0].Rows; len(rows) > 0 {
			digest = string(rows[0][1])
			if version, err = strconv.Atoi(string(rows[0][0])); err != nil {
				return fmt.Errorf("cannot read the catalog's version: %w", err)
			}
		}
		if version > schemaVersion {
			return nil
		}
		replaceable := replaceableSQL()
		sum := sha256.Sum256([]byte(replaceable))
		wanted := hex.EncodeToString(sum[:])
		if version == schemaVersion && digest == wanted {
			return run(ctx, conn, compactVersions)
		}
		for v := version + 1; v <= schemaVersion; v++ {
			if err := run(ctx, conn, mustRead(fmt.Sprintf("tables_%d.sql", v))); err != nil {
				return err
			}
		}
		if err := run(ctx, conn, replaceable); err != nil {
			return err
		}
		return run(ctx, conn, fmt.Sprintf(`INSERT INTO trunkline.schema_version AS v (version, digest) VALUES (%d, %s)
			ON CONFLICT (version) DO UPDATE SET digest = EXCLUDED.digest, applied_at = now();
			SELECT trunkline_internal.bump_catalog_version();`, schemaVersion, sql.QuoteLiteral(wanted)))
	})
}

// BootstrapNode creates what every node other than the coordinator has: trunkline.commit_record.
func BootstrapNode(ctx context.Context, conn *backend.Conn) error {
	return inBootstrap(ctx, conn, func() error {
		return run(ctx, conn, mustRead("node.sql"))
	})
}

// compactVersions adds up the catalog's old changes, so that their table stays small.
const compactVersions = `
WITH old AS (
  DELETE FROM trunkline.catalog_version WHERE xid > '0' AND xid < pg_catalog.pg_snapshot_xmin(pg_catalog.pg_current_snapshot()) RETURNING changes, moves
)
UPDATE trunkline.catalog_version SET changes = changes + (SELECT pg_catalog.sum(changes) FROM old), moves = moves + (SELECT pg_catalog.sum(moves) FROM old) WHERE xid = '0' AND EXISTS (SELECT FROM old)`

// replaceableSQL is all that can be created anew over an older version of itself.
func replaceableSQL() string {
	return mustRead("functions.sql") + mustRead("facts.sql") + mustRead("views.sql") + mustRead("partitions.sql") +
		mustRead("store.sql") + mustRead("objects.sql") + mustRead("moves.sql") + mustRead("jobs.sql") + twinsSQL() + `
GRANT SELECT ON ALL TABLES IN SCHEMA trunkline TO PUBLIC;
REVOKE ALL ON trunkline.pg_dist_authinfo FROM PUBLIC;
`
}

// inBootstrap runs f in a transaction that holds the bootstrap lock, with settings of its own.
func inBootstrap(ctx context.Context, conn *backend.Conn, f func() error) error {
	err := run(ctx, conn, `BEGIN; SET LOCAL search_path = pg_catalog; SET LOCAL client_min_messages = warning; SET LOCAL check_function_bodies = on;
		SELECT pg_catalog.pg_advisory_xact_lock(`+bootstrapLock+`)`)
	if err == nil {
		err = f()
	}
	if err == nil {
		err = run(ctx, conn, "COMMIT")
	}
	if err != nil {
		conn.Exec(context.WithoutCancel(ctx), "ROLLBACK")
		return fmt.Errorf("cannot set up the catalog on %s: %w", conn.Address(), err)
	}
	return nil
}

func run(ctx context.Context, conn *backend.Conn, text string) error {
	_, err := conn.Exec(ctx, text)
	return err
}
