"""The processes: how they start, leave, and die."""

import signal
import subprocess
import sys
from functools import partial

import pytest

from tests.reference.conftest import Marketplace, end, until


def test_a_killed_service_loses_nothing_it_acknowledged(marketplace: Marketplace) -> None:
    with marketplace.service() as service:
        acknowledged = [service.webhook()[0] for _ in range(50)]
        service.process.send_signal(signal.SIGKILL)
        service.process.wait()
    with marketplace.worker():
        until(lambda: len(marketplace.effects(acknowledged)) == 50)
    assert set(marketplace.effects(acknowledged).values()) == {1}


def test_a_killed_worker_leaves_nothing_undone_and_nothing_done_twice(
    marketplace: Marketplace,
) -> None:
    with marketplace.service() as service:
        acknowledged: list[str] = []
        for done in range(0, 100, 20):
            with marketplace.worker() as worker:
                acknowledged += [service.webhook()[0] for _ in range(20)]
                until(partial(_more_than, done, marketplace, acknowledged))
                worker.send_signal(signal.SIGKILL)
                worker.wait()
        with marketplace.worker():
            until(lambda: len(marketplace.effects(acknowledged)) == 100)
            until(lambda: marketplace.backlog() == 0)
    assert set(marketplace.effects(acknowledged).values()) == {1}


def _more_than(count: int, marketplace: Marketplace, message_ids: list[str]) -> bool:
    return len(marketplace.effects(message_ids)) > count


def test_two_workers_share_the_work_and_do_it_once(marketplace: Marketplace) -> None:
    with (
        marketplace.service() as service,
        marketplace.worker(WORKER_NAME="one"),
        marketplace.worker(WORKER_NAME="two"),
    ):
        acknowledged = [service.webhook()[0] for _ in range(100)]
        until(lambda: len(marketplace.effects(acknowledged)) == 100)
    assert set(marketplace.effects(acknowledged).values()) == {1}


def test_processes_leave_when_they_are_asked_to(marketplace: Marketplace) -> None:
    with marketplace.service() as service, marketplace.worker() as worker:
        until(lambda: marketplace.effects([service.webhook()[0]]))
        assert end(service.process) == 0
        assert end(worker) == 0


def test_processes_leave_even_a_silent_postgres(marketplace: Marketplace) -> None:
    with marketplace.service() as service, marketplace.worker() as worker:
        until(lambda: marketplace.effects([service.webhook()[0]]))
        with marketplace.silent("postgres", "downstream"):
            assert service.webhook()[1] == 500
            assert end(service.process) == 0
            assert end(worker) == 0


def test_a_service_starts_without_its_dependencies_and_says_so(marketplace: Marketplace) -> None:
    with marketplace.refusing("redis"), marketplace.refusing("postgres"):
        with marketplace.service(ready=False) as service, marketplace.worker():
            answer = service.http.get("/health")
            assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
            assert service.webhook()[1] == 503
    assert "Traceback" not in service.log.read_text()


def test_a_service_that_started_first_serves_when_its_dependencies_come(
    marketplace: Marketplace,
) -> None:
    with marketplace.refusing("redis"), marketplace.refusing("postgres"):
        service_starting = marketplace.service(ready=False)
        worker_starting = marketplace.worker()
        service, worker = service_starting.__enter__(), worker_starting.__enter__()
    try:
        until(lambda: service.http.get("/health").status_code == 200)
        message_id, status = service.webhook()
        assert status == 202
        until(lambda: marketplace.effects([message_id]) == {message_id: 1})
    finally:
        worker_starting.__exit__(None, None, None)
        service_starting.__exit__(None, None, None)
    assert worker.returncode is not None


@pytest.mark.parametrize("module", ["service", "worker", "schema"])
def test_a_wrong_environment_is_one_line_and_no_traceback(
    marketplace: Marketplace, module: str
) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", f"perfchaos.reference.{module}"],
        env=marketplace.environment(CACHE_STRATEGY="disk"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")
    assert ended.stderr.count("\n") == 1


def test_the_schema_says_when_there_is_no_postgres(marketplace: Marketplace) -> None:
    with marketplace.refusing("postgres"):
        ended = subprocess.run(
            [sys.executable, "-m", "perfchaos.reference.schema"],
            env=marketplace.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    assert ended.returncode == 1
    assert "start Postgres" in ended.stderr
    assert marketplace.secrets["POSTGRES_PASSWORD"] not in ended.stderr
