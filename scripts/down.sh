#!/usr/bin/env bash
# Stops the cluster that scripts/up.sh started.
set -euo pipefail
cd "$(dirname "$0")/.."
dir=${TRUNKLINE_DIR:-.trunkline}
if [ -z "${TRUNKLINE_DIR:-}" ] && [ ! -e "$dir" ] && [ -e /var/lib/trunkline/trunkline.json ]; then
  dir=/var/lib/trunkline
fi
exec bin/trunkline down --dir "$dir"
