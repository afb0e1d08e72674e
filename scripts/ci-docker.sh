#!/bin/bash
# The container part of continuous integration: the faults of containers, and the experiments on
# the stack in containers, on a real engine. Fails where there is none; see with-docker.sh.
set -euo pipefail
cd "$(dirname "$0")/.."
export CI=true

names=$(mktemp)
trap 'rm -f "$names"' EXIT
trap 'kill $!; wait; exit 143' INT TERM
scripts/docker-images.sh >"$names" & # In the background, so that a signal is heard at once.
wait $!
mapfile -t images <"$names"
rm -f "$names"
exec env "${images[@]}" .venv/bin/python -m pytest tests/docker "$@"
