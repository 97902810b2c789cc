#!/usr/bin/env bash
# What `make up` does once Trunkline is built: starts a cluster in the
# background, loads the demo, and says how to connect. Running it again goes on
# with what is there.
set -euo pipefail
cd "$(dirname "$0")/.."

trunkline=bin/trunkline
dir=${TRUNKLINE_DIR:-.trunkline}

# PostgreSQL refuses to run as root, so for root the servers run as the user
# postgres, who may not be able to get into a clone below root's home.
if [ "$(id -u)" -eq 0 ] && [ -z "${TRUNKLINE_DIR:-}" ]; then
  path=$PWD
  while [ "$path" != / ]; do
    case $(stat -c %a "$path" 2>/dev/null || stat -f %Lp "$path") in
      *[1357]) ;;
      *) dir=/var/lib/trunkline; break ;;
    esac
    path=$(dirname "$path")
  done
fi

if "$trunkline" status --dir "$dir" >/dev/null 2>&1; then
  echo "Trunkline is already up in $dir."
else
  "$trunkline" up --dir "$dir" --detach
fi
"$trunkline" demo --dir "$dir" ${DEMO_SCALE:+--scale "$DEMO_SCALE"}
"$trunkline" status --dir "$dir"
port=$(sed -n 's/.*"port": *\([0-9]*\).*/\1/p' "$dir/lock")
cat <<END

Connect:  psql postgresql://postgres@127.0.0.1:$port/postgres
Try:      SELECT * FROM citus_tables;
Again:    $trunkline demo --dir $dir
Stop:     $trunkline down --dir $dir    (or: make down)
END
