"""A target file is read whole, or refused with every mistake in it."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from perfchaos.errors import InvalidInput, PerfchaosError
from perfchaos.target import Handle
from perfchaos.target.loading import find_target, load_target

SOUND: dict[str, Any] = {
    "name": "acme",
    "webhook": {
        "url": "http://127.0.0.1:8080/hook",
        "body": '{"id": "{uuid}"}',
        "signing": {"header": "X-Signature", "secret_env": "ACME_KEY"},
        "acknowledged": [202],
    },
    "redis": {
        "host": "127.0.0.1",
        "port": 6379,
        "proxy": "redis",
        "control": "docker:acme-redis",
        "queue": {"key": "orders", "kind": "stream", "group": "workers"},
    },
    "postgres": {
        "host": "127.0.0.1",
        "port": 5432,
        "database": "acme",
        "user": "acme",
        "password_env": "ACME_PASSWORD",
    },
    "toxiproxy": {"url": "http://127.0.0.1:8474/"},
    "ledger": {
        "query": "SELECT id, count(*) FROM t WHERE id BETWEEN %(first)s AND %(last)s GROUP BY id"
    },
    "blast_radius": {
        "proxies": ["redis"],
        "services": ["redis"],
        "addresses": ["127.0.0.1"],
        "longest_fault_s": 60,
    },
}


@pytest.fixture(autouse=True)
def _secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_KEY", "k")
    monkeypatch.setenv("ACME_PASSWORD", "p")


def written(path: Path, changes: dict[str, Any] | None = None) -> Path:
    """A target file with `changes` by dotted key; None takes a key away."""
    document: dict[str, Any] = yaml.safe_load(yaml.safe_dump(SOUND))
    for key, value in (changes or {}).items():
        *sections, last = key.split(".")
        place = document
        for section in sections:
            place = place[section]
        if value is None:
            del place[last]
        else:
            place[last] = value
    file = path / "target.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def test_a_sound_target_file_is_read(tmp_path: Path) -> None:
    target = load_target(written(tmp_path))
    assert target.name == "acme"
    assert target.webhook.acknowledged == (202,)
    assert target.redis is not None
    assert target.redis.control == Handle(kind="docker", name="acme-redis")
    assert target.toxiproxy is not None
    assert target.toxiproxy.url == "http://127.0.0.1:8474"
    assert target.postgres is not None
    assert target.postgres.password == "p"


@pytest.mark.parametrize(
    ("changes", "mistake"),
    [
        ({"name": None}, "'name' is a required property"),
        ({"webhook.acknowledged": []}, "webhook.acknowledged"),
        ({"webhook.url": "ftp://127.0.0.1/"}, "webhook.url"),
        ({"webhook.acknowledge": [200]}, "'acknowledge' was unexpected"),
        ({"webhook.refused": [202]}, "both acknowledged and refused"),
        ({"redis.port": 70000}, "redis.port"),
        ({"redis.control": "systemd:redis"}, "redis.control"),
        ({"redis.start": ["redis-server"]}, "redis.start: it goes with redis.control process:"),
        ({"postgres.start": "pg_ctl start"}, "postgres.start"),
        ({"redis.data": "/data"}, "redis.data: it goes with redis.control process:"),
        ({"postgres.data": "/data"}, "postgres"),
        ({"redis.queue.kind": "list"}, "a queue of kind list has no consumer group"),
        ({"redis.queue.kind": "rq"}, "a queue of kind rq has no consumer group"),
        ({"redis.queue.unacked": "u"}, "redis.queue.unacked: it goes with redis.queue.kind celery"),
        (
            {"ledger.waiting_query": "SELECT id FROM jobs WHERE id > %(first)s"},
            "ledger.waiting_query: it does not use %(last)s",
        ),
        ({"toxiproxy": None}, "no toxiproxy section"),
        ({"postgres": None}, "no postgres section"),
        ({"ledger.query": "SELECT 1"}, "does not use %(first)s"),
        ({"blast_radius": None}, "'blast_radius' is a required property"),
        ({"blast_radius.longest_fault_s": 0}, "blast_radius.longest_fault_s"),
        ({"blast_radius.services": ["kafka"]}, "blast_radius.services"),
        ({"postgres.password_env": "NOBODY_SET_THIS"}, "NOBODY_SET_THIS is not set"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, changes: dict[str, Any], mistake: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        load_target(written(tmp_path, changes))
    assert mistake in str(caught.value)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    changes = {"name": None, "redis.port": "x", "blast_radius.longest_fault_s": -1}
    with pytest.raises(InvalidInput) as caught:
        load_target(written(tmp_path, changes))
    assert len(caught.value.mistakes) == 3


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("a: [", "not YAML"),
        ("- a\n- b\n", "a list, not a mapping"),
        ("", "NoneType"),
        ("\0", "not YAML"),
    ],
)
def test_what_is_not_a_mapping_is_refused(tmp_path: Path, text: str, mistake: str) -> None:
    file = tmp_path / "target.yaml"
    file.write_text(text)
    with pytest.raises(InvalidInput, match=mistake):
        load_target(file)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        load_target(tmp_path / "nowhere.yaml")


def test_secrets_come_from_the_file_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACME_PASSWORD", "another system's")
    (tmp_path / "secrets.env").write_text("# ours\nACME_PASSWORD=s3=cret\nACME_KEY=other\n")
    (tmp_path / "secrets.env").chmod(0o600)
    target = load_target(written(tmp_path, {"secrets_file": "secrets.env"}))
    assert target.postgres is not None
    assert target.postgres.password == "s3=cret"
    monkeypatch.delenv("ACME_PASSWORD")


def test_a_secrets_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "secrets.env").write_text("ACME_PASSWORD=x\n")
    (tmp_path / "secrets.env").chmod(0o644)
    with pytest.raises(InvalidInput, match="can be read by others"):
        load_target(written(tmp_path, {"secrets_file": "secrets.env"}))


def test_without_a_target_the_next_step_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PERFCHAOS_TARGET", raising=False)
    monkeypatch.setenv("PERFCHAOS_STATE_DIR", str(tmp_path))
    with pytest.raises(PerfchaosError, match="perfchaos up"):
        find_target()
