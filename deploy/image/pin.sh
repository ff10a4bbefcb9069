#!/usr/bin/env bash
# Writes deploy/image/requirements.txt: every package of the image with its version and hashes.
set -euo pipefail
cd "$(dirname "$0")/../.."

"${UV:-.venv/bin/uv}" pip compile --quiet --no-header --no-annotate --generate-hashes \
  --no-emit-index-url --no-emit-find-links --python-version 3.11 --python-platform x86_64-manylinux_2_28 \
  --constraint constraints.txt pyproject.toml deploy/image/requirements.in \
  --output-file deploy/image/requirements.txt
