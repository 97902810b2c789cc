package session

import (
	"context"
	"strconv"
	"time"

	"github.com/trunkline/trunkline/internal/backend"
)

// cyclesQuery reads, in milliseconds, citus.recover_2pc_interval and for how long a block waits before a deadlock over several nodes is
// looked for: deadlock_timeout times half of citus.distributed_deadlock_detection_factor, since the search needs as long again.
// -1 is PostgreSQL's way to say never.
const cyclesQuery = `SELECT extract(epoch FROM (CASE WHEN i ~ '^-?[0-9.]+$' THEN i || 'ms' ELSE i END)::interval) * 1000,
	CASE WHEN f < 0 THEN -1 ELSE extract(epoch FROM pg_catalog.current_setting('deadlock_timeout')::interval) * 1000 * f / 2 END
	FROM (SELECT coalesce(nullif(pg_catalog.current_setting('citus.recover_2pc_interval', true), ''), '1min') AS i,
		coalesce(nullif(pg_catalog.current_setting('citus.distributed_deadlock_detection_factor', true), ''), '2')::numeric AS f) AS _`

// readCycles takes from the coordinator's database how often the gateway does its rounds, unless the configuration says so. They are
// set by ALTER DATABASE … SET, for all gateways that start afterwards.
func (c *Config) readCycles(ctx context.Context, coordinator *backend.Conn) error {
	results, err := coordinator.Exec(ctx, cyclesQuery)
	if err != nil {
		return err
	}
	for i, cycle := range []*time.Duration{&c.RecoverInterval, &c.DeadlockTimeout} {
		ms, err := strconv.ParseFloat(string(results[0].Rows[0][i]), 64)
		if err != nil {
			return err
		}
		if *cycle == 0 {
			*cycle = time.Duration(ms * float64(time.Millisecond))
		}
	}
	return nil
}
