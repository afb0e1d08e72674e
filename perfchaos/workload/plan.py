"""
What a workload is to do, as frozen records and as JSON.

A plan holds no secret: signing and headers name the environment variables that do. Reading is
strict: unknown keys, wrong types and absurd values are all listed at once as InvalidInput.
"""

import os
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from perfchaos.errors import InvalidInput
from perfchaos.recording.ids import SERIES_MAX
from perfchaos.recording.layout import Outcome
from perfchaos.workload import strict_json
from perfchaos.workload.arrivals import Arrivals

INDETERMINATE_STATUSES = (500, 502, 504)
"""Statuses that do not tell whether the request was taken, unless the target says otherwise."""

ALGORITHMS = ("sha1", "sha256", "sha512")
PROCESSES_MAX = 64
LABEL_MAX = 63
"""Of a host name, between two dots (RFC 1035, section 2.3.4)."""
CONNECTIONS_MAX = 20_000
IDLE_MAX_S = 1.5
"""
Servers end idle connections by themselves, after 2 s (gunicorn), 5 s (uvicorn, Node) or more, and a
request that crosses with the end is lost without the target's being at fault: part first.
"""
IN_FLIGHT_MAX = 1_000_000
TIMEOUT_MAX_S = 600.0
_GRACE_S = 5.0
_OWN_HEADERS = ("connection", "content-length", "expect", "transfer-encoding", "upgrade")
_PRINTABLE = re.compile(r"[\x20-\x7e]+")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signing:
    """
    An HMAC of the body in a header: `prefix` followed by the hex digest.

    The key is read from the environment variable `secret_env` when the workload starts.
    """

    header: str
    secret_env: str
    prefix: str = ""
    algorithm: str = "sha256"

    def mistakes(self) -> list[str]:
        """What is wrong with it, in words."""
        found = _header_mistakes(self.header, self.prefix)
        if not self.secret_env:
            found.append("signing: secret_env is empty")
        if self.algorithm not in ALGORITHMS:
            found.append(
                f"signing: algorithm {self.algorithm!r} is none of {', '.join(ALGORITHMS)}"
            )
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretHeader:
    """
    A header whose value is in the environment: `prefix` followed by the variable `env`.

    With `basic_user` it is the Basic credentials (RFC 7617) of that user with that password.
    """

    name: str
    env: str
    prefix: str = ""
    basic_user: str | None = None

    def value(self, environment: Mapping[str, str] = os.environ) -> str:
        """Its value; raises KeyError where the variable is not set."""
        secret = environment[self.env]
        if self.basic_user is None:
            return self.prefix + secret
        return "Basic " + b64encode(f"{self.basic_user}:{secret}".encode()).decode()

    def mistakes(self) -> list[str]:
        """What is wrong with it, in words."""
        found = _header_mistakes(self.name, self.prefix)
        if self.basic_user is not None and (self.prefix or ":" in self.basic_user):
            found.append(f"header {self.name}: a basic user has no prefix, and no colon in it")
        return found

    def unusable(self, environment: Mapping[str, str] = os.environ) -> str | None:
        """Why it cannot be sent with what is in the environment; never the secret itself."""
        if not environment.get(self.env):
            return f"environment variable {self.env} for header {self.name} is not set"
        if not _PRINTABLE.fullmatch(self.value(environment)):
            return f"environment variable {self.env} holds more than printable ASCII on one line"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestTemplate:
    """
    One request, to be sent again and again.

    `{uuid}`, `{n}` and `{now}` in the path, in header values and in the body are replaced for each
    request by its id, its number and the time of its sending (RFC 3339, UTC, milliseconds). All
    other braces stay as they are, so JSON needs no escapes.

    `acknowledged` are the statuses that count as acked. Of the others, those in `refused` are a
    definite no; None means every status but `INDETERMINATE_STATUSES`. A reply with an acknowledging
    status whose body does not match the regular expression `acknowledged_when` is a definite no.
    """

    method: str = "POST"
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    secret_headers: tuple[SecretHeader, ...] = ()
    signing: Signing | None = None
    acknowledged: tuple[int, ...] = (200, 201, 202, 204)
    acknowledged_when: str | None = None
    refused: tuple[int, ...] | None = None
    timeout_s: float = 10.0

    def outcome_of(self, status: int) -> Outcome:
        """What a reply with this status says about the request."""
        if status in self.acknowledged:
            return Outcome.ACKED
        if self.refused is None:
            undecided = status in INDETERMINATE_STATUSES
        else:
            undecided = status not in self.refused
        return Outcome.INDETERMINATE if undecided else Outcome.REFUSED

    def mistakes(self) -> list[str]:
        """What is wrong with it, in words."""
        found = url_mistakes(self.url)
        if not _TOKEN.fullmatch(self.method):
            found.append(f"method {self.method!r} is not an HTTP method")
        elif self.method == "CONNECT":
            found.append("method CONNECT opens a tunnel and cannot be a request template")
        for name, value in self.headers:
            found += _header_mistakes(name, value)
        for header in self.secret_headers:
            found += header.mistakes()
        if self.signing is not None:
            found += self.signing.mistakes()
        statuses = (*self.acknowledged, *(self.refused or ()))
        found += [f"status {s} is not between 200 and 599" for s in statuses if not 200 <= s < 600]
        if not self.acknowledged:
            found.append("acknowledged names no status: nothing could ever succeed")
        try:
            re.compile((self.acknowledged_when or "").encode())
        except re.error as error:
            found.append(f"acknowledged_when: it is not a regular expression ({error})")
        if both := sorted(set(self.acknowledged) & set(self.refused or ())):
            found.append(f"statuses {both} are both acknowledged and refused")
        if not 0 < self.timeout_s <= TIMEOUT_MAX_S:
            found.append(f"timeout_s {self.timeout_s:g} is not between 0 and {TIMEOUT_MAX_S:g}")
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class ClosedLoop:
    """
    The closed model: so many requests in flight, the next is sent when one is answered.

    It slows down with the target and so cannot tell what customers would see; it is there to find
    a raw rate, and every result of it says `closed`.
    """

    in_flight_count: int

    def mistakes(self) -> list[str]:
        """What is wrong with it, in words."""
        if 1 <= self.in_flight_count <= CONNECTIONS_MAX:
            return []
        return [f"in_flight_count {self.in_flight_count} is not between 1 and {CONNECTIONS_MAX}"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    All a workload process needs to know.

    Requests wait in line when all `connections_max` connections are busy, and are dropped (and
    recorded so) when `in_flight_max` wait or are on the wire. Both bounds are shared out among
    `processes`. A connection is kept for the next request for `idle_max_s` seconds at most, or,
    without `keep_alive`, not at all. `series` is which of the run's loads it is: each has ids of
    its own under the run's seed. `duration_s=None` lasts until the arrivals end or the workload is
    stopped.
    """

    request: RequestTemplate
    load: Arrivals | ClosedLoop
    seed: int
    series: int = 0
    duration_s: float | None = None
    connections_max: int = 500
    keep_alive: bool = True
    idle_max_s: float = IDLE_MAX_S
    in_flight_max: int = 20_000
    reply_bytes_max: int = 16 * 1024 * 1024
    processes: int = 1
    tls_verify: bool = True
    tls_ca_file: str | None = None

    @property
    def sending_s(self) -> float | None:
        """How long it sends unless stopped; None if it goes on until then."""
        shape_s = self.load.duration_s if isinstance(self.load, Arrivals) else None
        known = [duration_s for duration_s in (self.duration_s, shape_s) if duration_s is not None]
        return min(known, default=None)

    @property
    def program(self) -> str:
        """The module that runs it."""
        return "perfchaos.workload"

    @property
    def drain_s(self) -> float:
        """How long what is in flight may take to be settled."""
        return self.request.timeout_s + _GRACE_S

    def mistakes(self) -> list[str]:
        """What is wrong with it, in words."""
        found = [*self.request.mistakes(), *self.load.mistakes()]
        if self.duration_s is not None and not 0 < self.duration_s <= 30 * 86_400:
            found.append(f"duration_s {self.duration_s:g} is not between 0 and 30 days")
        for name, value, low, high in (
            ("connections_max", self.connections_max, 1, CONNECTIONS_MAX),
            ("in_flight_max", self.in_flight_max, 1, IN_FLIGHT_MAX),
            ("reply_bytes_max", self.reply_bytes_max, 1024, 1 << 30),
            ("processes", self.processes, 1, PROCESSES_MAX),
            ("seed", self.seed, 0, (1 << 63) - 1),
            ("series", self.series, 0, SERIES_MAX),
        ):
            if not low <= value <= high:
                found.append(f"{name} {value} is not between {low} and {high}")
        if not 0 < self.idle_max_s <= 3600:
            found.append(f"idle_max_s {self.idle_max_s:g} is not between 0 and 3600")
        if self.processes > self.connections_max >= 1:
            found.append("connections_max gives some of the processes no connection")
        return found

    def check(self, environment: Mapping[str, str] = os.environ) -> None:
        """Raises InvalidInput with every mistake, a missing secret or CA file included."""
        found = self.mistakes()
        signing = self.request.signing
        if signing is not None and signing.secret_env and not environment.get(signing.secret_env):
            found.append(
                f"environment variable {signing.secret_env} with the signing key is not set"
            )
        unusable = (header.unusable(environment) for header in self.request.secret_headers)
        found += [why for why in unusable if why]
        if self.tls_ca_file is not None and not os.path.isfile(self.tls_ca_file):  # noqa: PTH113
            found.append(f"tls_ca_file {self.tls_ca_file} is not a file")
        if found:
            raise InvalidInput("the load plan", found, next_step="correct them and start again")

    def to_json(self) -> object:
        """The plan as JSON data; `from_json` gives back an equal plan."""
        return strict_json.to_json(self)

    @classmethod
    def from_json(cls, data: object) -> "Plan":
        """The plan in JSON data. Raises InvalidInput with all mistakes."""
        mistakes: list[str] = []
        plan = strict_json.read(cls, data, where="plan", mistakes=mistakes)
        if plan is not None:
            mistakes += plan.mistakes()
        if plan is None or mistakes:
            raise InvalidInput("the load plan", mistakes, next_step="correct it and start again")
        return plan


def url_mistakes(url: str) -> list[str]:
    """What is wrong with a URL, in words; readers differ over one with a backslash."""
    if not url.isascii() or re.search(r"[\x00-\x20\x7f\\]", url):
        return [f"url {url!r} has spaces or characters that need percent-encoding"]
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        return [f"url {url!r}: {error}"]
    if parts.username is not None or parts.password is not None:
        return ["url holds a user name or password: put credentials in a header of their own"]
    if parts.scheme not in {"http", "https"} or not host:
        return [f"url {url!r} is not http://host… or https://host…"]
    if (
        any(not label for label in host.removesuffix(".").split("."))
        or max(len(label) for label in host.split(".")) > LABEL_MAX
    ):
        return [f"url {url!r} has a host name that cannot be looked up"]
    if port == 0:
        return [f"url {url!r} has port 0"]
    return []


def _header_mistakes(name: str, value: str) -> list[str]:
    if not _TOKEN.fullmatch(name):
        return [f"header name {name!r} is not a token"]
    if name.lower() in _OWN_HEADERS:
        return [f"header {name} is written by the load engine itself"]
    if re.search(r"[\r\n\0]", value):
        return [f"header {name} has a line break in its value"]
    return []
