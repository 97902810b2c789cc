package session

import (
	"maps"
	"strings"

	"github.com/trunkline/trunkline/internal/backend"
	"github.com/trunkline/trunkline/internal/sql"
)

// storedSettings are what ALTER ROLE … SET and ALTER DATABASE … SET have stored for whoever logs in here, the weaker first.
const storedSettings = `SELECT pg_catalog.substr(c, 1, pg_catalog.strpos(c, '=') - 1), pg_catalog.substr(c, pg_catalog.strpos(c, '=') + 1)
	FROM pg_catalog.pg_db_role_setting, pg_catalog.unnest(setconfig) c
	WHERE setrole IN (0, (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = session_user))
	AND setdatabase IN (0, (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database()))
	ORDER BY setrole <> 0, setdatabase <> 0`

// withRoles adds what is stored for the session's role and database to the settings that the client's startup asks for. A server reads that
// when a connection begins; those of the pool may have begun before it was stored.
func (t *settings) withRoles(conn *backend.Conn, asked map[string]string) (map[string]string, error) {
	ctx := t.session.context
	results, err := conn.Exec(ctx, storedSettings)
	if err != nil || len(results[0].Rows) == 0 {
		return asked, err
	}
	stored := map[string]string{}
	var names []string
	for _, row := range results[0].Rows {
		name := strings.ToLower(string(row[0]))
		stored[name] = string(row[1])
		names = append(names, sql.QuoteLiteral(name))
	}
	// What a user may not set stays as it was when the connection began; so does the role.
	results, err = conn.Exec(ctx, "SELECT pg_catalog.lower(name) FROM pg_catalog.pg_settings WHERE context <> 'user' AND pg_catalog.lower(name) IN ("+strings.Join(names, ", ")+")")
	if err != nil {
		return nil, err
	}
	for _, row := range results[0].Rows {
		delete(stored, string(row[0]))
	}
	delete(stored, "role")
	maps.Copy(stored, asked)
	to := backend.NewSettings(stored).Without(statementLimit)
	if err := conn.Apply(ctx, to, false); err != nil {
		if conn.Err() != nil || ctx.Err() != nil {
			return nil, err
		}
		return asked, conn.Apply(ctx, t.current, false) // a stored value that is not valid keeps nobody from logging in
	}
	t.current = to
	return stored, nil
}
