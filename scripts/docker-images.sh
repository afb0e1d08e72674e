#!/bin/bash
# Prints the variables that name the images of compose.yaml, one a line: none where the official
# ones are here or can be pulled. Elsewhere it makes images from distribution packages, once.
#
#   env $(scripts/docker-images.sh) perfchaos up --docker
#
# Making them takes root, debootstrap and a Debian mirror: the one that this machine's own apt uses,
# or PERFCHAOS_DEBIAN_MIRROR. PERFCHAOS_LOCAL_IMAGES=1 makes them even where others could be pulled.
set -euo pipefail
cd "$(dirname "$0")/.."

suite=trixie # the first with Python 3.12 or later
packages=redis-server,postgresql,python3,python3-venv,ca-certificates,iproute2
prefix=perfchaos-local
worker=''
cache=${PERFCHAOS_CACHE_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/perfchaos}/docker

say() { echo "docker-images: $*" >&2; }
fail() { say "$*"; exit 1; }
have() { docker image inspect "$@" >/dev/null 2>&1; }

# In the background, so that a signal is heard while it works. What works here does not outlive us.
work() {
    local status=0
    setpriv --pdeathsig KILL "$@" &
    worker=$!
    wait "$worker" || status=$?
    worker=''
    return "$status"
}

clean() {
    if [ -n "$worker" ]; then
        kill -KILL "$worker" || true
        wait "$worker" || true
    fi
    rm -rf --one-file-system "$scratch"
}

name_local() {
    for name in postgres redis toxiproxy python; do
        echo "PERFCHAOS_${name^^}_IMAGE=$prefix/$name"
    done
}

official() {
    [ "${PERFCHAOS_LOCAL_IMAGES:-}" != 1 ] || return 1
    have $prefix/postgres $prefix/redis $prefix/toxiproxy $prefix/python && return 1
    have "$1" || timeout 60 docker pull --quiet "$1" >/dev/null 2>&1
}

# The mirror of this machine's own apt, as it is written there.
mirror() {
    if [ -n "${PERFCHAOS_DEBIAN_MIRROR:-}" ]; then echo "$PERFCHAOS_DEBIAN_MIRROR"; return; fi
    apt-get indextargets --format '$(REPO_URI)' \
        'Created-By: Packages' 'Component: main' 'Label: Debian' 2>/dev/null | sed -n 1p
}

# A root file system with all that the images need. What this machine trusts, they trust as well.
make_rootfs() {
    local place=$1 from
    command -v debootstrap >/dev/null || fail "no image can be pulled, and there is no debootstrap" \
        "to make them with: install it, or give Docker a registry"
    [ "$(id -u)" = 0 ] || fail "no image can be pulled, and making them takes root"
    from=$(mirror)
    [ -n "$from" ] || fail "apt names no Debian mirror: set PERFCHAOS_DEBIAN_MIRROR"
    say "making a root file system from packages of $suite, once"
    # What is half made is thrown away anyway, so nothing has to be synced to the disk.
    mkdir -p "$place/etc/dpkg/dpkg.cfg.d"
    echo force-unsafe-io >"$place/etc/dpkg/dpkg.cfg.d/unsafe-io"
    # In namespaces of its own: what it mounts and runs goes when it does.
    work unshare --mount --pid --fork --kill-child debootstrap --variant=minbase \
        --include=$packages $suite "$place" "$from" >"$place.log" 2>&1 ||
        fail "debootstrap failed: $(tail -n 3 "$place.log" | tr '\n' ' ')"
    rm "$place/etc/dpkg/dpkg.cfg.d/unsafe-io"
    cp /etc/ssl/certs/ca-certificates.crt "$place/etc/ssl/certs/"
}

# Package archives, manuals, and the compiler of Postgres's JIT: a third of it all.
left_out=(
    --exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*'
    --exclude='./usr/share/doc' --exclude='./usr/share/man' --exclude='./usr/share/locale'
    --exclude='./usr/lib/*/libLLVM*' --exclude='./usr/lib/*/libz3*'
    --exclude='./usr/lib/postgresql/*/lib/llvmjit.so'
    --exclude='./usr/lib/postgresql/*/lib/bitcode'
)

make_images() {
    mkdir -p "$cache"
    exec 9>"$cache/lock"
    flock 9
    local rootfs=$cache/rootfs-$suite.tar
    rm -rf --one-file-system "$cache"/making-* # of one that was killed
    scratch=$(mktemp -d "$cache/making-XXXXXX")
    trap clean EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    trap 'exit 129' HUP
    if [ ! -f "$rootfs" ]; then
        make_rootfs "$scratch/root"
        work tar --directory "$scratch/root" --create --file "$scratch/rootfs.tar" "${left_out[@]}" .
        mv "$scratch/rootfs.tar" "$rootfs"
    fi
    have $prefix/python || work docker import --change 'CMD ["python3"]' --message "$suite" \
        "$rootfs" $prefix/python >/dev/null
    mkdir "$scratch/context"
    cp scripts/images/postgres-entrypoint.sh "$scratch/context/"
    cp "$(.venv/bin/python -c 'from perfchaos.stack.toxiproxy_program import find_toxiproxy
import sys; print(find_toxiproxy(lambda what: print(what, file=sys.stderr)))')" \
        "$scratch/context/toxiproxy"
    for name in postgres redis toxiproxy; do
        have $prefix/$name || work docker build --quiet --target $name --tag $prefix/$name \
            --build-arg BASE=$prefix/python --file scripts/images/Dockerfile "$scratch/context" \
            >"$scratch/build.log" 2>&1 ||
            fail "$prefix/$name was not built: $(tail -n 3 "$scratch/build.log" | tr '\n' ' ')"
    done
}

docker info >/dev/null 2>&1 || fail "there is no container engine (docker info)"
official redis:8 && exit
have $prefix/postgres $prefix/redis $prefix/toxiproxy $prefix/python || make_images
name_local
