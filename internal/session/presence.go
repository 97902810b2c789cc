package session

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/sql"
)

// presence is how the gateways of a cluster find one another. Each keeps a connection to the coordinator on which it holds an advisory
// lock on a number of its own, so that pg_locks shows which gateways live, and listens to the channel trunkline_gateway. Requests and
// answers are rows of tables that only the gateways' own user may write; a notification says no more than which row to look at.
//
// The number makes the process ids that clients are given unique over all gateways: see Server.newSession.
type presence struct {
	server  *Server
	connect func(context.Context) (*backend.Conn, error)
	number  atomic.Uint32

	mu      sync.Mutex
	waiting map[string]chan struct{} // by request's id: poked when an answer to it has come
}

const (
	presenceClass = 1414680395 // of the advisory locks: "TRNK"

	// A client's process id is its gateway's number, then a count. The first number puts them beyond all process ids of servers,
	// which end at 2^22.
	sessionBits  = 17
	firstGateway = 1 << (22 - sessionBits)
	lastGateway  = 1<<(31-sessionBits) - 1

	answerTime = 2 * time.Second // a gateway that lives answers sooner
)

// request is what one gateway asks of the others.
type request struct {
	Kind    string `json:"kind"` // list, cancel or terminate
	PID     uint32 `json:"pid"`  // of the client; 0 for all
	Timeout int64  `json:"timeout"`
}

// answer is what a gateway says.
type answer struct {
	Sessions []sessionInfo `json:"sessions"`
	Idle     []processInfo `json:"idle"`
	Done     bool          `json:"done"`
}

// enter takes a number and begins to listen.
func (p *presence) enter(ctx context.Context) (*backend.Conn, error) {
	conn, err := p.connect(ctx)
	if err != nil {
		return nil, err
	}
	// After a lost connection the old number, unless the coordinator has yet to notice the loss.
	results, err := conn.Exec(ctx, fmt.Sprintf(`SELECT n FROM (SELECT %d AS n UNION ALL SELECT pg_catalog.generate_series(%d, %d)) AS _
		WHERE n > 0 AND pg_catalog.pg_try_advisory_lock(%d, n) LIMIT 1; LISTEN trunkline_gateway`, p.number.Load(), firstGateway, lastGateway, presenceClass))
	if err == nil && len(results[0].Rows) == 0 {
		err = sql.Errorf("53300", "too many gateways")
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	n, err := strconv.ParseUint(string(results[0].Rows[0][0]), 10, 32)
	p.number.Store(uint32(n))
	return conn, err
}

// run listens until ctx ends, over a new connection whenever one is lost.
func (p *presence) run(ctx context.Context, conn *backend.Conn) {
	for ctx.Err() == nil {
		err := p.listen(ctx, conn)
		conn.Close()
		for conn = nil; conn == nil && ctx.Err() == nil; conn, err = p.enter(ctx) {
			p.server.log.Warn("other gateways cannot be heard, trying again", "error", err)
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Second):
			}
		}
	}
	if conn != nil {
		conn.Close()
	}
}

// listen heeds notifications until the connection is lost.
func (p *presence) listen(ctx context.Context, conn *backend.Conn) error {
	for {
		var calls []string
		conn.OnAsync = func(m backend.Message) {
			var n pgproto3.NotificationResponse
			if m.Type == 'A' && n.Decode(m.Body()) == nil {
				calls = append(calls, n.Payload)
			}
		}
		err := conn.Wait(ctx)
		for _, call := range calls {
			p.heed(ctx, call)
		}
		if err != nil {
			return err
		}
	}
}

// heed deals with a notification: a request, or an answer to one of this gateway's own.
func (p *presence) heed(ctx context.Context, call string) {
	if id, ok := strings.CutPrefix(call, "answer "); ok {
		p.mu.Lock()
		defer p.mu.Unlock()
		if poked := p.waiting[id]; poked != nil {
			select {
			case poked <- struct{}{}:
			default:
			}
		}
		return
	}
	id, err := strconv.ParseInt(call, 10, 64)
	if err != nil {
		return
	}
	p.mu.Lock()
	own := p.waiting[call] != nil
	p.mu.Unlock()
	if own {
		return
	}
	go func() {
		if err := p.reply(ctx, id); err != nil && ctx.Err() == nil {
			p.server.log.Warn("answering another gateway", "error", err)
		}
	}()
}

