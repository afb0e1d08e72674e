#!/bin/sh
# Pins what setup.sh installs: versions and hashes, and no word of where they come from.
# Arguments go to uv: --upgrade takes the newest versions, --upgrade-package redis the newest redis.
set -eu
cd "$(dirname "$0")/.."

uv=$(command -v uv || true)
if [ -z "$uv" ]; then
    uv=.setup/uv/bin/uv
    [ -x "$uv" ] || .venv/bin/python -m pip install --quiet --target .setup/uv uv
fi

compile() {
    output=$1
    shift
    "$uv" pip compile --quiet --universal --python-version 3.12 --generate-hashes \
        --no-header --no-annotate --no-emit-index-url --no-emit-find-links \
        "$@" --output-file "requirements/$output"
}

compile dev.txt "$@" pyproject.toml --group dev
compile embedded.txt "$@" --group embedded --constraint requirements/dev.txt
compile go.txt "$@" --group go
compile service.txt "$@" --group service --constraint requirements/dev.txt
