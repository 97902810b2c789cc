package session

import (
	"context"
	"net"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/wire"
)

// execute runs one command in a session of the gateway's own: as its superuser to begin with, then in the role of user. It gives the
// first value that the command returns, or its tag. When ctx ends, the command is cancelled like any client's.
func (s *Server) execute(ctx context.Context, user, command string) (string, error) {
	config, err := pgconn.ParseConfig("host=inner sslmode=disable")
	if err != nil {
		return "", err
	}
	config.User, config.Database, config.Password = s.admin.User, s.admin.Database, ""
	config.RuntimeParams = map[string]string{
		"application_name": "trunkline background task",
		// Should this gateway die, the command is to end before another gateway runs it again.
		"client_connection_check_interval": "500ms",
	}
	config.LookupFunc = func(context.Context, string) ([]string, error) { return []string{"inner"}, nil }
	config.DialFunc = func(context.Context, string, string) (net.Conn, error) { return s.dialInner(), nil }
	// The session is always left by its own means: a context that ended would only cut the connection.
	conn, err := pgconn.ConnectConfig(context.WithoutCancel(ctx), config)
	if err != nil {
		return "", err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	ended := context.AfterFunc(ctx, func() { s.cancel(conn.PID(), conn.SecretKey()) })
	defer ended()
	if user != s.admin.User {
		if _, err := conn.Exec(context.WithoutCancel(ctx), "SET ROLE "+sql.QuoteIdentifier(user)).ReadAll(); err != nil {
			return "", err
		}
	}
	if ctx.Err() != nil {
		return "", context.Cause(ctx)
	}
	results, err := conn.Exec(context.WithoutCancel(ctx), command).ReadAll()
	if err != nil || len(results) == 0 {
		return "", err
	}
	last := results[len(results)-1]
	if len(last.Rows) > 0 && len(last.Rows[0]) > 0 {
		return string(last.Rows[0][0]), nil
	}
	return last.CommandTag.String(), nil
}

// dialInner connects the gateway to itself, as a client that is trusted. Only what background waits for may call it.
func (s *Server) dialInner() net.Conn {
	ours, theirs := net.Pipe()
	s.background.Go(func() { s.serve(context.Background(), theirs, &wire.Config{}) })
	return ours
}
