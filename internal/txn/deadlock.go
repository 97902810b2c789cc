package txn

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/sql"
)

// A deadlock over several nodes is invisible to each of them: there, one transaction simply waits for another. So each gateway looks
// at its own blocks several times per deadlock timeout, which costs nothing but memory reads. Once one that is open on several nodes
// has been waiting for an answer for the whole timeout, it publishes such blocks in a table on the coordinator, reads what other
// gateways have published there, asks the nodes who waits for whom, and looks for a cycle. Every block of a cycle waits, so all of
// them are published sooner or later. A cycle that is seen twice in a row is real, and the gateway of its youngest block ends that one.

// searchesPerTimeout is how often per deadlock timeout a gateway looks at its blocks.
const searchesPerTimeout = 4

// waits is what the search for deadlocks knows of a gateway's blocks.
type waits struct {
	mu     sync.Mutex
	blocks map[*Tx]*block

	// The rest is used by searches, one at a time.
	searching sync.Mutex
	published bool
	seen      map[string]bool // the cycles found the last time
}

// block is an open transaction block on one or more nodes.
type block struct {
	number  uint64
	began   time.Time
	members []member
	busy    int // how many times in a row it was found waiting
}

type member struct {
	group int32
	conn  *backend.Conn
}

// enlist notes that a block is open on a node.
func (m *Manager) enlist(t *Tx, group int32, conn *backend.Conn) {
	w := &m.waits
	w.mu.Lock()
	defer w.mu.Unlock()
	b := w.blocks[t]
	if b == nil {
		if w.blocks == nil {
			w.blocks = map[*Tx]*block{}
		}
		b = &block{number: m.number.Add(1), began: time.Now()}
		w.blocks[t] = b
	}
	b.members = append(b.members, member{group, conn})
}

// withdraw notes that a block is over on a node, or on all if conn is nil. It must precede the connection's release.
func (m *Manager) withdraw(t *Tx, conn *backend.Conn) {
	w := &m.waits
	w.mu.Lock()
	defer w.mu.Unlock()
	if conn == nil {
		delete(w.blocks, t)
	} else if b := w.blocks[t]; b != nil {
		b.members = slices.DeleteFunc(b.members, func(m member) bool { return m.conn == conn })
	}
}

// waiting gives the blocks on several nodes that have been found waiting so many times in a row.
func (w *waits) waiting(times int) (found []publication) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for t, b := range w.blocks {
		busy := false
		for _, member := range b.members {
			busy = busy || member.conn.Running()
		}
		if !busy {
			b.busy = 0
			continue
		}
		b.busy++
		if b.busy < times || len(b.members) < 2 {
			continue
		}
		p := publication{tx: t, number: b.number, began: b.began.UnixMicro(), fresh: true}
		for _, member := range b.members {
			p.places = append(p.places, place{member.group, member.conn.PID()})
		}
		found = append(found, p)
	}
	return found
}

// publication is what gateways know of one another's waiting blocks.
type publication struct {
	tx      *Tx // nil for another gateway's
	gateway string
	number  uint64
	began   int64 // in microseconds since 1970, by the gateway's clock
	fresh   bool  // its gateway has looked at it recently
	places  []place
}

// place is a server process of a node.
type place struct {
	group int32
	pid   uint32
}

func (p place) String() string { return fmt.Sprintf("%d/%d", p.group, p.pid) }

// WatchDeadlocks ends distributed deadlocks until ctx ends. nodes are the nodes to look at, the coordinator among them.
func (m *Manager) WatchDeadlocks(ctx context.Context, nodes func() []Node) {
	tick := time.NewTicker(m.config.DeadlockTimeout / searchesPerTimeout)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		m.waits.searching.Lock()
		own := m.waits.waiting(searchesPerTimeout)
		if len(own) > 0 || m.waits.published {
			searching, stop := context.WithTimeout(ctx, 5*m.config.DeadlockTimeout)
			if _, err := m.search(searching, nodes(), own); err != nil && ctx.Err() == nil {
				m.config.Log.Warn("looking for deadlocks over several nodes", "error", err)
			}
			stop()
		}
		m.waits.searching.Unlock()
	}
}

// CheckDeadlocks looks for a deadlock over several nodes now, however short its blocks have been waiting, and tells whether it has
// ended a block of this gateway.
func (m *Manager) CheckDeadlocks(ctx context.Context, nodes []Node) (ended bool, err error) {
	m.waits.searching.Lock()
	defer m.waits.searching.Unlock()
	for range 2 { // a cycle counts once it is seen twice
		if ended, err = m.search(ctx, nodes, m.waits.waiting(1)); err != nil || ended {
			break
		}
	}
	return ended, err
}

// search publishes the gateway's waiting blocks and ends those of them that are the youngest of a cycle.
func (m *Manager) search(ctx context.Context, nodes []Node, own []publication) (ended bool, err error) {
	addresses := map[int32]backend.Address{}
	for _, n := range nodes {
		addresses[n.GroupID] = n.Address
	}
	all, err := m.publish(ctx, addresses[coordinator], own)
	m.waits.published = err != nil || len(own) > 0
	if err != nil || len(own) == 0 {
		m.waits.seen = nil
		return false, err
	}
	blocks := map[place]int{}
	groups := map[int32]bool{}
	for i, p := range all {
		for _, at := range p.places {
			blocks[at] = i
			groups[at.group] = true
		}
	}
	g := waitGraph{blocks: blocks, edges: map[string][]string{}}
	for group := range groups {
		address, known := addresses[group]
		if !known {
			continue
		}
		if err := m.readWaits(ctx, group, address, &g); err != nil {
			return false, err // a missing edge hides a cycle; the next search may see it
		}
	}
	seen := map[string]bool{}
	for i, p := range all {
		cycle := g.cycleThrough(i)
		if cycle == nil {
			continue
		}
		if p.tx == nil || !p.isYoungest(all, cycle) {
			continue
		}
		key := fmt.Sprint(p.number, cycle)
		seen[key] = true
		if m.waits.seen[key] && p.tx.onDeadlock != nil {
			m.config.Log.Info("ending a deadlock over several nodes", "blocks", len(cycle))
			p.tx.onDeadlock()
			ended = true
		}
	}
	m.waits.seen = seen
	return ended, nil
}

