#!/bin/bash
# Runs a command with a container engine: the one that is here, else one of its own, which it
# installs from the distribution if need be (as root), and ends when the command has ended.
#
#   scripts/with-docker.sh make test TESTS=tests/docker
#
# The packages stay, and so do the images, in the cache, and the engine's bridge and firewall chains.
set -euo pipefail

say() { echo "with-docker: $*" >&2; }
fail() { say "$*"; exit 1; }
answers() { docker info >/dev/null 2>&1; }
has_compose() { docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null; }
apt_get() { DEBIAN_FRONTEND=noninteractive apt-get -qq -o Acquire::Retries=3 "$@" >/dev/null; }

install_missing() {
    local missing=()
    command -v dockerd >/dev/null || missing+=(docker.io)
    command -v iptables >/dev/null || missing+=(iptables)
    command -v debootstrap >/dev/null || missing+=(debootstrap) # for docker-images.sh
    has_compose || missing+=(docker-compose)
    if [ ${#missing[@]} = 0 ]; then return; fi
    command -v apt-get >/dev/null || fail "there is no container engine, and no apt-get to get one"
    say "installing ${missing[*]}"
    apt_get update || fail "apt-get update failed: see what it says above"
    # Newer releases have the command in a package of its own.
    if ! command -v docker >/dev/null && apt-cache show docker-cli >/dev/null 2>&1; then
        missing+=(docker-cli)
    fi
    apt_get install --yes --no-install-recommends "${missing[@]}" ||
        fail "${missing[*]} could not be installed: see what apt-get says above"
}

# Whose engine lives in the cache; one that was killed takes a moment to end.
leftover() {
    local pid
    pid=$(cat "$cache/engine.pid" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = dockerd ]
}

take_cache() {
    mkdir -p "$cache"
    exec 8>"$cache/engine.lock"
    flock --nonblock 8 || {
        say "another engine of ours is running on $cache/engine: waiting for its end"
        flock --timeout 300 8 || fail "it is still running: end its with-docker.sh first"
    }
    for _ in $(seq 300); do
        leftover || break
        sleep 0.1
    done
    leftover && fail "an engine left over does not end: see process $(cat "$cache/engine.pid")"
    rm -f "$cache/engine.pid" # Its number may be another process's by now.
}

start_engine() {
    export DOCKER_HOST=unix://$place/docker.sock
    # In a session of its own, where no Ctrl-C reaches it before its containers have gone. It is
    # told to end even if this script is killed; and it does not hold the lock.
    setsid setpriv --pdeathsig TERM dockerd --data-root "$cache/engine" \
        --exec-root "$place/run" --pidfile "$cache/engine.pid" --host "$DOCKER_HOST" \
        >"$cache/engine.log" 2>&1 8>&- &
    engine=$!
    for _ in $(seq 300); do
        if answers; then return; fi
        kill -0 "$engine" 2>/dev/null || fail "the engine ended: $(tail -n 2 "$cache/engine.log")"
        sleep 0.1
    done
    fail "the engine does not answer: read $cache/engine.log"
}

# The command hears of a signal and cleans up with its engine still there; then that ends.
end() {
    trap '' INT TERM HUP
    for process in $command $engine; do
        kill "$process" 2>/dev/null || true
        wait "$process" 2>/dev/null || true
    done
    rm -rf "$place"
}

if answers; then exec "$@"; fi
[ "$(id -u)" = 0 ] || fail "there is no container engine (docker info), and installing one takes root"
install_missing
if answers; then exec "$@"; fi # The package has started one by itself.

cache=${PERFCHAOS_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/perfchaos}/docker
command='' engine=''
place=$(mktemp -d /tmp/perfchaos-docker-XXXXXX) # A socket's path has to be short.
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP
take_cache
start_engine
"$@" <&0 8>&- & # In the background, so that a signal is heard at once.
command=$!
status=0
wait "$command" || status=$?
command=''
exit "$status"