func (p *presence) reply(ctx context.Context, id int64) error {
	results, err := p.exec(ctx, fmt.Sprintf("SELECT request FROM trunkline_internal.gateway_request WHERE id = %d", id))
	if err != nil || len(results[0].Rows) == 0 {
		return err
	}
	var r request
	if err := json.Unmarshal(results[0].Rows[0][0], &r); err != nil {
		return err
	}
	if r.PID != 0 && r.PID>>sessionBits != p.number.Load() {
		return nil
	}
	text, err := json.Marshal(p.perform(r))
	if err != nil {
		return err
	}
	_, err = p.exec(ctx, fmt.Sprintf("INSERT INTO trunkline_internal.gateway_answer SELECT id, %d, %s FROM trunkline_internal.gateway_request WHERE id = %d; NOTIFY trunkline_gateway, 'answer %d'",
		p.number.Load(), sql.QuoteLiteral(string(text)), id, id))
	return err
}

// perform does what a request asks for among this gateway's own clients.
func (p *presence) perform(r request) answer {
	s := p.server
	if r.Kind == "list" {
		return answer{Sessions: s.list(r.PID), Idle: s.idleProcesses(), Done: true}
	}
	s.mu.Lock()
	session := s.sessions[r.PID]
	s.mu.Unlock()
	switch {
	case session == nil:
		return answer{}
	case r.Kind == "cancel":
		session.cancel()
		return answer{Done: true}
	}
	session.terminate()
	if r.Timeout <= 0 {
		return answer{Done: true}
	}
	select {
	case <-session.over:
		return answer{Done: true}
	case <-time.After(time.Duration(r.Timeout) * time.Millisecond):
		return answer{}
	}
}

// ask has this gateway and the others that it may concern perform a request. Those that do not answer in time are left out.
func (p *presence) ask(ctx context.Context, r request) ([]answer, error) {
	own := p.number.Load()
	if r.PID != 0 && r.PID>>sessionBits == own {
		return []answer{p.perform(r)}, nil
	}
	var answers []answer
	if r.PID == 0 {
		answers = append(answers, p.perform(r))
	}
	results, err := p.exec(ctx, fmt.Sprintf(`SELECT objid FROM pg_catalog.pg_locks WHERE locktype = 'advisory' AND classid = %d AND objsubid = 2 AND granted
		AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()) AND objid <> %d AND %d IN (0, objid::bigint)`,
		presenceClass, own, r.PID>>sessionBits))
	if err != nil || len(results[0].Rows) == 0 {
		return answers, err
	}
	others, err := p.askOthers(ctx, r, len(results[0].Rows))
	return append(answers, others...), err
}

// askOthers waits for the answers of so many other gateways.
func (p *presence) askOthers(ctx context.Context, r request, expected int) (answers []answer, err error) {
	ctx, stop := context.WithTimeout(ctx, answerTime+time.Duration(r.Timeout)*time.Millisecond)
	defer stop()
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	results, err := p.exec(ctx, "DELETE FROM trunkline_internal.gateway_request WHERE asked_at < pg_catalog.clock_timestamp() - interval '1 hour'; "+
		"INSERT INTO trunkline_internal.gateway_request (request) VALUES ("+sql.QuoteLiteral(string(text))+") RETURNING id")
	if err != nil {
		return nil, err
	}
	id := string(results[1].Rows[0][0])
	poked := make(chan struct{}, 1)
	p.mu.Lock()
	if p.waiting == nil {
		p.waiting = map[string]chan struct{}{}
	}
	p.waiting[id] = poked
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.waiting, id)
		p.mu.Unlock()
		p.exec(context.WithoutCancel(ctx), "DELETE FROM trunkline_internal.gateway_request WHERE id = "+id)
	}()
	if _, err := p.exec(ctx, "NOTIFY trunkline_gateway, '"+id+"'"); err != nil {
		return nil, err
	}
	for {
		timedOut := false
		select {
		case <-poked:
		case <-ctx.Done():
			timedOut = true
		}
		results, err := p.exec(context.WithoutCancel(ctx), "SELECT answer FROM trunkline_internal.gateway_answer WHERE request = "+id)
		if err != nil {
			return nil, err
		}
		if len(results[0].Rows) < expected && !timedOut {
			continue
		}
		for _, row := range results[0].Rows {
			var a answer
			if err := json.Unmarshal(row[0], &a); err != nil {
				return nil, err
			}
			answers = append(answers, a)
		}
		return answers, nil
	}
}

// exec runs statements on the coordinator as the gateway's own user.
func (p *presence) exec(ctx context.Context, text string) ([]backend.Result, error) {
	s := p.server
	conn, err := s.adminPools.Acquire(ctx, s.coordinator, s.admin)
	if err != nil {
		return nil, err
	}
	defer s.adminPools.Release(conn)
	return conn.Exec(ctx, text)
}
