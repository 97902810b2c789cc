package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestSettingsComeFromFlagEnvironmentAndFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "trunkline.toml")
	text := "port = 1\nworkers = 1\ndir = 'top'\nmax-connections = 1\ndetach = true\n[up]\nworkers = 2\ndir = 'file'\n[gateway]\nlisten = 'x'\n"
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	environment := map[string]string{"TRUNKLINE_CONFIG": path, "TRUNKLINE_DIR": "environment", "TRUNKLINE_MAX_CONNECTIONS": "3"}
	root := &cobra.Command{Use: "trunkline", SilenceErrors: true, SilenceUsage: true}
	root.PersistentFlags().String("config", "", "")
	up := upCommand()
	up.RunE = func(cmd *cobra.Command, _ []string) error {
		return configure(cmd, func(name string) (string, bool) { v, ok := environment[name]; return v, ok })
	}
	root.AddCommand(up, gatewayCommand())
	root.SetArgs([]string{"up", "--max-connections", "4"})
	root.SetOut(io.Discard)
	if err := root.Execute(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"max-connections": "4", "dir": "environment", "workers": "2", "port": "1", "detach": "true", "shard-count": "32",
	} {
		if got := up.Flag(name).Value.String(); got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
}

func TestConfigurationMistakes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for text, want := range map[string]string{
		"prot = 1":                "unknown setting prot",
		"[gateway]\nworkers = 1":  "unknown setting gateway.workers",
		"port = ":                 "is not valid TOML",
		"port = 'many'":           "setting port",
		"[status]\nport = 'many'": "unknown setting status.port",
	} {
		path := filepath.Join(dir, "c.toml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		refused(t, []string{"up", "--config", path}, want)
	}
	refused(t, []string{"up", "--config", "/nonexistent"}, "/nonexistent")
}

func TestGatewayRefuses(t *testing.T) {
	t.Parallel()
	const dsn = "host=127.0.0.1 port=1 user=postgres dbname=postgres connect_timeout=5"
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "--coordinator is missing"},
		{[]string{"--coordinator", dsn, "--auth", "md5"}, "--auth md5"},
		{[]string{"--coordinator", dsn, "--auth", "trust", "--listen", "0.0.0.0:0"}, "would let anybody in"},
		{[]string{"--coordinator", dsn, "--tls-cert", "x"}, "belong together"},
		{[]string{"--coordinator", dsn, "--tls-cert", "/nonexistent", "--tls-key", "/nonexistent"}, "reading the certificate"},
		{[]string{"--coordinator", dsn, "--listen", "nonsense"}, "cannot listen on nonsense"},
		{[]string{"--coordinator", dsn, "--log-level", "loud"}, "--log-level"},
		{[]string{"--coordinator", dsn, "--log-format", "xml"}, "--log-format"},
		{[]string{"--coordinator", dsn, "--pool-size", "0"}, "--pool-size"},
		{[]string{"--coordinator", dsn, "--listen", "127.0.0.1:0"}, "coordinator"},
		{[]string{"--coordinator", "nonsense", "--listen", "127.0.0.1:0"}, "coordinator"},
	} {
		refused(t, append([]string{"gateway"}, c.args...), c.want)
	}
}

func TestIsLoopback(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]bool{
		"127.0.0.1:1": true, "localhost:1": true, "[::1]:1": true, "127.9.9.9:0": true,
		":1": false, "0.0.0.0:1": false, "[::]:1": false, "10.0.0.1:1": false, "db:1": false, "": false,
	} {
		if got := isLoopback(address); got != want {
			t.Errorf("isLoopback(%s) is %v", address, got)
		}
	}
}

func TestErrorsFitOnOneLine(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if code := run(t.Context(), []string{"up", "--port", "x\ny"}, io.Discard, &b); code != exitUsage || strings.Count(b.String(), "\n") != 1 {
		t.Errorf("exit code %d, %q", code, b.String())
	}
}
