#!/usr/bin/env bash
# Deletes files of deploy/argocd/developers whose day `until` is before $1, a day as 2026-12-18, and
# those without one: an environment that nobody ends would cost for good.
set -euo pipefail

today=${1:?the day, as 2026-12-18}
folder=${2:-$(dirname "$0")/developers}

for file in "$folder"/*.yaml; do
  [[ -e $file ]] || continue
  until=$(sed -nE "s/^until: *[\"']?([0-9]{4}-[0-9]{2}-[0-9]{2})[\"']? *(#.*)?$/\1/p" "$file")
  if [[ -z $until || $until < $today ]]; then
    echo "Deleting $(basename "$file"): its last day was ${until:-not told}."
    rm -- "$file"
  fi
done
