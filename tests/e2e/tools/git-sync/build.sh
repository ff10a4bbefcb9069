#!/usr/bin/env bash
# Builds the git-sync of the image in deploy/components/git-sync, for tests/e2e/test_git_sync.py.
#
# `build.sh GO FOLDER` puts it into FOLDER with the Go at GO; it fails where its sources or modules
# cannot be had. `go install` takes no tag of it: its module is k8s.io/git-sync, without the /v4
# that Go wants, and by a commit only where the module proxy knows that commit. So the tag is cloned.
set -euo pipefail

here=$(cd "$(dirname "$0")/../../../.." && pwd)
go=$1 folder=$2
source=${GIT_SYNC_SOURCE:-https://github.com/kubernetes/git-sync}
version=$(sed -n 's|.*/git-sync:\(v[0-9.]*\).*|\1|p' "$here/deploy/components/git-sync/sidecar.yaml")
# Waiting for an answer that never comes, or for a password, would hold up the tests.
limit_s=300
export GIT_TERMINAL_PROMPT=0

if [[ -x $folder/git-sync && $("$folder/git-sync" --version) == "$version" ]]; then
  exit
fi
mkdir -p "$folder"
unfinished=$(mktemp -d "$folder/git-sync.XXXXXX")
trap 'rm -rf "$unfinished"' EXIT
timeout "$limit_s" git clone --quiet --depth 1 --branch "$version" -c advice.detachedHead=false \
  "$source" "$unfinished/source"
# go.sum of that commit pins what it is built from.
(cd "$unfinished/source" && CGO_ENABLED=0 timeout "$limit_s" "$go" build -trimpath \
  -ldflags "-s -w -X k8s.io/git-sync/pkg/version.VERSION=$version" -o "$unfinished/git-sync" .)
[[ $("$unfinished/git-sync" --version) == "$version" ]]
mv "$unfinished/git-sync" "$folder/git-sync"
