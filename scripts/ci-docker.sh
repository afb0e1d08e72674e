#!/bin/bash
# The container part of continuous integration: the faults of containers, and the experiments on
# the stack in containers, on a real engine. Fails where there is none; see with-docker.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
export CI=true

images=$(scripts/docker-images.sh)
# shellcheck disable=SC2086 - NAME=value, one a line
exec env $images .venv/bin/python -m pytest tests/docker
