"""
From the YAML of a target file to a `Target`, or to the full list of its mistakes.

The shape is checked against `target.schema.json`; what a schema cannot say is checked here.
"""

import json
import os
import stat
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from perfchaos.errors import InvalidInput, PerfchaosError
from perfchaos.places import state_dir
from perfchaos.target.records import (
    UNACKED,
    BlastRadius,
    Connections,
    Container,
    Handle,
    Postgres,
    Queue,
    Race,
    Redis,
    SetUpRequest,
    SetUpStatement,
    Target,
    Toxiproxy,
)
from perfchaos.target.templates import race_mistakes
from perfchaos.workload.plan import RequestTemplate, SecretHeader, Signing, url_mistakes

type Document = Mapping[str, Any]

# What fails at these is told by the schema alone: its own words quote the value, which may be a
# secret that was written where a variable's name belongs.
_QUOTING = ("type", "pattern", "format", "enum", "const", "anyOf", "not", "minLength")


def find_target() -> Path:
    """
    The target file to use: `PERFCHAOS_TARGET`, else the running reference system's.

    Raises:
        PerfchaosError: neither is there.

    """
    if chosen := os.environ.get("PERFCHAOS_TARGET"):
        return Path(chosen).absolute()
    reference = state_dir() / "stack" / "target.yaml"
    if not reference.exists():
        raise PerfchaosError(
            "there is no target: PERFCHAOS_TARGET is not set and the reference system is not up",
            next_step="run 'perfchaos up', or set PERFCHAOS_TARGET to a target file",
        )
    return reference


def load_target(path: Path) -> Target:
    """
    Read the target file at `path`, and the secrets file it names into the environment.

    Raises:
        InvalidInput: the file is missing or wrong; the error lists every mistake in it.

    """
    document = _read_yaml(path)
    mistakes = [_describe(error) for error in _validator().iter_errors(document)]
    if not mistakes:
        mistakes = _contradictions(document)
    if not mistakes and "secrets_file" in document:
        mistakes = _enter_secrets(path.parent / document["secrets_file"])
    if not mistakes:
        mistakes = _unset_secrets(document)
    if not mistakes:
        target = _target(path, document)
        mistakes = [f"webhook: {mistake}" for mistake in target.webhook.mistakes()]
        mistakes += [
            f"{section}.{mistake}"
            for section in ("health", "toxiproxy")
            if section in document
            for mistake in url_mistakes(document[section]["url"])
        ]
        if target.race:
            mistakes += [f"race.{mistake}" for mistake in race_mistakes(target.race)]
    if mistakes:
        raise InvalidInput(f"target file {path}", mistakes, next_step="correct it and run again")
    return target


def _read_yaml(path: Path) -> Document:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(
            f"target file {path}",
            [f"it cannot be read ({error.strerror})"],
            next_step="set PERFCHAOS_TARGET to a target file that exists",
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"target file {path}", [f"it is not YAML ({_place(error)})"], next_step="correct it"
        ) from None
    if not isinstance(document, dict):
        raise InvalidInput(
            f"target file {path}",
            [f"it holds a {type(document).__name__}, not a mapping"],
            next_step="see docs/target-file.md for its keys",
        )
    return document


def _place(error: yaml.YAMLError | UnicodeDecodeError) -> str:
    """Where it is wrong. Never how: the words of the parser quote the file, secrets and all."""
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return f"a character at {error.position}" if hasattr(error, "position") else "unreadable"
    return f"line {mark.line + 1}, column {mark.column + 1}"


def _validator() -> Draft202012Validator:
    schema = resources.files(__package__).joinpath("target.schema.json").read_text("utf-8")
    return Draft202012Validator(json.loads(schema))


def _describe(error: ValidationError) -> str:
    where = ".".join(str(step) for step in error.absolute_path)
    said = error.message
    if error.validator in _QUOTING:
        said = f"it does not have the form that the schema asks for ({error.validator}"
        said += ")" if error.validator in ("anyOf", "not") else f" {error.validator_value})"
    return f"{where}: {said}" if where else said


