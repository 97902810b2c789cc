package session

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/sql"
)

// modifyShards carries out master_modify_multiple_shards, which older clients of Citus call: it runs an UPDATE or DELETE and gives the
// number of rows. Any statement may be sent as it is instead.
func (s *session) modifyShards(ctx context.Context, raw json.RawMessage) (exec.CallResult, error) {
	var args struct {
		Query *string `json:"query"`
	}
	if err := json.Unmarshal(raw, &args); err != nil {
		return exec.CallResult{}, sql.Errorf("22023", "cannot read the arguments: %v", err)
	}
	if args.Query == nil {
		return oneValue(""), nil
	}
	outer := s.scanned // the calling statement's constants are still needed
	s.scanned = sql.Scanned{}
	defer func() { s.scanned = outer }()
	p := &prepared{text: *args.Query}
	if err := s.plan(ctx, p); err != nil {
		return exec.CallResult{}, err
	}
	if p.entry == nil || p.entry.stmt.Tree.GetUpdateStmt() == nil && p.entry.stmt.Tree.GetDeleteStmt() == nil {
		return exec.CallResult{}, sql.Unsupported("query is not an UPDATE or DELETE statement", "", "")
	}
	rows := exec.NewSpool(0)
	defer rows.Close()
	tag, err := s.dispatch(ctx, p.entry, &exec.Bind{Text: p.text, Literals: p.literals}, spoolSink{rows})
	if err != nil {
		return exec.CallResult{}, err
	}
	return oneValue(tag[strings.LastIndexByte(tag, ' ')+1:]), nil
}
