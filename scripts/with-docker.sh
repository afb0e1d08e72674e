#!/bin/bash
# Runs a command with a container engine: the one that is here, else one of its own, which it
# installs from the distribution if need be (as root), and ends when the command has ended.
#
#   scripts/with-docker.sh make test TESTS=tests/docker
set -euo pipefail

say() { echo "with-docker: $*" >&2; }
fail() { say "$*"; exit 1; }

if docker info >/dev/null 2>&1; then exec "$@"; fi
[ "$(id -u)" = 0 ] || fail "there is no container engine (docker info), and installing one takes root"

missing=()
command -v dockerd >/dev/null || missing+=(docker.io)
command -v iptables >/dev/null || missing+=(iptables)
docker compose version >/dev/null 2>&1 || command -v docker-compose >/dev/null ||
    missing+=(docker-compose)
command -v debootstrap >/dev/null || missing+=(debootstrap)
if [ ${#missing[@]} != 0 ]; then
    command -v apt-get >/dev/null || fail "there is no container engine, and no apt-get to get one"
    say "installing ${missing[*]}"
    { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes \
        --no-install-recommends "${missing[@]}"; } >/dev/null
    # The package may have started its own; then that is the one.
    if docker info >/dev/null 2>&1; then exec "$@"; fi
fi

# Its images stay in the cache for the next time. Its socket's path has to be short.
cache=${PERFCHAOS_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/perfchaos}/docker
place=$(mktemp -d /tmp/perfchaos-docker-XXXXXX)
mkdir -p "$cache"
exec 8>"$cache/engine.lock"
flock --nonblock 8 || fail "another engine of ours is running on $cache/engine"
export DOCKER_HOST=unix://$place/docker.sock
# Shared descriptors stay with this shell: the lock ends with it.
setsid dockerd --data-root "$cache/engine" --exec-root "$place/run" --pidfile "$place/pid" \
    --host "$DOCKER_HOST" >"$cache/engine.log" 2>&1 8>&- &
engine=$!
end() {
    kill "$engine" 2>/dev/null && wait "$engine" || true
    rm -rf "$place"
}
trap end EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

for _ in $(seq 300); do
    docker info >/dev/null 2>&1 && break
    kill -0 "$engine" 2>/dev/null || fail "the engine ended: $(tail -n 2 "$cache/engine.log")"
    sleep 0.1
done
docker info >/dev/null 2>&1 || fail "the engine does not answer: read $cache/engine.log"
"$@"
