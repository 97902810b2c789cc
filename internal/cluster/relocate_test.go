package cluster

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/trunkline/trunkline/internal/pgtest"
	"github.com/trunkline/trunkline/internal/sql"
	"golang.org/x/sync/errgroup"
)

func TestUpdateNode(t *testing.T) {
	t.Parallel()
	f := newFixtureOf(t, 1)
	f.exec("CREATE TABLE a (k int PRIMARY KEY); CREATE TABLE ref (id int)")
	f.call("create_distributed_table", "table_name", "a", "distribution_column", "k")
	f.call("create_reference_table", "table_name", "ref")
	worker := f.servers[1]
	id := f.one(fmt.Sprintf("SELECT nodeid FROM trunkline.pg_dist_node WHERE nodeport = %d", worker.Port))
	var node int
	fmt.Sscan(id, &node)
	_, err := f.tryCall("citus_update_node", "node_id", node, "new_node_name", "127.0.0.1", "new_node_port", f.servers[2].Port)
	fails(t, err, "55000", "lacks 4 of the 4 shard schemas")
	fails(t, err, "55000", "lacks 1 of the 1 reference tables")
	_, err = f.tryCall("citus_update_node", "node_id", node, "new_node_name", "127.0.0.1", "new_node_port", f.servers[0].Port)
	fails(t, err, "23505", "already another node")
	_, err = f.tryCall("citus_update_node", "node_id", node, "new_node_name", "127.0.0.1", "new_node_port", 1)
	fails(t, err, "08001", "cannot ask the server")
	f.call("citus_update_node", "node_id", node, "new_node_name", "localhost", "new_node_port", worker.Port)
	if got := f.one("SELECT nodename FROM trunkline.pg_dist_node WHERE nodeid = " + id); got != "localhost" {
		t.Errorf("the node is at %s", got)
	}
	_, err = f.tryCall("citus_add_node", "nodename", "127.0.0.1", "nodeport", worker.Port)
	fails(t, err, "55000", "same server")
	f.call("citus_update_node", "node_id", node, "new_node_name", "nowhere.invalid", "new_node_port", 1, "force", true)
}

// TestUnfitNode is told all that stands in a server's way at once.
func TestUnfitNode(t *testing.T) {
	t.Parallel()
	f := newFixtureOf(t, 1)
	server := pgtest.Server(t, pgtest.Setting("max_prepared_transactions", "0"))
	if err := pgtest.Exec(t.Context(), server.DSN("postgres"), "CREATE DATABASE \""+f.db+"\" TEMPLATE template0 ENCODING 'LATIN1' LOCALE 'C'"); err != nil {
		t.Fatal(err)
	}
	_, err := f.tryCall("citus_add_node", "nodename", "127.0.0.1", "nodeport", server.Port)
	fails(t, err, "55000", "max_prepared_transactions")
	fails(t, err, "55000", "LATIN1")
}

// TestAddNodeBesideRoleChanges adds a node while another database of its server changes a role, which PostgreSQL refuses to one of the two.
func TestAddNodeBesideRoleChanges(t *testing.T) {
	t.Parallel()
	f := newFixtureOf(t, 1)
	role := "changed_" + f.db
	other, err := pgx.Connect(t.Context(), f.servers[2].DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(f.ctx())
	if _, err := other.Exec(t.Context(), "CREATE ROLE "+role); err != nil {
		t.Fatal(err)
	}
	f.ddl("CREATE ROLE " + role + " CONNECTION LIMIT 7")
	t.Cleanup(func() { f.ddl("DROP ROLE " + role) })
	if _, err := other.Exec(t.Context(), "BEGIN; ALTER ROLE "+role+" CONNECTION LIMIT 5"); err != nil {
		t.Fatal(err)
	}
	var waiting errgroup.Group
	waiting.Go(func() error {
		for blocks := false; !blocks; {
			blocked := "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted AND transactionid = pg_current_xact_id()::xid)"
			if err := other.QueryRow(t.Context(), blocked).Scan(&blocks); err != nil {
				return err
			}
		}
		_, err := other.Exec(t.Context(), "COMMIT")
		return err
	})
	f.addServer(f.servers[2])
	if err := waiting.Wait(); err != nil {
		t.Fatal(err)
	}
	if got := f.on(2, "SELECT rolconnlimit FROM pg_roles WHERE rolname = "+sql.QuoteLiteral(role)); got[0][0] != "7" {
		t.Errorf("the role is not as on the coordinator: %v", got)
	}
}

func TestSecondaryNode(t *testing.T) {
	t.Parallel()
	f := newFixtureOf(t, 1)
	f.call("citus_add_secondary_node", "nodename", "standby.invalid", "nodeport", 5432, "primaryname", "127.0.0.1", "primaryport", f.servers[1].Port)
	if got := f.one("SELECT s.groupid = p.groupid AND s.noderole = 'secondary' FROM trunkline.pg_dist_node s, trunkline.pg_dist_node p WHERE s.nodename = 'standby.invalid' AND p.nodeport = " + fmt.Sprint(f.servers[1].Port)); got != "t" {
		t.Errorf("the standby is not in its primary's group: %s", got)
	}
	_, err := f.tryCall("citus_add_secondary_node", "nodename", "other.invalid", "nodeport", 5432, "primaryname", "standby.invalid", "primaryport", 5432)
	fails(t, err, "55000", "not a primary")
}
