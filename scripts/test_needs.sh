#!/usr/bin/env bash
# Installs what tests need beside Python: the npm packages of tests/nodes into the folder $1, and
# Debian's litecoind and prometheus (for promtool). What cannot be installed is named; the tests
# that need it skip with a reason.
set -euo pipefail

node_dir=$1
here=$(cd "$(dirname "$0")/.." && pwd)
# A machine without a network must not wait for one.
limit() { timeout --kill-after=10 "$@"; }

missing() { echo "MISSING: $1. Tests that need it are skipped." >&2; }

# Fails without the rights, without apt-get or without a network.
install_debian() {
  [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null || return 1
  echo "Installing $1 …"
  export DEBIAN_FRONTEND=noninteractive
  { limit 120 apt-get update -qq && limit 180 apt-get install -qq -y "$1"; } >/dev/null
}

install_node_packages() {
  [[ -f $node_dir/.ready ]] && return
  if ! command -v npm >/dev/null && ! install_debian npm; then
    missing "npm (Node.js), for anvil and the Solidity compiler (install it with: apt-get install npm)"
    return
  fi
  mkdir -p "$node_dir"
  cp "$here"/tests/nodes/package.json "$here"/tests/nodes/package-lock.json "$node_dir"/
  [[ ! -f $here/tests/nodes/.npmrc ]] || cp "$here"/tests/nodes/.npmrc "$node_dir"/
  echo "Installing the Node packages of tests/nodes …"
  if limit 180 npm ci --prefix "$node_dir" --no-audit --no-fund --loglevel=error \
    --fetch-retries=1 --fetch-timeout=30000; then
    touch "$node_dir/.ready"
  else
    missing "the Node packages of tests/nodes (npm ci failed)"
  fi
}

install_litecoind() {
  command -v litecoind >/dev/null || install_debian litecoind ||
    missing "litecoind (install it with: apt-get install litecoind)"
}

install_promtool() {
  command -v promtool >/dev/null || install_debian prometheus ||
    missing "promtool (install it with: apt-get install prometheus)"
}

if [[ -f ${ONCHAIN_AGG_NODE_MODULES:-/nowhere}/.package-lock.json &&
  ${ONCHAIN_AGG_NODE_MODULES} != "$node_dir/node_modules" ]]; then
  echo "Using the Node packages in $ONCHAIN_AGG_NODE_MODULES."
else
  install_node_packages
fi
install_litecoind
install_promtool
