package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/env/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// envPrefix begins the names of the environment variables that stand for
// flags: --pg-bin is TRUNKLINE_PG_BIN.
const envPrefix = "TRUNKLINE_"

// configure gives the flags that the command line left out their values from
// the environment, and failing that from the configuration file. In the file,
// a flag's name is a key at the top (for every command that has the flag) or
// in the table of one command, which comes first:
//
//	dir = "/srv/trunkline"
//	[gateway]
//	listen = "0.0.0.0:5432"
func configure(cmd *cobra.Command, lookup func(string) (string, bool)) error {
	path, err := cmd.Flags().GetString("config")
	if err != nil {
		return err
	}
	if v, ok := lookup(envPrefix + "CONFIG"); ok && path == "" {
		path = v
	}
	k := koanf.New(".")
	if path != "" {
		if err := loadFile(k, cmd, path); err != nil {
			return err
		}
	}
	environment := env.Provider(".", env.Opt{
		Prefix: envPrefix,
		TransformFunc: func(key, value string) (string, any) {
			name := strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(key, envPrefix)), "_", "-")
			return cmd.Name() + "." + name, value
		},
		EnvironFunc: func() []string { return flagEnvironment(cmd, lookup) },
	})
	if err := k.Load(environment, nil); err != nil {
		return err
	}
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Changed || err != nil {
			return
		}
		for _, key := range []string{cmd.Name() + "." + f.Name, f.Name} {
			if k.Exists(key) {
				if setErr := cmd.Flags().Set(f.Name, k.String(key)); setErr != nil {
					err = usageError{fmt.Errorf("setting %s (from the environment or the configuration file): %w", f.Name, setErr)}
				}
				return
			}
		}
	})
	return err
}

// flagEnvironment lists the variables that stand for the command's flags.
func flagEnvironment(cmd *cobra.Command, lookup func(string) (string, bool)) (list []string) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		if v, ok := lookup(name); ok && f.Name != "config" && f.Name != "help" {
			list = append(list, name+"="+v)
		}
	})
	return list
}

// loadFile reads the configuration file, and refuses keys that mean nothing,
// since most of those are typing mistakes.
func loadFile(k *koanf.Koanf, cmd *cobra.Command, path string) error {
	if err := k.Load(file.Provider(path), toml.Parser()); err != nil {
		var p *os.PathError
		if errors.As(err, &p) {
			return usageError{fmt.Errorf("reading the configuration file: %w", err)}
		}
		return usageError{fmt.Errorf("the configuration file %s is not valid TOML: %w", path, err)}
	}
	var known []string
	for _, c := range cmd.Root().Commands() {
		c.Flags().VisitAll(func(f *pflag.Flag) { known = append(known, f.Name, c.Name()+"."+f.Name) })
	}
	for _, key := range k.Keys() {
		if !slices.Contains(known, key) {
			return usageError{fmt.Errorf("the configuration file %s has the unknown setting %s: the settings are the commands' flags", path, key)}
		}
	}
	return nil
}
