package difftest

import (
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestSequencesUnderLoad has sessions fill a serial column side by side, while others draw from its sequence by themselves, which
// makes the gateway give values back. No value may come twice, and each session must be told its own.
func TestSequencesUnderLoad(t *testing.T) {
	pair := NewPair(t, &shared, 2, 4)
	setup := pair.Connect(t)
	setup.Must(t, "CREATE TABLE s (id bigserial, k int)")
	setup.Must(t, "CREATE TABLE drawn (id bigint)")
	setup.Distribute(t, "SELECT create_distributed_table('s', 'k')", "SELECT create_distributed_table('drawn', 'id')")
	const sessions, rounds = 8, 60
	var all sync.WaitGroup
	for n := range sessions {
		all.Go(func() {
			c, err := pgconn.Connect(t.Context(), pair.Gateway)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close(t.Context())
			for i := range rounds {
				text := fmt.Sprintf("INSERT INTO s (k) VALUES (%d) RETURNING id", n*rounds+i)
				if n >= sessions-2 && i%10 == 0 {
					text = "INSERT INTO drawn VALUES (nextval('s_id_seq')) RETURNING id"
				}
				results, err := c.Exec(t.Context(), text).ReadAll()
				if err != nil {
					t.Errorf("%s: %v", text, err)
					return
				}
				if i == rounds-1 {
					last, err := c.Exec(t.Context(), "SELECT currval('s_id_seq'), lastval()").ReadAll()
					if err != nil {
						t.Error(err)
						return
					}
					id := string(results[0].Rows[0][0])
					if row := last[0].Rows[0]; string(row[0]) != id || string(row[1]) != id {
						t.Errorf("session %d inserted %s, and currval and lastval say %s and %s", n, id, row[0], row[1])
					}
				}
			}
		})
	}
	all.Wait()
	answer := ask(t.Context(), setup.gateway, Simple, "SELECT count(*), count(DISTINCT id) FROM (SELECT id FROM s UNION ALL SELECT id FROM drawn) _", nil)
	if answer.Err != nil {
		t.Fatal(answer.Err)
	}
	row, want := answer.Results[0].Rows[0], fmt.Sprint(sessions*rounds)
	if row[0] != want || row[1] != want {
		t.Errorf("%s rows have %s different numbers, not %s", row[0], row[1], want)
	}
}