def _contradictions(document: Document) -> list[str]:
    """What the schema cannot see: names that refer to what is not there."""
    mistakes = [
        *_proxy_contradictions(document),
        *(
            f"{name}.{key}: it goes with {name}.control process:<pid file>"
            for name in ("redis", "postgres", "toxiproxy")
            for key in ("start", "data")
            if key in document.get(name, {})
            and not document[name].get("control", "").startswith("process:")
        ),
    ]
    for name in document["blast_radius"].get("services", []):
        if name not in document:
            mistakes.append(f"blast_radius.services: there is no {name} section")
    if "ledger" in document:
        mistakes += _ledger_contradictions(document)
    if "race" in document and "postgres" not in document:
        mistakes.append("race: there is no postgres section to ask who won")
    queue = document.get("redis", {}).get("queue")
    if queue and queue["kind"] != "stream" and "group" in queue:
        mistakes.append(f"redis.queue.group: a queue of kind {queue['kind']} has no consumer group")
    if queue and queue["kind"] != "celery" and "unacked" in queue:
        mistakes.append("redis.queue.unacked: it goes with redis.queue.kind celery")
    return mistakes


def _proxy_contradictions(document: Document) -> list[str]:
    mistakes = []
    for name in ("redis", "postgres"):
        section = document.get(name, {})
        if "upstream" in section and "proxy" not in section:
            mistakes.append(f"{name}.upstream: it goes with {name}.proxy")
        if section.get("proxy") and "toxiproxy" not in document:
            mistakes.append(f"{name}.proxy: there is no toxiproxy section to find it at")
    return mistakes


def _ledger_contradictions(document: Document) -> list[str]:
    mistakes = [
        f"ledger.{name}: it does not use {field}"
        for name in ("query", "waiting_query")
        for field in ("%(first)s", "%(last)s")
        if field not in document["ledger"].get(name, field)
    ]
    if "postgres" not in document:
        mistakes.append("ledger: there is no postgres section to ask")
    return mistakes


def _enter_secrets(path: Path) -> list[str]:
    """Put the secrets of `path` into the environment; they are the target's own, so they win."""
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            return [f"secrets_file: {path} can be read by others (run 'chmod 600 {path}')"]
        lines = path.read_text("utf-8").splitlines()
    except OSError as error:
        return [f"secrets_file: {path} cannot be read ({error.strerror})"]
    for line in lines:
        name, separator, value = line.partition("=")
        if separator and not line.startswith("#"):
            os.environ[name.strip()] = value
    return []


def _unset_secrets(document: Document) -> list[str]:
    named = {
        **_header_variables("webhook", document["webhook"]),
        "webhook.signing.secret_env": document["webhook"].get("signing", {}).get("secret_env"),
        **_race_secrets(document.get("race", {})),
        "redis.password_env": document.get("redis", {}).get("password_env"),
        "postgres.password_env": document.get("postgres", {}).get("password_env"),
        "toxiproxy.token_env": document.get("toxiproxy", {}).get("token_env"),
    }
    return [
        f"{key}: the environment variable {variable} is not set"
        for key, variable in named.items()
        if variable and variable not in os.environ
    ]


def _race_secrets(section: Document) -> dict[str, str | None]:
    requests = {
        "compete": section.get("compete", {}),
        **{
            f"set_up.{number}.request": step.get("request", {})
            for number, step in enumerate(section.get("set_up", []))
        },
    }
    named: dict[str, str | None] = {}
    for place, request in requests.items():
        signing = request.get("signing", {})
        named[f"race.{place}.signing.secret_env"] = signing.get("secret_env")
        named |= _header_variables(f"race.{place}", request)
    return named


def _header_variables(place: str, request: Document) -> dict[str, str]:
    return {
        f"{place}.headers.{name}": value["env"]
        for name, value in request.get("headers", {}).items()
        if not isinstance(value, str)
    }


