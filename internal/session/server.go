// Package session serves clients: one goroutine each, which reads the client's protocol messages, keeps its transaction state,
// settings, prepared statements, portals and cursors, has statements planned, and has them run.
//
// It imports everything below it: plan, exec, cluster, jobs, txn, backend, catalog, wire and sql. Read Server first, then session.go,
// then simple.go and extended.go.
package session

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"runtime/debug"
	"sync"
	"time"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/catalog"
	"github.com/trunkline/trunkline/internal/cluster"
	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/jobs"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/txn"
	"github.com/trunkline/trunkline/internal/wire"
)

// Config is what a gateway's Server works with.
type Config struct {
	Coordinator    string      // connection string of the coordinator's database, as a superuser
	Trust          bool        // clients are let in without being asked who they are; else by SCRAM-SHA-256
	TLS            *tls.Config // offered to clients; nil for none
	MaxConnections int         // clients at a time; 200 unless set
	PoolSize       int         // connections to one node for one user and database; 50 unless set
	ShardCount     int         // of a new distributed table, unless it says otherwise; 32 unless set
	PlanCache      int         // plans kept; 10,000 unless set
	Log            *slog.Logger

	// For how long a block waits before a deadlock over several nodes is looked for, how often prepared transactions that were left
	// behind are looked for, and how old they must be: 1 s, 1 min and 10 s unless set.
	DeadlockTimeout, RecoverInterval, RecoverAge time.Duration

	JobPoll time.Duration // how often background tasks that another gateway left are looked for; 5 s unless set

	MoveFaults func(step string) error // move.Env.Faults, for tests
}

// Server is a gateway: it accepts clients and gives each a session.
type Server struct {
	config      Config
	log         *slog.Logger
	coordinator backend.Address
	admin       backend.Identity
	pools       *backend.Pools // clients' connections
	adminPools  *backend.Pools // the gateway's own
	gatePools   *backend.Pools // for reads at one instant
	manager     *txn.Manager
	watcher     *catalog.Watcher
	cluster     *cluster.Cluster
	presence    *presence
	wire        wire.Config
	plans       *planCache
	hashes      *exec.Hashes
	holders     chan struct{} // see exec.Env
	statistics  statistics
	running     context.Context // until the server closes
	sequences   *exec.Sequences
	stop        context.CancelFunc
	background  sync.WaitGroup

	mu       sync.Mutex
	sessions map[uint32]*session
	lastPID  uint32
	closing  bool
	clients  sync.WaitGroup
}

