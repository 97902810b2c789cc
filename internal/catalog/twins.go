package catalog

import (
	"fmt"
	"strings"
	"sync"

	"github.com/trunkline/trunkline/internal/sql"
)

// gatewayFunction is one overload of a function that the gateway carries out: a line of ddl/gateway_functions.txt.
type gatewayFunction struct {
	Name      string
	AliasOf   string // the function this is another name for, "" if none
	Args      []gatewayArg
	Result    string
	Procedure bool
}

type gatewayArg struct{ Name, Type, Default string }

func (f gatewayFunction) canonical() string {
	switch {
	case f.AliasOf == "":
		return f.Name
	case strings.HasPrefix(f.Name, "master_"):
		return "citus_" + strings.TrimPrefix(f.Name, "master_")
	default: // the same arguments, but a behaviour of its own
		return f.Name
	}
}

// gatewayFunctions gives every overload, aliases resolved, in the file's order.
var gatewayFunctions = sync.OnceValue(func() []gatewayFunction {
	var all []gatewayFunction
	for _, line := range strings.Split(mustRead("gateway_functions.txt"), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if alias, original, ok := strings.Cut(line, " = "); ok && !strings.Contains(alias, "(") {
			for _, f := range all {
				if f.Name == original {
					f.Name, f.AliasOf = alias, original
					all = append(all, f)
				}
			}
			continue
		}
		all = append(all, parseGatewayFunction(line))
	}
	return all
})

func parseGatewayFunction(line string) gatewayFunction {
	signature, result, _ := strings.Cut(line, " -> ")
	signature, procedure := strings.CutPrefix(signature, "procedure ")
	name, args, _ := strings.Cut(signature, "(")
	f := gatewayFunction{Name: name, Result: result, Procedure: procedure}
	args = strings.TrimSuffix(args, ")")
	for _, arg := range strings.Split(args, ", ") {
		if arg == "" {
			continue
		}
		declaration, defaultValue, _ := strings.Cut(arg, " = ")
		argName, argType, _ := strings.Cut(declaration, " ")
		f.Args = append(f.Args, gatewayArg{Name: argName, Type: argType, Default: defaultValue})
	}
	return f
}

func (f gatewayFunction) argList() string {
	parts := make([]string, len(f.Args))
	for i, a := range f.Args {
		parts[i] = sql.QuoteIdentifier(a.Name) + " " + a.Type
		if a.Default != "" {
			parts[i] += " DEFAULT " + a.Default
		}
	}
	return strings.Join(parts, ", ")
}

// declaration is the function as clients see it. Only a client that has bypassed the gateway ever runs its body.
func (f gatewayFunction) declaration() string {
	kind, returns := "FUNCTION", " RETURNS "+f.Result
	if f.Procedure {
		kind, returns = "PROCEDURE", ""
	}
	return fmt.Sprintf(`CREATE OR REPLACE %s trunkline.%s(%s)%s LANGUAGE plpgsql AS $body$
#variable_conflict use_column
BEGIN
  RAISE EXCEPTION '%% is carried out by the Trunkline gateway', %s USING ERRCODE = 'feature_not_supported',
    HINT = 'Connect through the gateway and call it at the top level of a statement.';
END $body$;
`, kind, f.Name, f.argList(), returns, sql.QuoteLiteral(f.Name+"()"))
}

// twin is the function that tells the gateway the arguments of a call, as PostgreSQL has resolved them.
func (f gatewayFunction) twin() string {
	pairs := make([]string, len(f.Args))
	for i, a := range f.Args {
		value := fmt.Sprintf("$%d", i+1)
		switch {
		case strings.HasPrefix(a.Type, "reg"):
			value += "::oid::bigint"
		case a.Type == "anyelement":
			value += "::text"
		}
		pairs[i] = sql.QuoteLiteral(a.Name) + ", " + value
	}
	return fmt.Sprintf("CREATE OR REPLACE FUNCTION trunkline_call.%s(%s) RETURNS jsonb LANGUAGE sql STABLE AS $body$ SELECT pg_catalog.jsonb_build_object(%s) $body$;\n",
		f.Name, f.argList(), strings.Join(pairs, ", "))
}

// twinsSQL declares all of them.
func twinsSQL() string {
	var b strings.Builder
	for _, f := range gatewayFunctions() {
		b.WriteString(f.declaration())
		b.WriteString(f.twin())
	}
	return b.String()
}