def _target(path: Path, document: Document) -> Target:
    return Target(
        path=path,
        name=document["name"],
        webhook=_request(document["webhook"]),
        connections=_connections(document.get("connections", {})),
        health_url=document.get("health", {}).get("url"),
        redis=_redis(document["redis"]) if "redis" in document else None,
        postgres=_postgres(document["postgres"]) if "postgres" in document else None,
        toxiproxy=_toxiproxy(document["toxiproxy"]) if "toxiproxy" in document else None,
        ledger_query=document.get("ledger", {}).get("query"),
        waiting_query=document.get("ledger", {}).get("waiting_query"),
        waiting_command=tuple(document.get("ledger", {}).get("waiting_command", ())),
        race=_race(document["race"]) if "race" in document else None,
        blast_radius=_blast_radius(document["blast_radius"]),
    )


def _request(section: Document) -> RequestTemplate:
    signing = section.get("signing")
    return RequestTemplate(
        method=section.get("method", "POST"),
        url=section["url"],
        headers=tuple(
            (name, value)
            for name, value in section.get("headers", {}).items()
            if isinstance(value, str)
        ),
        secret_headers=tuple(
            SecretHeader(name=name, **value)
            for name, value in section.get("headers", {}).items()
            if not isinstance(value, str)
        ),
        body=section.get("body", ""),
        signing=Signing(
            header=signing["header"],
            prefix=signing.get("prefix", ""),
            secret_env=signing["secret_env"],
        )
        if signing
        else None,
        acknowledged=tuple(section["acknowledged"]),
        acknowledged_when=section.get("acknowledged_when"),
        refused=tuple(section["refused"]) if "refused" in section else None,
        timeout_s=section.get("timeout_s", 2.0),
    )


def _connections(section: Document) -> Connections:
    usual = Connections()
    return Connections(
        max_count=section.get("max", usual.max_count),
        keep_alive=section.get("keep_alive", usual.keep_alive),
        idle_s=section.get("idle_s", usual.idle_s),
    )


def _race(section: Document) -> Race:
    decided = dict.fromkeys((*section["won"], *section["lost"]))
    return Race(
        set_up=tuple(_set_up(step) for step in section.get("set_up", [])),
        compete=_request(section["compete"] | {"acknowledged": list(decided)}),
        won=tuple(section["won"]),
        lost=tuple(section["lost"]),
        won_when=section.get("won_when"),
        round_field=section["round"],
        contender_field=section["contender"],
        holders_query=section["holders"],
        effects_query=section["effects"],
    )


def _set_up(step: Document) -> SetUpRequest | SetUpStatement:
    if "sql" in step:
        return SetUpStatement(sql=step["sql"])
    return SetUpRequest(
        request=_request(step["request"]), capture=tuple(step.get("capture", {}).items())
    )


def _redis(section: Document) -> Redis:
    queue = section.get("queue")
    return Redis(
        host=section["host"],
        port=section["port"],
        database=section.get("database", 0),
        username=section.get("username"),
        password_env=section.get("password_env"),
        tls=section.get("tls", False),
        proxy=section.get("proxy"),
        upstream=section.get("upstream"),
        control=_handle(section),
        queue=Queue(
            key=queue["key"],
            kind=queue["kind"],
            group=queue.get("group"),
            unacked=queue.get("unacked", UNACKED),
        )
        if queue
        else None,
    )


def _postgres(section: Document) -> Postgres:
    return Postgres(
        host=section["host"],
        port=section["port"],
        database=section["database"],
        user=section["user"],
        password_env=section.get("password_env"),
        sslmode=section.get("sslmode", "prefer"),
        proxy=section.get("proxy"),
        upstream=section.get("upstream"),
        control=_handle(section),
    )


def _toxiproxy(section: Document) -> Toxiproxy:
    return Toxiproxy(
        url=section["url"].rstrip("/"),
        token_env=section.get("token_env"),
        control=_handle(section),
    )


def _blast_radius(section: Document) -> BlastRadius:
    return BlastRadius(
        proxies=frozenset(section.get("proxies", [])),
        services=frozenset(section.get("services", [])),
        containers=tuple(
            Container(name=container["name"], label=container["label"])
            for container in section.get("containers", [])
        ),
        addresses=tuple(section["addresses"]),
        longest_fault_s=section["longest_fault_s"],
    )


def _handle(section: Document) -> Handle | None:
    if "control" not in section:
        return None
    kind, _, name = section["control"].partition(":")
    return Handle(
        kind=kind, name=name, start=tuple(section.get("start", ())), data=section.get("data")
    )