// NewServer connects to the coordinator, creates or upgrades the catalog there, and makes a Server ready to Serve.
func NewServer(ctx context.Context, config Config) (*Server, error) {
	if config.MaxConnections <= 0 {
		config.MaxConnections = 200
	}
	if config.PoolSize <= 0 {
		config.PoolSize = 50
	}
	if config.PlanCache <= 0 {
		config.PlanCache = 10_000
	}
	if config.Log == nil {
		config.Log = slog.New(slog.DiscardHandler)
	}
	address, admin, options, err := backend.ParseDSN(config.Coordinator)
	if err != nil {
		return nil, err
	}
	if options.ApplicationName == "" {
		options.ApplicationName = "trunkline"
	}
	s := &Server{log: config.Log, coordinator: address, admin: admin, hashes: exec.NewHashes(), sequences: exec.NewSequences(), holders: make(chan struct{}, max(1, config.PoolSize/4)), sessions: map[uint32]*session{}}
	if s.plans, err = newPlanCache(config.PlanCache); err != nil {
		return nil, err
	}
	connect := func(ctx context.Context) (*backend.Conn, error) { return backend.Connect(ctx, address, admin, options) }
	conn, err := connect(ctx)
	if err != nil {
		return nil, err
	}
	if s.admin.Database == "" {
		s.admin.Database = s.admin.User
	}
	err = catalog.Bootstrap(ctx, conn)
	if err == nil {
		err = config.readCycles(ctx, conn)
	}
	conn.Close()
	if err != nil {
		return nil, err
	}
	s.config = config
	if s.watcher, err = catalog.Watch(ctx, connect, config.Log); err != nil {
		return nil, err
	}
	s.pools = backend.NewPools(backend.PoolOptions{Options: options, MaxConns: config.PoolSize})
	s.adminPools = backend.NewPools(backend.PoolOptions{Options: options, MaxConns: 4})
	s.gatePools = backend.NewPools(backend.PoolOptions{Options: options, MaxConns: txn.GateReaders})
	s.manager = txn.NewManager(txn.Config{
		Pools: s.pools, AdminPools: s.adminPools, GatePools: s.gatePools, Admin: s.admin, Log: config.Log,
		Deferrable: func() bool { return s.watcher.Current().Deferrable }, MinAge: config.RecoverAge, DeadlockTimeout: config.DeadlockTimeout,
	})
	s.cluster = cluster.New(cluster.Config{Pools: s.pools, Manager: s.manager, Admin: s.admin, Coordinator: s.coordinator, ShardCount: config.ShardCount, Log: config.Log, MoveFaults: config.MoveFaults})
	s.presence = &presence{server: s, connect: connect}
	heard, err := s.presence.enter(ctx)
	if err != nil {
		return nil, err
	}
	s.wire = wire.Config{TLS: config.TLS, Cancel: s.cancel}
	if !config.Trust {
		s.wire.Verifier = s.verifier
	}
	s.statistics.server = s
	s.running, s.stop = context.WithCancel(context.WithoutCancel(ctx))
	s.background.Go(func() {
		s.manager.Run(s.running, s.nodes, func() time.Duration { return config.RecoverInterval })
	})
	s.background.Go(func() { s.cluster.KeepClean(s.running, cmp.Or(max(config.RecoverInterval, 0), time.Minute)) })
	s.background.Go(func() { s.watchClients(s.running) })
	s.background.Go(func() { s.sequences.Run(s.running, s.ownCoordinator) })
	s.background.Go(func() { s.presence.run(s.running, heard) })
	if config.DeadlockTimeout > 0 {
		s.background.Go(func() { s.manager.WatchDeadlocks(s.running, s.nodes) })
	}
	runner := jobs.New(jobs.Config{Connect: connect, Execute: s.execute, Poll: config.JobPoll, Log: config.Log})
	s.background.Go(func() { runner.Run(s.running) })
	return s, nil
}

// Pools are the gateway's connections to nodes, for status and metrics.
func (s *Server) Pools() *backend.Pools { return s.pools }

// Serve accepts clients until ctx ends or the listener fails; then it ends all sessions, telling their clients, and returns.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	defer s.close()
	ended := context.AfterFunc(ctx, func() { listener.Close() })
	defer ended()
	sessions, end := context.WithCancelCause(context.WithoutCancel(ctx))
	defer end(errShutdown)
	for {
		socket, err := listener.Accept()
		if err != nil {
			if ctx.Err() != nil {
				err = nil
			}
			s.endSessions(end)
			return err
		}
		s.clients.Go(func() { s.serve(sessions, socket, &s.wire) })
	}
}

var errShutdown = &sql.Error{Code: "57P01", Message: "terminating connection due to administrator command"}

// shutdownGrace is how long sessions may take to end, before their connections are cut.
const shutdownGrace = 5 * time.Second

func (s *Server) endSessions(end context.CancelCauseFunc) {
	s.mu.Lock()
	s.closing = true
	for _, session := range s.sessions {
		session.terminate()
	}
	s.mu.Unlock()
	end(errShutdown)
	done := make(chan struct{})
	go func() {
		s.clients.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(shutdownGrace):
		s.mu.Lock()
		for _, session := range s.sessions {
			session.client.Close()
		}
		s.mu.Unlock()
		<-done
	}
}

func (s *Server) close() {
	s.stop()
	s.background.Wait()
	s.manager.Close()
	s.watcher.Close()
	s.pools.Close()
	s.adminPools.Close()
	s.gatePools.Close()
}

