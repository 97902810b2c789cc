package difftest

import (
	"os"
	"testing"

	"github.com/trunkline/trunkline/internal/pgtest"
)

var shared pgtest.Shared

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }
