package session

import (
	"context"
	"encoding/json"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/sql"
)

// A client's process id is the same in BackendKeyData, in pg_backend_pid() and in pg_cancel_backend(). Its global id is that of a process
// of the coordinator. The server processes on the nodes that work for a client are known to its gateway alone, in memory: naming the
// client on each connection would cost each statement.

// sessionInfo is a client as pg_stat_activity has it, under the same names.
type sessionInfo struct {
	GlobalPID    int64         `json:"global_pid"`
	NodeID       int32         `json:"nodeid"`
	Database     string        `json:"datname"`
	PID          uint32        `json:"pid"`
	User         string        `json:"usename"`
	Application  string        `json:"application_name"`
	ClientAddr   *string       `json:"client_addr"`
	ClientPort   *int          `json:"client_port"`
	BackendStart time.Time     `json:"backend_start"`
	QueryStart   *time.Time    `json:"query_start"`
	State        *string       `json:"state"`
	Query        string        `json:"query"`
	BackendType  string        `json:"backend_type"`
	Processes    []processInfo `json:"processes,omitempty"` // that work for it
}

// processInfo is a server process of a node.
type processInfo struct {
	Host string `json:"host"`
	Port int    `json:"port"`
	PID  uint32 `json:"pid"`
}

func processesOf(places []backend.Place) []processInfo {
	all := make([]processInfo, len(places))
	for i, p := range places {
		all[i] = processInfo{p.Address.Host, p.Address.Port, p.PID}
	}
	return all
}

func (s *Server) idleProcesses() []processInfo { return processesOf(s.pools.Idle()) }

// list describes a client of this gateway, or all of them.
func (s *Server) list(pid uint32) []sessionInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []sessionInfo
	for _, session := range s.sessions {
		if pid == 0 || session.pid == pid {
			if info, ok := session.info(); ok {
				all = append(all, info)
			}
		}
	}
	return all
}

// shownQuery is how much of a statement is kept to be shown, in bytes: PostgreSQL's track_activity_query_size.
const shownQuery = 1024

// note keeps what the client has asked for, to be shown to others.
func (s *session) note(text string) {
	now := time.Now()
	if len(text) > shownQuery {
		text = strings.Clone(text[:shownQuery])
	}
	s.mu.Lock()
	s.query, s.queryStart = text, now
	s.mu.Unlock()
}

// noteApplication keeps what the client calls itself.
func (s *session) noteApplication(name string) {
	s.mu.Lock()
	s.application = name
	s.mu.Unlock()
}

// info describes the session. It may be called from any goroutine; ok is false until the client is logged in.
func (s *session) info() (info sessionInfo, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.context == nil {
		return sessionInfo{}, false
	}
	states := map[byte]string{'I': "idle", 'T': "idle in transaction", 'E': "idle in transaction (aborted)"}
	state := states[byte(s.status.Load())]
	if s.rounds.Load()%2 == 1 {
		state = "active"
	}
	info = sessionInfo{
		NodeID: s.server.coordinatorID(), PID: s.pid, User: s.client.Startup.User, Database: s.client.Startup.Database, Application: s.application,
		BackendStart: s.started, State: &state, Query: s.query, BackendType: "client backend", Processes: processesOf(backend.Held(s.context)),
	}
	info.GlobalPID = globalPID(info.NodeID, s.pid)
	if !s.queryStart.IsZero() {
		start := s.queryStart
		info.QueryStart = &start
	}
	port := -1
	if a, ok := s.client.RemoteAddr().(*net.TCPAddr); ok {
		host := a.IP.String()
		info.ClientAddr, port = &host, a.Port
	}
	info.ClientPort = &port
	return info, true
}

// coordinatorID is the coordinator's node id, 0 while it is not registered.
func (s *Server) coordinatorID() int32 {
	for _, n := range s.watcher.Current().Nodes {
		if n.GroupID == catalog.CoordinatorGroup && !n.Secondary {
			return n.ID
		}
	}
	return 0
}

// globalPIDs is by how much a node's id counts in a global process id, as in Citus.
const globalPIDs = 10_000_000_000

func globalPID(node int32, pid uint32) int64 { return int64(node)*globalPIDs + int64(pid) }

// clusterActivity is what the views over all nodes' processes are made of: see facts.sql.
type clusterActivity struct {
	Sessions []sessionInfo  `json:"sessions"`
	Held     [][3]any       `json:"held"` // node id, process id, global id of the client it works for or NULL
	Nodes    []nodeActivity `json:"nodes"`
}

type nodeActivity struct {
	NodeID   int32           `json:"nodeid"`
	Activity json.RawMessage `json:"activity"`
	Waits    json.RawMessage `json:"waits,omitempty"` // pairs: who waits, for whom
	Locks    json.RawMessage `json:"locks,omitempty"`
}

// isActivity tells which facts are about processes.
func isActivity(name string) bool {
	switch name {
	case "citus_stat_activity", "citus_dist_stat_activity", "citus_lock_waits", "citus_locks":
		return true
	}
	return false
}

