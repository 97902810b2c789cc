package session

import (
	"context"
	"time"
)

// checkClients is how often clients whose statements run long are looked at.
const checkClients = time.Second

// watchClients ends the statements of clients that have gone away, whose locks and connections others may be waiting for. Nobody
// else would notice before the statement ends: what reads from the client is waiting for a node.
func (s *Server) watchClients(ctx context.Context) {
	tick := time.NewTicker(checkClients)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		s.mu.Lock()
		var long []*session
		for _, session := range s.sessions {
			rounds := session.rounds.Load()
			if rounds%2 == 1 && rounds == session.seen {
				long = append(long, session)
			}
			session.seen = rounds
		}
		s.mu.Unlock()
		for _, session := range long {
			if session.client.Gone() {
				session.terminate()
			}
		}
	}
}
