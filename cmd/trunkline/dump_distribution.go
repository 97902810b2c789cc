package main

import (
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/spf13/cobra"

	"github.com/trunkline/trunkline/internal/dump"
	"github.com/trunkline/trunkline/internal/localpg"
)

func dumpDistributionCommand() *cobra.Command {
	var dir, dsn string
	cmd := &cobra.Command{
		Use:   "dump-distribution",
		Short: "Print the calls that distribute tables as they are distributed now",
		Long: "Print the calls of create_distributed_table and its like that, with a dump by\npg_dump, make a cluster anew:\n\n" +
			"  pg_dump --section=pre-data … | psql …\n  trunkline dump-distribution … | psql …\n" +
			"  pg_dump --section=data … | psql …\n  pg_dump --section=post-data … | psql …",
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if dsn == "" {
				r, lock, err := findRunning(dir)
				if err != nil {
					return fmt.Errorf("the cluster in %s: %w", dir, err)
				}
				if err := lock.Close(); err != nil {
					return err
				}
				dsn = localpg.DSN(r.Port, localpg.Superuser)
			}
			return query(cmd.Context(), dsn, func(conn *pgx.Conn) error {
				calls, err := dump.Distribution(cmd.Context(), conn)
				for _, call := range calls {
					fmt.Fprintln(cmd.OutOrStdout(), call)
				}
				return err
			})
		},
	}
	cmd.Flags().StringVar(&dir, "dir", defaultDir, "directory of the running cluster")
	cmd.Flags().StringVar(&dsn, "dsn", "", "connection string of another gateway, instead of --dir")
	return cmd
}
