"""The command-line options that `load` and `capacity` share: they describe a request."""

import functools
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import click

from perfchaos.errors import InvalidInput
from perfchaos.workload.arrivals import Arrivals
from perfchaos.workload.plan import IDLE_MAX_S, ClosedLoop, Plan, RequestTemplate, Signing

Command = Callable[..., None]
Option = Callable[[Command], Command]

_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


class _Duration(click.ParamType[float]):
    """`500ms`, `30s`, `1m30s`, or plain seconds; gives seconds."""

    name = "duration"

    def convert(
        self, value: str | float, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        text = str(value)
        if re.fullmatch(r"\d+(\.\d+)?", text):
            return float(text)
        if not re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h))+", text):
            self.fail(f"{text!r} is not a duration like 500ms, 30s or 1m30s", param, ctx)
        pieces = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
        return sum(float(number) * _UNITS_S[unit] for number, unit in pieces)


DURATION = _Duration()


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOptions:
    """What was given on the command line, in the names of its options."""

    method: str | None
    header: tuple[str, ...]
    data: str
    sign: tuple[str, str] | None
    ack: str
    timeout: float
    connections: int
    keep_alive: bool
    idle: float
    in_flight: int
    processes: int
    insecure: bool
    ca_file: str | None
    seed: int | None

    def plan(self, url: str, load: Arrivals | ClosedLoop, *, duration_s: float | None) -> Plan:
        """The plan they describe. Raises InvalidInput with all mistakes."""
        mistakes: list[str] = []
        signing = None
        if self.sign is not None:
            signing = Signing(header=self.sign[0], secret_env=self.sign[1], prefix="sha256=")
        request = RequestTemplate(
            method=self.method or ("POST" if self.data else "GET"),
            url=url,
            headers=tuple(_header(line, mistakes) for line in self.header),
            body=_body(self.data, mistakes),
            signing=signing,
            acknowledged=_statuses(self.ack, mistakes),
            timeout_s=self.timeout,
        )
        if mistakes:
            raise InvalidInput("the request", mistakes, next_step="see 'perfchaos load --help'")
        plan = Plan(
            request=request,
            load=load,
            seed=secrets.randbits(32) if self.seed is None else self.seed,
            duration_s=duration_s,
            connections_max=self.connections,
            keep_alive=self.keep_alive,
            idle_max_s=self.idle,
            in_flight_max=self.in_flight,
            processes=self.processes,
            tls_verify=not self.insecure,
            tls_ca_file=self.ca_file,
        )
        plan.check()
        return plan


_OPTIONS = (
    click.option("-X", "--method", help="POST where there is a body, else GET."),
    click.option("-H", "--header", multiple=True, help="'Name: value'; can be repeated."),
    click.option(
        "-d",
        "--data",
        default="",
        help="The body, or @FILE; {uuid}, {n} and {now} are filled in for each request.",
    ),
    click.option(
        "--sign",
        nargs=2,
        metavar="HEADER SECRET_ENV",
        help="Sign the body: HEADER becomes sha256=<HMAC>, with the key in that variable.",
    ),
    click.option(
        "--ack", default="200,201,202,204", show_default=True, help="Statuses of success."
    ),
    click.option("--timeout", type=DURATION, default=10.0, help="For each request; 10s."),
    click.option("--connections", default=500, show_default=True, help="Open at most so many."),
    click.option(
        "--keep-alive/--no-keep-alive",
        default=True,
        show_default=True,
        help="Use a connection for more than one request.",
    ),
    click.option(
        "--idle", type=DURATION, default=IDLE_MAX_S, help="Keep an idle connection so long; 1.5s."
    ),
    click.option(
        "--in-flight", default=20_000, show_default=True, help="Drop what goes beyond so many."
    ),
    click.option("--processes", default=1, show_default=True, help="Generators, one core each."),
    click.option("--insecure", is_flag=True, help="Accept any certificate."),
    click.option("--ca-file", metavar="FILE", help="Trust the authorities in FILE instead."),
    click.option(
        "--seed", type=int, help="Of the ids and of Poisson arrivals; random if not given."
    ),
)


def bundled(name: str, record: type, options: Sequence[Option]) -> Option:
    """A decorator that adds `options` to a command and gives it them as one record `name`."""
    names = [field.name for field in fields(record)]

    def decorate(command: Command) -> Command:
        @functools.wraps(command)
        def collected(**given: object) -> None:
            values = {own: given.pop(own) for own in names}
            command(**{name: record(**values)}, **given)

        finished: Command = collected
        for option in reversed(options):
            finished = option(finished)
        return finished

    return decorate


with_request_options = bundled("request", RequestOptions, _OPTIONS)


def _header(line: str, mistakes: list[str]) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        mistakes.append(f"header {line!r} is not 'Name: value'")
    return name.strip(), value.strip()


def _body(data: str, mistakes: list[str]) -> str:
    if not data.startswith("@"):
        return data
    try:
        return Path(data[1:]).read_text()
    except (OSError, UnicodeDecodeError) as error:
        mistakes.append(f"body {data}: {error}")
        return ""


def _statuses(text: str, mistakes: list[str]) -> tuple[int, ...]:
    found = re.findall(r"\d+", text)
    if not re.fullmatch(r"\d+(,\d+)*", text):
        mistakes.append(f"--ack {text!r} is not a list like 200,202")
    return tuple(int(status) for status in found)
