package catalog

import (
	"embed"
	"regexp"
	"strings"
	"sync"
)

//go:embed ddl
var ddl embed.FS

// FunctionClass says who computes a function or view of schema trunkline.
type FunctionClass byte

const (
	Plain            FunctionClass = iota // the coordinator's PostgreSQL, from the metadata alone
	NeedsFacts                            // the coordinator's PostgreSQL, once the setting trunkline.shard_sizes holds what other nodes say
	GatewayPerformed                      // the gateway: see plan.ClusterCall
)

// SurfaceFunction is a function of schema trunkline that clients may call without naming the schema.
type SurfaceFunction struct {
	Class     FunctionClass
	Canonical string // the name whose behaviour it has: that of the function itself, or of the one it is an old name for
	Procedure bool   // it is called by CALL
	Result    string // as declared, of a function that the gateway performs: a type, or TABLE(name type, …)
}

// Names is what clients find in schema trunkline without naming it. All keys are lower-case names.
type Names struct {
	Functions map[string]SurfaceFunction
	Relations map[string]FunctionClass // tables and views; never GatewayPerformed
	Types     map[string]string        // types, with the schema they really live in
}

// Surface gives the names that are to be resolved to schema trunkline when a statement uses them unqualified and its
// search_path has nothing of that name. The result is shared: do not change it.
func Surface() *Names { return surface() }

var surface = sync.OnceValue(func() *Names {
	names := &Names{
		Functions: map[string]SurfaceFunction{},
		Relations: map[string]FunctionClass{},
		Types:     map[string]string{},
	}
	for _, f := range gatewayFunctions() {
		names.Functions[f.Name] = SurfaceFunction{Class: GatewayPerformed, Canonical: f.canonical(), Procedure: f.Procedure, Result: f.Result}
	}
	for _, file := range []struct {
		name  string
		class FunctionClass
	}{{"tables_1.sql", Plain}, {"functions.sql", Plain}, {"partitions.sql", Plain}, {"views.sql", Plain}, {"objects.sql", Plain}, {"facts.sql", NeedsFacts}} {
		text := mustRead(file.name)
		for _, m := range createdFunction.FindAllStringSubmatch(text, -1) {
			canonical := m[2]
			if old, ok := strings.CutPrefix(canonical, "master_"); ok {
				canonical = "citus_" + old
			}
			names.Functions[m[2]] = SurfaceFunction{Class: file.class, Canonical: canonical, Procedure: m[1] == "PROCEDURE"}
		}
		for _, m := range createdRelation.FindAllStringSubmatch(text, -1) {
			if name := m[1]; strings.HasPrefix(name, "pg_dist_") || strings.HasPrefix(name, "citus_") || name == "time_partitions" {
				names.Relations[name] = file.class
			}
		}
		for _, m := range createdType.FindAllStringSubmatch(text, -1) {
			names.Types[m[2]] = m[1]
		}
	}
	return names
})

var (
	createdFunction = regexp.MustCompile(`(?m)^CREATE OR REPLACE (FUNCTION|PROCEDURE) trunkline\.(\w+)`)
	createdRelation = regexp.MustCompile(`(?m)^CREATE (?:TABLE|OR REPLACE VIEW) trunkline\.(\w+)`)
	createdType     = regexp.MustCompile(`(?m)^CREATE TYPE (trunkline|citus)\.(\w+)`)
)

// mustRead gives an embedded file. That it exists is fixed when the program is built.
func mustRead(name string) string {
	text, err := ddl.ReadFile("ddl/" + name)
	if err != nil {
		panic(err)
	}
	return string(text)
}
