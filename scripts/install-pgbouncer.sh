#!/usr/bin/env bash
# Makes sure that PgBouncer and pgbench are here, which the benchmarks compare
# with. PgBouncer is installed with the system's package manager where that is
# possible without asking; without it the benchmarks leave its column empty.
# Prints what it does on standard error.
set -euo pipefail

say() { echo "install-pgbouncer: $*" >&2; }

if command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ]; then
  exit 0
fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
  as_root=(sudo -n)
  if ! sudo -n true 2>/dev/null; then
    say "PgBouncer is missing and installing it needs root: going on without it"
    exit 0
  fi
fi

# On Debian the package would start a PgBouncer of its own: policy-rc.d is how
# an administrator says no to that.
policy=/usr/sbin/policy-rc.d
own_policy=
if command -v apt-get >/dev/null; then
  say "installing PgBouncer with apt-get"
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod 755 "$policy"
    own_policy=1
  fi
  "${as_root[@]}" apt-get update -qq >&2 || true
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends pgbouncer </dev/null >&2 ||
    say "that failed: going on without PgBouncer"
  if [ -n "$own_policy" ]; then
    "${as_root[@]}" rm -f "$policy"
  fi
elif command -v dnf >/dev/null; then
  say "installing PgBouncer with dnf"
  "${as_root[@]}" dnf install -y pgbouncer >&2 || say "that failed: going on without PgBouncer"
elif command -v apk >/dev/null; then
  say "installing PgBouncer with apk"
  "${as_root[@]}" apk add pgbouncer >&2 || say "that failed: going on without PgBouncer"
elif command -v brew >/dev/null; then
  say "installing PgBouncer with brew"
  brew install pgbouncer >&2 || say "that failed: going on without PgBouncer"
else
  say "no package manager known here: going on without PgBouncer"
fi
