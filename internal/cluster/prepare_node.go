package cluster

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// database is what must be the same on all nodes for the same rows to mean and sort the same.
const database = `SELECT pg_catalog.pg_encoding_to_char(encoding), datlocprovider, datcollate, datctype, coalesce(daticulocale, '')
	FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()`

// prepareNode makes sure that a server can be a node, and creates what every node has. All that stands in the way is said at once.
func (o *operation) prepareNode(ctx context.Context, a backend.Address) error {
	conn, err := o.config.Pools.Acquire(ctx, a, o.tx.Identity())
	if err != nil {
		return err
	}
	defer o.config.Pools.Release(conn)
	rows, err := query(ctx, conn, "SELECT pg_catalog.current_setting('server_version_num')::int, pg_catalog.current_setting('server_version')")
	if err != nil {
		return err
	}
	const oldest = 150000
	if r := rows[0]; r.int(0) < oldest { // of which the rest cannot be asked
		return &sql.Error{Code: "0A000", Message: fmt.Sprintf("node %s runs PostgreSQL %s", a, r.text(1)), Detail: "Nodes must run PostgreSQL 15 or newer."}
	}
	if same, err := o.sameServer(ctx, conn); err != nil || same != "" {
		if err == nil {
			err = &sql.Error{Code: "55000", Message: fmt.Sprintf("node %s is the same server as node %s", a, same), Hint: "Add another server."}
		}
		return err
	}
	problems, err := o.unfit(ctx, conn)
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		return &sql.Error{Code: "55000", Message: fmt.Sprintf("node %s cannot be a node of this cluster", a), Detail: strings.Join(problems, "\n")}
	}
	rows, err = query(ctx, conn, "SHOW wal_level")
	if err != nil {
		return err
	}
	if level := rows[0].text(0); level != "logical" {
		err := o.say(ctx, "warning", fmt.Sprintf("shards can come to node %s, but not leave it while they are written to", a), "Its wal_level is "+level+".", "Set wal_level to logical and restart the server.")
		if err != nil {
			return err
		}
	}
	return catalog.BootstrapNode(ctx, conn)
}

// unfit lists, as sentences, why a server cannot be a node.
func (o *operation) unfit(ctx context.Context, conn *backend.Conn) ([]string, error) {
	var problems []string
	rows, err := query(ctx, conn, "SELECT pg_catalog.to_regclass('trunkline.pg_dist_node') IS NOT NULL, pg_catalog.current_setting('max_prepared_transactions')::int, pg_catalog.pg_is_in_recovery()")
	if err != nil {
		return nil, err
	}
	if rows[0].bool(0) {
		problems = append(problems, "It is a coordinator already: its database has a catalog of its own, in schema trunkline.")
	}
	if rows[0].int(1) == 0 {
		problems = append(problems, "It has prepared transactions disabled: set max_prepared_transactions to at least max_connections and restart the server.")
	}
	if rows[0].bool(2) {
		problems = append(problems, "It is a standby, which cannot be written to: add it with citus_add_secondary_node().")
	}
	theirs, err := query(ctx, conn, database)
	if err != nil {
		return nil, err
	}
	ours, err := o.query(ctx, database)
	if err != nil {
		return nil, err
	}
	for i, what := range []string{"encoding", "locale provider", "collation", "character classification", "ICU locale"} {
		if us, them := ours[0].text(i), theirs[0].text(i); us != them {
			problems = append(problems, fmt.Sprintf("The %s of its database is %q, of the coordinator's %q.", what, them, us))
		}
	}
	return problems, nil
}

// sameServer finds out whether a server is a node under another name: it takes a lock there that nobody else has, and looks for it on
// all nodes.
func (o *operation) sameServer(ctx context.Context, conn *backend.Conn) (name string, err error) {
	var random [8]byte
	rand.Read(random[:])
	key := int64(binary.BigEndian.Uint64(random[:]))
	if _, err := conn.Exec(ctx, fmt.Sprintf("SELECT pg_catalog.pg_advisory_lock(%d)", key)); err != nil {
		return "", err
	}
	defer conn.Exec(ctx, fmt.Sprintf("SELECT pg_catalog.pg_advisory_unlock(%d)", key))
	rows, err := o.query(ctx, "SELECT nodename, nodeport FROM trunkline.pg_dist_node WHERE groupid <> 0 ORDER BY nodeid")
	if err != nil {
		return "", err
	}
	held := fmt.Sprintf("SELECT pg_catalog.count(*) FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND classid::bigint = %d AND objid::bigint = %d",
		uint64(key)>>32, uint64(key)&0xffffffff)
	for _, r := range rows {
		known := backend.Address{Host: r.text(0), Port: r.int(1)}
		if known == conn.Address() {
			continue
		}
		found, err := o.ask(ctx, known, held)
		if err == nil && found[0].int(0) > 0 {
			return known.String(), nil
		}
		// One that cannot be reached now is not this one, which can.
	}
	return "", nil
}

// ask runs a query on a server, whether it is a node or not.
func (o *operation) ask(ctx context.Context, a backend.Address, text string) ([]row, error) {
	conn, err := o.config.Pools.Acquire(ctx, a, o.tx.Identity())
	if err != nil {
		return nil, err
	}
	defer o.config.Pools.Release(conn)
	return query(ctx, conn, text)
}
