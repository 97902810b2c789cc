#!/usr/bin/env bash
# Makes sure that this machine has a PostgreSQL server (15 or newer, with the
# contrib modules and psql): if none is found, installs one with the system's
# package manager. Prints what it does on standard error.
set -euo pipefail

minimum=15

# found prints the directory of the newest server programs, if they will do.
found() {
  local candidates=() dir version best=0 best_dir=""
  if [ -n "${TRUNKLINE_PG_BIN:-}" ]; then
    candidates+=("$TRUNKLINE_PG_BIN")
  else
    if command -v postgres >/dev/null; then
      candidates+=("$(dirname "$(readlink -f "$(command -v postgres)")")")
    fi
    candidates+=(/usr/lib/postgresql/*/bin /usr/pgsql-*/bin /usr/libexec/postgresql* /usr/local/pgsql/bin
      /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin /home/linuxbrew/.linuxbrew/opt/postgresql*/bin
      /Applications/Postgres.app/Contents/Versions/*/bin)
  fi
  for dir in "${candidates[@]}"; do
    [ -x "$dir/postgres" ] && [ -x "$dir/initdb" ] || continue
    version=$("$dir/postgres" --version | sed -n 's/.*(PostgreSQL) \([0-9]*\).*/\1/p')
    if [ "${version:-0}" -gt "$best" ]; then
      best=$version best_dir=$dir
    fi
  done
  [ "$best" -ge "$minimum" ] && echo "$best_dir"
}

say() { echo "install-postgres: $*" >&2; }

if dir=$(found); then
  say "using PostgreSQL in $dir"
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  as_root=(sudo)
fi
# On Debian the package would make and start a server of its own: it is not
# needed, and could be in the way.
no_own_server() {
  if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    "${as_root[@]}" mkdir -p /etc/postgresql-common
    echo 'create_main_cluster = false' | "${as_root[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
  fi
}

if command -v apt-get >/dev/null; then
  say "installing PostgreSQL with apt-get"
  no_own_server
  "${as_root[@]}" apt-get update -qq >&2
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
    postgresql postgresql-contrib postgresql-client </dev/null >&2
elif command -v dnf >/dev/null; then
  say "installing PostgreSQL with dnf"
  # Releases whose default is older offer newer ones as modules or packages.
  "${as_root[@]}" dnf module enable -y postgresql:16 >&2 || "${as_root[@]}" dnf module enable -y postgresql:15 >&2 || true
  "${as_root[@]}" dnf install -y postgresql-server postgresql-contrib postgresql >&2
elif command -v apk >/dev/null; then
  say "installing PostgreSQL with apk"
  newest=$(apk search -q 'postgresql1[5-9]' 2>/dev/null | grep -x 'postgresql[0-9]*' | sort -V | tail -n 1)
  "${as_root[@]}" apk add "${newest:-postgresql}" "${newest:-postgresql}-contrib" "${newest:-postgresql}-client" >&2
elif command -v brew >/dev/null; then
  say "installing PostgreSQL with brew"
  brew install postgresql@17 >&2
else
  say "no package manager known here: install PostgreSQL $minimum or newer (server, contrib, psql) by hand"
  exit 1
fi

if dir=$(found); then
  say "installed PostgreSQL in $dir"
else
  say "the system's PostgreSQL is older than $minimum: install a newer one (https://www.postgresql.org/download/) and run this again"
  exit 1
fi