// activity asks all gateways and all nodes who does what, and writes the statement that tells the coordinator for the rest of the block.
func (s *session) activity(ctx context.Context, facts []string) (string, error) {
	snapshot, err := s.snapshot(ctx)
	if err != nil {
		return "", err
	}
	answers, err := s.server.presence.ask(ctx, request{Kind: "list"})
	if err != nil {
		return "", err
	}
	visible, err := s.visibleUsers(ctx)
	if err != nil {
		return "", err
	}
	all := clusterActivity{Held: [][3]any{}, Sessions: []sessionInfo{}}
	nodes := map[backend.Address]int32{s.server.coordinator: s.server.coordinatorID()}
	for _, n := range snapshot.ActivePrimaries() {
		nodes[backend.Address{Host: n.Host, Port: n.Port}] = n.ID
	}
	hold := func(processes []processInfo, client any) {
		for _, p := range processes {
			if node, ok := nodes[backend.Address{Host: p.Host, Port: p.Port}]; ok {
				all.Held = append(all.Held, [3]any{node, p.PID, client})
			}
		}
	}
	for _, a := range answers {
		for _, session := range a.Sessions {
			hold(session.Processes, session.GlobalPID)
			session.Processes = nil
			if !visible[session.User] {
				session.Query, session.State, session.QueryStart, session.ClientAddr, session.ClientPort = "<insufficient privilege>", nil, nil, nil, nil
			}
			all.Sessions = append(all.Sessions, session)
		}
		hold(a.Idle, nil)
	}
	if all.Nodes, err = s.nodesActivity(ctx, snapshot, facts); err != nil {
		return "", err
	}
	text, err := json.Marshal(all)
	if err != nil {
		return "", err
	}
	return "SELECT pg_catalog.set_config('trunkline.activity', " + sql.QuoteLiteral(string(text)) + ", true)", nil
}

// visibleUsers gives the users whose statements the client may see.
func (s *session) visibleUsers(ctx context.Context) (map[string]bool, error) {
	conn, release, err := s.borrowCoordinator(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	results, err := conn.Exec(ctx, "SELECT rolname FROM pg_catalog.pg_roles WHERE pg_catalog.pg_has_role(oid, 'USAGE') OR pg_catalog.pg_has_role('pg_read_all_stats', 'USAGE')")
	if err != nil {
		return nil, err
	}
	users := map[string]bool{}
	for _, row := range results[0].Rows {
		users[string(row[0])] = true
	}
	return users, nil
}

// nodesActivity asks every node for its processes, and for locks where they are wanted.
func (s *session) nodesActivity(ctx context.Context, snapshot *catalog.Snapshot, facts []string) ([]nodeActivity, error) {
	waits, locks := "NULL", "NULL"
	for _, name := range facts {
		switch name {
		case "citus_lock_waits":
			waits = `(SELECT pg_catalog.jsonb_agg(pg_catalog.jsonb_build_array(a.pid, b)) FROM pg_catalog.pg_stat_activity a, pg_catalog.unnest(pg_catalog.pg_blocking_pids(a.pid)) b WHERE a.wait_event_type = 'Lock')`
		case "citus_locks":
			locks = `(SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(l) || pg_catalog.jsonb_build_object('relation_name', l.relation::regclass)) FROM pg_catalog.pg_locks l)`
		}
	}
	text := "SELECT (SELECT pg_catalog.jsonb_agg(pg_catalog.to_jsonb(a)) FROM pg_catalog.pg_stat_activity a WHERE backend_type = 'client backend'), " + waits + ", " + locks
	nodes := []nodeActivity{{NodeID: s.server.coordinatorID()}}
	groups := []int32{catalog.CoordinatorGroup}
	for _, n := range snapshot.ActivePrimaries() {
		if n.GroupID != catalog.CoordinatorGroup {
			nodes, groups = append(nodes, nodeActivity{NodeID: n.ID}), append(groups, n.GroupID)
		}
	}
	failures := make([]error, len(groups))
	var asked sync.WaitGroup
	for i, group := range groups {
		asked.Go(func() { failures[i] = s.nodeActivity(ctx, group, text, &nodes[i]) })
	}
	asked.Wait()
	for _, err := range failures {
		if err != nil {
			return nil, err
		}
	}
	return nodes, nil
}

func (s *session) nodeActivity(ctx context.Context, group int32, text string, into *nodeActivity) error {
	address, err := s.server.address(group)
	if err != nil {
		return err
	}
	conn, err := s.server.pools.Acquire(ctx, address, s.tx.Identity()) // not the block's, which may have failed
	if err != nil {
		return err
	}
	defer s.server.pools.Release(conn)
	results, err := conn.Exec(ctx, text)
	if err != nil {
		return err
	}
	row := results[0].Rows[0]
	into.Activity, into.Waits, into.Locks = orEmpty(row[0]), orEmpty(row[1]), orEmpty(row[2])
	return nil
}

func orEmpty(value []byte) json.RawMessage {
	if value == nil {
		return json.RawMessage("[]")
	}
	return append(json.RawMessage(nil), value...)
}

// ownProcess rewrites a statement that asks for the client's own process id, or looks for it among the coordinator's.
func (s *session) ownProcess(text string, tables map[string]string) {
	pid := itoa(int(s.pid))
	own := "CASE pid WHEN pg_catalog.pg_backend_pid() THEN " + pid + " ELSE pid END AS pid"
	if strings.Contains(text, "pg_stat_activity") {
		tables["pg_stat_activity"] = "SELECT datid, datname, " + own + ", leader_pid, usesysid, usename, application_name, client_addr, client_hostname, client_port, " +
			"backend_start, xact_start, query_start, state_change, wait_event_type, wait_event, state, backend_xid, backend_xmin, query_id, query, backend_type FROM pg_catalog.pg_stat_activity"
	}
	if strings.Contains(text, "pg_locks") {
		tables["pg_locks"] = "SELECT locktype, database, relation, page, tuple, virtualxid, transactionid, classid, objid, objsubid, virtualtransaction, " + own +
			", mode, granted, fastpath, waitstart FROM pg_catalog.pg_locks"
	}
}
