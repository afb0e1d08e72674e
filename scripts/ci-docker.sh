#!/bin/bash
# The container part of continuous integration: the faults of containers on a real engine, and the
# experiments on the stack in containers. Fails where there is no engine; see with-docker.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
export CI=true PATH=$PWD/.venv/bin:$PATH

images=$(scripts/docker-images.sh)
while IFS== read -r name image; do
    [ -z "$name" ] || export "$name=$image"
done <<<"$images"

python -m pytest tests/docker

trap 'perfchaos down' EXIT
perfchaos up --docker
for experiment in redis-crash postgres-crash; do
    chaos --no-version-check --no-log-file run "experiments/$experiment.yaml"
done
