#!/bin/bash
# As the official image begins: the first time it makes a cluster with POSTGRES_USER, its password
# and POSTGRES_DB; every time it then becomes the command it is given.
set -euo pipefail

if [ ! -d "$PGDATA" ]; then
    unfinished=$PGDATA.unfinished # what was interrupted is begun again
    rm -rf "$unfinished"
    initdb --username="$POSTGRES_USER" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") \
        --auth=scram-sha-256 --encoding=UTF8 --no-locale --no-instructions "$unfinished" >/dev/null
    echo 'host all all all scram-sha-256' >>"$unfinished/pg_hba.conf"
    echo "CREATE DATABASE \"$POSTGRES_DB\"" |
        postgres --single -D "$unfinished" postgres >/dev/null
    mv "$unfinished" "$PGDATA"
fi
unset POSTGRES_PASSWORD
exec "$@" -c listen_addresses='*' -c unix_socket_directories=/tmp