// isYoungest tells whether p began last of the blocks of a cycle whose gateways are alive.
func (p publication) isYoungest(all []publication, cycle []int) bool {
	for _, i := range cycle {
		other := all[i]
		if other.fresh && (other.began > p.began || other.began == p.began && other.gateway+strconv.FormatUint(other.number, 10) > p.gateway+strconv.FormatUint(p.number, 10)) {
			return false
		}
	}
	return true
}

// publish replaces what this gateway has published and gives what all have. What is older than a minute was left by a gateway that
// has died.
func (m *Manager) publish(ctx context.Context, home backend.Address, own []publication) ([]publication, error) {
	var text strings.Builder
	text.WriteString("DELETE FROM trunkline_internal.waiting_block WHERE gateway = " + sql.QuoteLiteral(m.gateway) + " OR published_at < pg_catalog.clock_timestamp() - interval '1 minute';")
	for i, p := range own {
		for j, at := range p.places {
			if i == 0 && j == 0 {
				text.WriteString(" INSERT INTO trunkline_internal.waiting_block (gateway, number, began, groupid, pid) VALUES ")
			} else {
				text.WriteString(", ")
			}
			fmt.Fprintf(&text, "(%s, %d, %d, %d, %d)", sql.QuoteLiteral(m.gateway), p.number, p.began, at.group, at.pid)
		}
	}
	fmt.Fprintf(&text, "; SELECT gateway, number, began, groupid, pid, published_at > pg_catalog.clock_timestamp() - interval '%d milliseconds' FROM trunkline_internal.waiting_block",
		(2 * m.config.DeadlockTimeout).Milliseconds())
	results, err := m.run(ctx, home, m.config.Admin.Database, text.String())
	if err != nil {
		return nil, err
	}
	index := map[string]int{}
	var all []publication
	for _, p := range own {
		p.gateway = m.gateway
		all = append(all, p)
	}
	for _, row := range results[len(results)-1].Rows {
		gateway := string(row[0])
		if gateway == m.gateway {
			continue
		}
		key := gateway + "/" + string(row[1])
		at, known := index[key]
		if !known {
			number, _ := strconv.ParseUint(string(row[1]), 10, 64)
			began, _ := strconv.ParseInt(string(row[2]), 10, 64)
			at = len(all)
			index[key] = at
			all = append(all, publication{gateway: gateway, number: number, began: began, fresh: string(row[5]) == "t"})
		}
		group, _ := strconv.ParseInt(string(row[3]), 10, 32)
		pid, _ := strconv.ParseUint(string(row[4]), 10, 32)
		all[at].places = append(all[at].places, place{int32(group), uint32(pid)})
	}
	return all, nil
}

// readWaits adds what the server processes of one node wait for. A process that belongs to no published block stands for itself: a
// transaction on one node can be part of a cycle that leads over others.
func (m *Manager) readWaits(ctx context.Context, group int32, address backend.Address, g *waitGraph) error {
	results, err := m.run(ctx, address, m.config.Admin.Database, `SELECT pid, pg_catalog.unnest(pg_catalog.pg_blocking_pids(pid)) FROM pg_catalog.pg_stat_activity
		WHERE wait_event_type = 'Lock' AND datname = pg_catalog.current_database()`)
	if err != nil {
		return fmt.Errorf("node %s: %w", address, err)
	}
	for _, row := range results[0].Rows {
		waiter, err1 := strconv.ParseUint(string(row[0]), 10, 32)
		holder, err2 := strconv.ParseUint(string(row[1]), 10, 32)
		if err1 == nil && err2 == nil && holder != 0 { // 0 is a prepared transaction, which waits for nobody
			from, to := g.vertex(place{group, uint32(waiter)}), g.vertex(place{group, uint32(holder)})
			g.edges[from] = append(g.edges[from], to)
		}
	}
	return nil
}

// waitGraph says who waits for whom. Its vertices are blocks, by their index, and server processes that belong to none.
type waitGraph struct {
	blocks map[place]int
	edges  map[string][]string
}

func (g *waitGraph) vertex(at place) string {
	if i, ok := g.blocks[at]; ok {
		return "block " + strconv.Itoa(i)
	}
	return at.String()
}

// cycleThrough gives the blocks of a cycle that leads through a block, in ascending order, nil if there is none.
func (g *waitGraph) cycleThrough(start int) []int {
	goal := "block " + strconv.Itoa(start)
	cameFrom := map[string]string{}
	queue := []string{goal}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for _, next := range g.edges[at] {
			if next == goal {
				var cycle []int
				for v := at; ; v = cameFrom[v] {
					if n, err := strconv.Atoi(strings.TrimPrefix(v, "block ")); err == nil && strings.HasPrefix(v, "block ") {
						cycle = append(cycle, n)
					}
					if v == goal {
						break
					}
				}
				slices.Sort(cycle)
				return cycle
			}
			if _, visited := cameFrom[next]; !visited {
				cameFrom[next] = at
				queue = append(queue, next)
			}
		}
	}
	return nil
}
