"""Sets a round up: requests and statements, and the fields that are captured from their answers."""

import os
import re
import ssl
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import psycopg

from perfchaos.postgres_client import Connection, connect, first_line
from perfchaos.race.lane import Lane, LaneError
from perfchaos.race.plan import RacePlan
from perfchaos.recording.ids import id_of
from perfchaos.target import SetUpRequest, SetUpStatement
from perfchaos.target.templates import Value, filled
from perfchaos.workload.plan import RequestTemplate
from perfchaos.workload.rendering import Origin, renderer

type Captured = Value | tuple[Value, ...]
"""One value for the round, or one for each contender."""


class NoRace(Exception):
    """There can be no race in this round; the message says why."""


class SettingUp:
    """Sets round after round up, over connections that it keeps."""

    def __init__(self, plan: RacePlan, tls: ssl.SSLContext) -> None:
        self._plan = plan
        self._tls = tls
        self._lanes: dict[Origin, Lane] = {}
        self._database: Connection | None = None

    def __call__(self, number: int) -> dict[str, Captured]:
        """
        The fields of round `number`.

        Raises NoRace if a step did not do what the target file says it does.
        """
        fields: dict[str, Captured] = {
            "uuid": id_of(self._plan.seed, number),
            "n": number,
            "contenders": self._plan.contenders - self._plan.duplicates,
        }
        for place, step in enumerate(self._plan.race.set_up):
            try:
                if isinstance(step, SetUpRequest):
                    fields |= self._ask(step, number, fields)
                else:
                    fields |= self._execute(step, fields)
            except NoRace as error:
                raise NoRace(f"set-up step {place}: {error}") from None
        return fields

    def close(self) -> None:
        """Closes what is open."""
        for lane in self._lanes.values():
            lane.close()
        if self._database is not None:
            self._database.close()

    def _ask(
        self, step: SetUpRequest, number: int, fields: Mapping[str, Captured]
    ) -> dict[str, Captured]:
        request = filled(step.request, _single(fields))
        origin = Origin.of(request.url)
        lane = self._lanes.get(origin)
        if lane is None:
            tls = self._tls if origin.tls else None
            lane = Lane(origin, tls, reply_bytes_max=self._plan.reply_bytes_max)
            self._lanes[origin] = lane
        data = renderer(request, seed=self._plan.seed, key=signing_key(request))(number)
        try:
            status, body = lane.exchange(data, timeout_s=request.timeout_s)
        except LaneError as error:
            raise NoRace(f"{request.method} {request.url}: {error}") from None
        if status not in request.acknowledged:
            raise NoRace(f"{request.method} {request.url} was answered with HTTP {status}")
        if not re.search((request.acknowledged_when or "").encode(), body):
            raise NoRace(
                f"{request.method} {request.url} was answered with HTTP {status}, and its body does"
                " not match acknowledged_when"
            )
        return captured(body, step.capture)

    def _execute(self, step: SetUpStatement, fields: Mapping[str, Captured]) -> dict[str, Captured]:
        try:
            if self._database is None or self._database.closed:
                self._database = connect(self._plan.database)
            answer = self._database.execute(step.sql.encode(), _single(fields))
            columns = [column.name for column in answer.description or ()]
            rows = answer.fetchall() if columns else []
        except psycopg.Error as error:
            raise NoRace(f"the database says: {first_line(error)}") from None
        if columns and not rows:
            raise NoRace("the statement gave no row")
        return {
            column: _one_or_each([row[index] for row in rows])
            for index, column in enumerate(columns)
        }


def captured(body: bytes, capture: Sequence[tuple[str, str]]) -> dict[str, Captured]:
    """
    The fields that `capture` takes from a JSON body: (field, keys and indexes joined by dots).

    Raises NoRace for a body that is not JSON and for a place where there is no text, whole number
    or list of them.
    """
    if not capture:
        return {}
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise NoRace("the reply is not JSON") from None
    return {field: _at(document, path) for field, path in capture}


def signing_key(request: RequestTemplate) -> bytes:
    """The key that signs `request`; the plan was checked for it before."""
    return b"" if request.signing is None else os.environ[request.signing.secret_env].encode()


def _at(document: Any, path: str) -> Captured:
    here = document
    for step in path.split("."):
        try:
            here = here[int(step)] if isinstance(here, list) else here[step]
        except (KeyError, IndexError, TypeError, ValueError):
            raise NoRace(f"the reply has nothing at '{path}'") from None
    values = here if isinstance(here, list) else [here]
    if not values or not all(type(value) in (str, int) for value in values):
        raise NoRace(f"the reply has neither texts nor whole numbers at '{path}'")
    return tuple(here) if isinstance(here, list) else here


def _one_or_each(values: Sequence[object]) -> Captured:
    """A column: what is the same in every row belongs to the round."""
    texts = tuple(value if type(value) is int else str(value) for value in values)
    return texts[0] if len(set(texts)) == 1 else texts


def _single(fields: Mapping[str, Captured]) -> dict[str, Value]:
    return {name: value for name, value in fields.items() if not isinstance(value, tuple)}
