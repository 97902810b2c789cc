#!/usr/bin/env bash
# Runs every fuzz target of the project for the given time each.
set -euo pipefail
cd "$(dirname "$0")/.."
time=${1:-30s}
grep -rlE '^func Fuzz[A-Z]' --include='*_test.go' cmd internal | xargs -r -n1 dirname | sort -u | while read -r dir; do
  grep -rhoE '^func Fuzz[A-Za-z0-9_]*' --include='*_test.go' "$dir"/*_test.go | sed 's/^func //' | sort -u | while read -r target; do
    echo "== $dir $target"
    go test "./$dir" -run '^$' -fuzz "^$target\$" -fuzztime "$time" </dev/null
  done
done
echo "== faults"
TRUNKLINE_FAULT_KILLS=${TRUNKLINE_FAULT_KILLS:-60} TRUNKLINE_FAULT_SEED=${TRUNKLINE_FAULT_SEED:-$RANDOM} go test ./internal/faulttest -run 'TestBank|TestWorks' -count=1 -v -timeout 30m
