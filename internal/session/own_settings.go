package session

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/trunkline/trunkline/internal/exec"
	"github.com/trunkline/trunkline/internal/sql"
	"github.com/trunkline/trunkline/internal/wire"
)

// ownSetting is one of the settings that Citus' users know. To the nodes they are custom settings like any other with a prefix.
type ownSetting struct {
	standard string
	use      settingUse
	refused  string // a value that would change what the user gets and cannot be honoured, "" for none
}

// settingUse says what a setting does here.
type settingUse byte

const (
	noUse    settingUse = iota // accepted, changes nothing
	inUse                      // of any form
	inUseInt                   // a positive whole number
)

var ownSettings = map[string]ownSetting{
	"shard_count":                                {"32", inUseInt, ""},
	"shard_replication_factor":                   {"1", noUse, "2"},
	"enable_schema_based_sharding":               {"off", inUse, ""},
	"use_citus_managed_tables":                   {"off", inUse, ""},
	"enable_local_reference_table_foreign_keys":  {"on", noUse, ""},
	"allow_unsafe_constraints":                   {"off", noUse, "on"},
	"enable_unsafe_triggers":                     {"off", noUse, ""},
	"enable_ddl_propagation":                     {"on", noUse, "off"},
	"create_object_propagation":                  {"immediate", noUse, ""},
	"enable_create_role_propagation":             {"on", noUse, "off"},
	"enable_alter_role_propagation":              {"on", noUse, "off"},
	"enable_single_hash_repartition_joins":       {"off", inUse, ""},
	"enable_repartition_joins":                   {"off", noUse, ""},
	"enable_repartitioned_insert_select":         {"on", noUse, ""},
	"local_table_join_policy":                    {"auto", noUse, ""},
	"coordinator_aggregation_strategy":           {"row-gather", noUse, ""},
	"count_distinct_error_rate":                  {"0", noUse, ""},
	"limit_clause_row_fetch_count":               {"-1", noUse, ""},
	"max_intermediate_result_size":               {"1GB", inUse, ""},
	"enable_non_colocated_router_query_pushdown": {"off", noUse, ""},
	"task_assignment_policy":                     {"greedy", noUse, ""},
	"multi_shard_modify_mode":                    {"parallel", noUse, ""},
	"multi_task_query_log_level":                 {"off", noUse, ""},
	"max_adaptive_executor_pool_size":            {"16", inUseInt, ""},
	"executor_slow_start_interval":               {"10ms", noUse, ""},
	"max_cached_conns_per_worker":                {"1", noUse, ""},
	"max_cached_connection_lifetime":             {"10min", noUse, ""},
	"max_shared_pool_size":                       {"0", noUse, ""},
	"force_max_query_parallelization":            {"off", noUse, ""},
	"enable_local_execution":                     {"on", noUse, ""},
	"enable_binary_protocol":                     {"on", noUse, ""},
	"propagate_set_commands":                     {"none", noUse, ""},
	"use_secondary_nodes":                        {"never", noUse, ""},
	"node_connection_timeout":                    {"30s", noUse, ""},
	"node_conninfo":                              {"", noUse, ""},
	"recover_2pc_interval":                       {"60s", inUse, ""},
	"distributed_deadlock_detection_factor":      {"2", inUse, ""},
	"all_modifications_commutative":              {"off", noUse, ""},
	"max_background_task_executors":              {"4", inUseInt, ""},
	"max_background_task_executors_per_node":     {"1", inUseInt, ""},
	"rebalancer_by_disk_size_base_cost":          {"100MB", inUse, ""},
	"stat_statements_track":                      {"none", noUse, ""},
	"stat_tenants_track":                         {"none", noUse, ""},
	"stat_tenants_limit":                         {"100", noUse, ""},
	"stat_tenants_period":                        {"60", noUse, ""},
	"explain_all_tasks":                          {"off", inUse, ""},
	"enable_change_data_capture":                 {"off", noUse, "on"},
}

// ownName gives the name of a setting of the gateway's own without its prefix, citus or its alias canopy.
func ownName(name string) (string, bool) {
	name = strings.ToLower(name)
	if own, ok := strings.CutPrefix(name, "citus."); ok {
		return own, true
	}
	return strings.CutPrefix(name, "canopy.")
}

// checkOwnSetting makes sure that a value for one of the gateway's own settings can be honoured.
func checkOwnSetting(name, value string) error {
	own, ok := ownName(name)
	known := ownSettings[own]
	if !ok {
		return nil
	}
	if known.use == inUseInt {
		if n, err := strconv.Atoi(value); err != nil || n < 1 || n > 64000 {
			return sql.Errorf("22023", "invalid value for parameter \"%s\": \"%s\"", name, value)
		}
	}
	refused := known.refused != "" && value == known.refused
	switch known.refused {
	case "on":
		refused = isOn(value)
	case "off":
		refused = !isOn(value)
	case "2":
		refused = value != known.standard
	}
	if refused {
		return &sql.Error{
			Code: "0A000", Message: "parameter \"" + name + "\" cannot be set to \"" + value + "\"",
			Detail: "Trunkline does not do what this value asks for.", Hint: "Leave the parameter at \"" + known.standard + "\".",
		}
	}
	return nil
}

// noteNoUse tells a client that wants to know that a setting changes nothing here.
func (s *session) noteNoUse(name string) {
	own, ok := ownName(name)
	if !ok || ownSettings[own].use != noUse {
		return
	}
	if level, _ := s.settings.value("client_min_messages"); strings.HasPrefix(level, "debug") {
		s.client.SendNotice(&sql.Error{Code: "00000", Message: "parameter \"" + name + "\" is accepted and changes nothing"}, wire.SeverityDebug1)
	}
}

// showOwn answers SHOW of one of the gateway's own settings, and of limits that are kept from nodes.
func (s *session) showOwn(e *entry) (value string, ok bool) {
	if e.kind != kindShow {
		return "", false
	}
	name := strings.ToLower(e.stmt.Tree.GetVariableShowStmt().Name)
	if isIdleLimit(name) {
		if value, ok := s.settings.value(name); ok {
			return value, true
		}
		return s.settings.defaultLimits[name], true
	}
	if name == instantSetting {
		value, ok := s.settings.value(name)
		return cmp.Or(value, "statement"), !ok
	}
	own, ok := ownName(name)
	if !ok {
		return "", false
	}
	if value, ok := s.settings.own(own); ok {
		return value, true
	}
	known, ok := ownSettings[own]
	return known.standard, ok
}

// showFields describes the result of SHOW.
func showFields(e *entry) []pgproto3.FieldDescription {
	return []pgproto3.FieldDescription{{Name: []byte(e.stmt.Tree.GetVariableShowStmt().Name), DataTypeOID: 25, DataTypeSize: -1, TypeModifier: -1}}
}

// show sends the value of one of the gateway's own settings.
func (s *session) show(value string, out exec.RowWriter) (string, error) {
	return "SHOW", out.Row(exec.AppendRow(nil, []byte(value)))
}
