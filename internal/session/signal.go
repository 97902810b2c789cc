package session

import (
	"context"
	"encoding/json"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/sql"
)

// sessionCalls are the functions that concern sessions, not the cluster.
var sessionCalls = map[string]func(*session, context.Context, json.RawMessage) (string, error){
	"citus_backend_gpid": func(s *session, _ context.Context, _ json.RawMessage) (string, error) {
		return itoa(int(globalPID(s.server.coordinatorID(), s.pid))), nil
	},
	"pg_cancel_backend":           (*session).cancelBackend,
	"pg_terminate_backend":        (*session).terminateBackend,
	"check_distributed_deadlocks": (*session).checkDeadlocks,
}

// signalArgs are the arguments of pg_cancel_backend and pg_terminate_backend.
type signalArgs struct {
	PID     *json.Number `json:"pid"`
	Timeout *int64       `json:"timeout"` // in milliseconds
}

func (s *session) cancelBackend(ctx context.Context, raw json.RawMessage) (string, error) {
	return s.signal(ctx, "cancel", raw)
}

func (s *session) terminateBackend(ctx context.Context, raw json.RawMessage) (string, error) {
	return s.signal(ctx, "terminate", raw)
}

// signal cancels or terminates by a client's process id, a global one, or that of a process of the coordinator.
func (s *session) signal(ctx context.Context, kind string, raw json.RawMessage) (string, error) {
	var args signalArgs
	if err := json.Unmarshal(raw, &args); err != nil {
		return "", sql.Errorf("22023", "cannot read the arguments: %v", err)
	}
	if args.PID == nil || kind == "terminate" && args.Timeout == nil {
		return "", nil
	}
	r := request{Kind: kind}
	if kind == "terminate" {
		if r.Timeout = *args.Timeout; r.Timeout < 0 {
			return "", sql.Errorf("22003", "\"timeout\" must not be negative")
		}
	}
	global, err := args.PID.Int64()
	if err != nil {
		return "", sql.Errorf("22023", "invalid process id: %v", err)
	}
	node, pid := int32(global/globalPIDs), global%globalPIDs
	coordinator := node == 0 || node == s.server.coordinatorID()
	if coordinator && pid >= firstGateway<<sessionBits && pid < 1<<31 {
		r.PID = uint32(pid)
		if found, done, err := s.signalSession(ctx, r); found || err != nil {
			return boolText(done), err
		}
	}
	address := s.server.coordinator
	if !coordinator {
		found := false
		for _, n := range s.server.watcher.Current().Nodes {
			if n.ID == node {
				address, found = backend.Address{Host: n.Host, Port: n.Port}, true
			}
		}
		if !found {
			return "", sql.Errorf("22023", "node %d of global process id %d does not exist", node, global)
		}
	}
	return s.signalProcess(ctx, address, r, pid)
}

// signalSession signals a client of any gateway, if there is one of that process id.
func (s *session) signalSession(ctx context.Context, r request) (found, done bool, err error) {
	answers, err := s.server.presence.ask(ctx, request{Kind: "list", PID: r.PID})
	if err != nil || len(answers) == 0 || len(answers[0].Sessions) == 0 {
		return false, false, err
	}
	if err := s.mayEnd(ctx, answers[0].Sessions[0].User, r.Kind); err != nil {
		return true, false, err
	}
	answers, err = s.server.presence.ask(ctx, r)
	return true, len(answers) > 0 && answers[0].Done, err
}

// mayEnd checks that the client may signal what another user runs, by PostgreSQL's rules.
func (s *session) mayEnd(ctx context.Context, user, kind string) error {
	conn, release, err := s.borrowCoordinator(ctx)
	if err != nil {
		return err
	}
	defer release()
	name := sql.QuoteLiteral(user)
	results, err := conn.Exec(ctx, `SELECT rolsuper AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user),
		pg_catalog.pg_has_role(oid, 'USAGE') OR pg_catalog.pg_has_role('pg_signal_backend', 'USAGE') FROM pg_catalog.pg_roles WHERE rolname = `+name)
	if err != nil || len(results[0].Rows) == 0 {
		return err
	}
	what, role := "terminate", "process is being terminated"
	if kind == "cancel" {
		what, role = "cancel", "query is being canceled"
	}
	row := results[0].Rows[0]
	switch {
	case string(row[0]) == "t":
		return sql.Errorf("42501", "must be a superuser to %s superuser %s", what, map[string]string{"cancel": "query", "terminate": "process"}[what])
	case string(row[1]) != "t":
		return sql.Errorf("42501", "must be a member of the role whose %s or member of pg_signal_backend", role)
	}
	return nil
}

// signalProcess signals a server process of a node, by that node's own function and rules.
func (s *session) signalProcess(ctx context.Context, node backend.Address, r request, pid int64) (string, error) {
	conn, err := s.server.pools.Acquire(ctx, node, s.tx.Identity())
	if err != nil {
		return "", err
	}
	defer s.server.pools.Release(conn)
	conn.OnAsync = func(m backend.Message) { s.async(catalog.CoordinatorGroup, m) } // its warning
	text := "SELECT pg_catalog.pg_cancel_backend(" + itoa(int(pid)) + ")"
	if r.Kind == "terminate" {
		text = "SELECT pg_catalog.pg_terminate_backend(" + itoa(int(pid)) + ", " + itoa(int(r.Timeout)) + ")"
	}
	results, err := conn.Exec(ctx, text)
	if err != nil {
		return "", err
	}
	return string(results[0].Rows[0][0]), nil
}

// checkDeadlocks looks for a deadlock over several nodes now, and tells whether it has ended one.
func (s *session) checkDeadlocks(ctx context.Context, _ json.RawMessage) (string, error) {
	found, err := s.server.manager.CheckDeadlocks(ctx, s.server.nodes())
	return boolText(found), err
}

func boolText(b bool) string {
	if b {
		return "t"
	}
	return "f"
}

// oneValue is the result of a function that returns one value, NULL for "".
func oneValue(value string) exec.CallResult {
	result := exec.CallResult{Columns: []string{"value"}, Rows: [][]*string{{nil}}}
	if value != "" {
		result.Rows[0][0] = &value
	}
	return result
}
