#!/usr/bin/env bash
# Names git-sync's image by the digest $1 wherever it is named: the sidecar, the pod templates, and
# what makes them. A tag may be another image tomorrow. Where to take the digest from:
#   docker buildx imagetools inspect registry.k8s.io/git-sync/git-sync:v4.7.1 --format '{{.Manifest.Digest}}'
set -euo pipefail
cd "$(dirname "$0")/../.."

digest=${1:?the digest, as sha256:…}
if [[ ! $digest =~ ^sha256:[0-9a-f]{64}$ ]]; then
  echo "$digest is no digest: sha256: and 64 of 0-9a-f." >&2
  exit 1
fi
sed -i -E "s|(image: registry.k8s.io/git-sync/git-sync:v[0-9.]+)(@sha256:[0-9a-f]{64})?$|\\1@$digest|" \
  deploy/components/git-sync/sidecar.yaml pod_templates/*.yaml src/onchain_agg/routing/pod_templates.py
