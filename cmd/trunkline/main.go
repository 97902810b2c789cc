// Command trunkline is Trunkline's one program: it serves a gateway, starts a
// whole cluster on this machine, and shows it at work.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/trunkline/trunkline/internal/sql"
)

// Exit codes, besides 0.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// After the first signal the second one ends the process at once.
	context.AfterFunc(ctx, stop)
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// usageError is a mistake in the command line itself.
type usageError struct{ error }

// run carries out one command line and returns the exit code. Whatever goes
// wrong is said on one line.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := &cobra.Command{
		Use:           "trunkline",
		Short:         "Sharded PostgreSQL on stock PostgreSQL servers",
		Long:          "Trunkline turns ordinary PostgreSQL servers into one sharded PostgreSQL.\n\nStart with: trunkline up, and in another terminal: trunkline demo",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noArguments,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	root.PersistentFlags().String("config", "", "read settings from this TOML file")
	root.PersistentPreRunE = func(cmd *cobra.Command, _ []string) error { return configure(cmd, os.LookupEnv) }
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w: see %s --help", err, cmd.CommandPath())}
	})
	root.AddCommand(upCommand(), downCommand(), statusCommand(), gatewayCommand(), rebalanceCommand(), demoCommand(), dumpDistributionCommand(), versionCommand())
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(stderr, "trunkline: %s\n", oneLine(err))
	if u := (usageError{}); errors.As(err, &u) {
		return exitUsage
	}
	return exitFailed
}

// noArguments is for commands that know flags only.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("%q is not something that %s knows: see %s --help", args[0], cmd.CommandPath(), cmd.CommandPath())}
	}
	return nil
}

// oneLine makes an error fit on a line, however many it came from, with what
// PostgreSQL says beside the message.
func oneLine(err error) string {
	text := err.Error()
	var ours *sql.Error
	var theirs *pgconn.PgError
	switch {
	case errors.As(err, &ours):
		text = withDetail(text, ours.Detail, ours.Hint)
	case errors.As(err, &theirs):
		text = withDetail(text, theirs.Detail, theirs.Hint)
	}
	return strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), "; ")
}

func withDetail(text, detail, hint string) string {
	if beside := strings.TrimSpace(detail + " " + hint); beside != "" {
		return text + ": " + beside
	}
	return text
}
