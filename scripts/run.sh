#!/bin/sh
# One experiment against the reference system, with the experiment's exit code.
# A stack that is up already is used and left up; else it is brought up for this and taken down.
set -u
cd "$(dirname "$0")/.."
PATH=$PWD/.venv/bin:$PATH

# A signal reaches the command at work as well, which cleans up by itself; then we take down.
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

if perfchaos status --quiet; then
    echo "using the reference system that is up"
else
    trap 'perfchaos down' EXIT
    perfchaos up || exit
fi
chaos --no-version-check --no-log-file run "${1:-experiments/redis-timeout.yaml}"
