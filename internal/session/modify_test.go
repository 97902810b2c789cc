package session_test

import "testing"

func TestMasterModifyMultipleShards(t *testing.T) {
	g := start(t)
	c := g.connect()
	g.distributed(c, 20)
	g.want(c, "SELECT master_modify_multiple_shards('UPDATE t SET v = ''it''''s ' || 7 || ''' WHERE n = 1'), 'after' || 5", "7|after5")
	g.want(c, "SELECT count(*) FROM t WHERE v = 'it''s 7'", "7")
	g.exec(c, "BEGIN")
	g.want(c, "SELECT master_modify_multiple_shards('DELETE FROM t')", "20")
	g.exec(c, "ROLLBACK")
	g.want(c, "SELECT count(*) FROM t", "20")
	g.fails(c, "SELECT master_modify_multiple_shards('SELECT 1')", "0A000")
	g.fails(c, "SELECT master_modify_multiple_shards('DELETE FROM nothing')", "42P01")
}
