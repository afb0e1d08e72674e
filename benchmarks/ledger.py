"""
Reconciles a million ids against a real Postgres: how long it takes, and how much memory.

    python benchmarks/ledger.py [ids]

One loss and one duplicate are planted, and must be found with the right ids. The bar: 10 s, 1 GB.
"""

import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psycopg

from perfchaos import processes
from perfchaos.ledger import Fates, Held, reconcile, report
from perfchaos.ledger.database import held_by_database
from perfchaos.recording.ids import id_of
from perfchaos.stack.ports import HOST, read_ports
from perfchaos.stack.postgres_server import DATABASE, USER, postgres_home, postgres_server
from perfchaos.target import BlastRadius, Postgres, Target
from perfchaos.workload.plan import RequestTemplate

SEED = 11
VARIABLE, PASSWORD = "LEDGER_PASSWORD", "for-the-benchmark-only"


def main() -> None:
    """Print the figures."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    os.environ[VARIABLE] = PASSWORD
    with tempfile.TemporaryDirectory() as folder:
        port = read_ports(os.environ).postgres
        server = postgres_server(Path(folder), port=port, password=PASSWORD)
        (Path(folder) / "logs").mkdir()
        server.prepare()
        processes.start(server.launch, Path(folder) / "postgres.pid")
        try:
            while server.problem():
                time.sleep(0.05)
            _fill(port, count)
            _reconcile(_target(port), count)
        finally:
            processes.kill(Path(folder) / "postgres.pid")
            shutil.rmtree(postgres_home(Path(folder)), ignore_errors=True)


def _fill(port: int, count: int) -> None:
    with psycopg.connect(
        host=HOST, port=port, dbname=DATABASE, user=USER, password=PASSWORD, autocommit=True
    ) as connection:
        connection.execute("CREATE TABLE effects (id uuid NOT NULL)")
        with connection.cursor() as cursor, cursor.copy("COPY effects FROM STDIN") as copy:
            for number in range(count):
                if number != count // 3:
                    copy.write_row((id_of(SEED, number),))
            copy.write_row((id_of(SEED, count // 2),))
        connection.execute("CREATE INDEX ON effects (id)")
        connection.execute("ANALYZE effects")


def _reconcile(target: Target, count: int) -> None:
    none = np.empty(0, dtype=np.int64)
    fates = Fates(acked=np.arange(count, dtype=np.int64), refused=none, indeterminate=none)
    began_s, cpu_s = time.monotonic(), time.process_time()
    held: Held = held_by_database(target, SEED)
    told = report(reconcile(fates, held, none), SEED)
    took_s, cpu_s = time.monotonic() - began_s, time.process_time() - cpu_s
    assert told.lost_ids == (id_of(SEED, count // 3),), told
    assert told.duplicated_ids == (id_of(SEED, count // 2),), told
    memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count:,} ids reconciled in {took_s:.2f} s ({cpu_s:.2f} s of CPU), {memory_mb:.0f} MB")


def _target(port: int) -> Target:
    return Target(
        path=Path("target.yaml"),
        name="benchmark",
        webhook=RequestTemplate(
            method="POST",
            url="http://127.0.0.1:1/",
            headers=(),
            body="{uuid}",
            signing=None,
            acknowledged=(202,),
            refused=None,
            timeout_s=1,
        ),
        health_url=None,
        redis=None,
        postgres=Postgres(
            host=HOST,
            port=port,
            database=DATABASE,
            user=USER,
            password_env=VARIABLE,
            sslmode="prefer",
            proxy=None,
            control=None,
        ),
        toxiproxy=None,
        ledger_query="SELECT id, count(*) FROM effects"
        " WHERE id >= %(first)s AND id <= %(last)s GROUP BY id",
        blast_radius=BlastRadius(
            proxies=frozenset(),
            services=frozenset(),
            containers=(),
            addresses=(HOST,),
            longest_fault_s=1,
        ),
    )


if __name__ == "__main__":
    main()
