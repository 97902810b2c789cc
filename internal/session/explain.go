package session

import (
	"context"

	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/sql"
)

// explain runs EXPLAIN of a distributed statement.
func (s *session) explain(ctx context.Context, e *entry, bind *exec.Bind, out exec.RowWriter) (string, error) {
	return "", sql.Unsupported("EXPLAIN of distributed statements is not supported yet", "", "")
}