// serve welcomes a client and runs its session.
func (s *Server) serve(ctx context.Context, socket net.Conn, config *wire.Config) {
	client, err := wire.Accept(ctx, socket, config)
	if err != nil {
		if !errors.Is(err, wire.ErrNoSession) {
			s.log.Debug("a client was not let in", "client", socket.RemoteAddr().String(), "error", err)
		}
		return
	}
	defer client.Close()
	session, err := s.newSession(client)
	if err != nil {
		client.SendError(err, wire.SeverityFatal)
		client.Flush()
		return
	}
	defer s.endSession(session)
	defer func() {
		// A defect met by one session must not end those of others.
		if failure := recover(); failure != nil {
			s.log.Error("session ended by an internal error", "error", failure, "stack", string(debug.Stack()))
			client.SendError(sql.Errorf("XX000", "internal error: %v", failure), wire.SeverityFatal)
			client.Flush()
		}
	}()
	if err := session.welcome(ctx); err != nil {
		client.SendError(err, wire.SeverityFatal)
		client.Flush()
		return
	}
	session.run(ctx)
}

// newSession registers a session under a process id and secret of its own.
func (s *Server) newSession(client *wire.Conn) (*session, error) {
	session := &session{server: s, client: client, over: make(chan struct{}), started: time.Now()}
	rand.Read(session.secret[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closing {
		return nil, errShutdown
	}
	if len(s.sessions) >= s.config.MaxConnections {
		return nil, sql.Errorf("53300", "sorry, too many clients already")
	}
	for {
		s.lastPID = (s.lastPID + 1) % (1 << sessionBits)
		session.pid = s.presence.number.Load()<<sessionBits | s.lastPID
		if s.sessions[session.pid] == nil {
			break
		}
	}
	s.sessions[session.pid] = session
	return session, nil
}

func (s *Server) endSession(session *session) {
	s.mu.Lock()
	delete(s.sessions, session.pid)
	s.mu.Unlock()
	session.close()
	close(session.over)
}

// cancel carries out a cancel request.
func (s *Server) cancel(pid uint32, secret []byte) {
	s.mu.Lock()
	session := s.sessions[pid]
	s.mu.Unlock()
	if session != nil && subtle.ConstantTimeCompare(session.secret[:], secret) == 1 {
		session.cancel()
	}
}

// ownCoordinator lends a connection to the coordinator as the gateway's own user.
func (s *Server) ownCoordinator(ctx context.Context) (*backend.Conn, func(), error) {
	conn, err := s.adminPools.Acquire(ctx, s.coordinator, s.admin)
	if err != nil {
		return nil, nil, err
	}
	return conn, func() { s.adminPools.Release(conn) }, nil
}

// settle gives values of sequences back that were drawn ahead, before a statement uses sequences by itself.
func (s *Server) settle(ctx context.Context) { s.sequences.Settle(ctx, s.ownCoordinator) }

// verifier reads a user's password verifier from the coordinator.
func (s *Server) verifier(ctx context.Context, user, _ string) (string, error) {
	conn, release, err := s.ownCoordinator(ctx)
	if err != nil {
		return "", err
	}
	defer release()
	result, err := conn.Query(ctx, "SELECT rolpassword FROM pg_catalog.pg_authid WHERE rolname = $1 AND rolcanlogin AND (rolvaliduntil IS NULL OR rolvaliduntil > now())", []byte(user))
	if err != nil || len(result.Rows) == 0 {
		return "", err
	}
	return string(result.Rows[0][0]), nil
}

// address tells where the primary of a group is.
func (s *Server) address(groupID int32) (backend.Address, error) {
	if groupID == catalog.CoordinatorGroup {
		return s.coordinator, nil
	}
	node, ok := s.watcher.Current().Primary(groupID)
	if !ok {
		return backend.Address{}, sql.Errorf("08001", "node group %d has no active primary", groupID)
	}
	return backend.Address{Host: node.Host, Port: node.Port}, nil
}

// nodes lists where transactions are to be recovered.
func (s *Server) nodes() []txn.Node {
	nodes := []txn.Node{{GroupID: catalog.CoordinatorGroup, Address: s.coordinator}}
	for _, n := range s.watcher.Current().ActivePrimaries() {
		if n.GroupID != catalog.CoordinatorGroup {
			nodes = append(nodes, txn.Node{GroupID: n.GroupID, Address: backend.Address{Host: n.Host, Port: n.Port}})
		}
	}
	return nodes
}
