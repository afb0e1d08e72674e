"""From an undo to JSON and back: the one place that knows all mechanisms by name."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from perfchaos.containers import Attachment, Limits
from perfchaos.errors import PerfchaosError
from perfchaos.faults.container import Container
from perfchaos.faults.container_cut_off import ConnectContainer
from perfchaos.faults.container_impaired import RemoveNetem
from perfchaos.faults.container_paused import UnpauseContainer
from perfchaos.faults.container_squeezed import RestoreLimits
from perfchaos.faults.container_start import StartContainer
from perfchaos.faults.disabled_proxy import RestoreProxy
from perfchaos.faults.ended_postgres import StartPostgres
from perfchaos.faults.ended_process import StartProcess
from perfchaos.faults.fault import Undo
from perfchaos.faults.held_connections import EndHolder
from perfchaos.faults.paused_process import ResumeProcess
from perfchaos.faults.read_only_postgres import MakeWritable
from perfchaos.faults.toxic import RemoveToxic
from perfchaos.faults.toxiproxy_client import ProxyState, ToxicState, ToxiproxyAddress
from perfchaos.postgres_client import Login

type Document = Mapping[str, Any]

_UNDOS: tuple[type[Undo], ...] = (
    RemoveToxic,
    RestoreProxy,
    ResumeProcess,
    StartProcess,
    StartPostgres,
    MakeWritable,
    EndHolder,
    StartContainer,
    UnpauseContainer,
    ConnectContainer,
    RestoreLimits,
    RemoveNetem,
)


def to_document(undo: Undo) -> Document:
    """The undo as JSON values, with the name of its mechanism."""
    return {"mechanism": undo.mechanism, **dataclasses.asdict(undo)}


def from_document(document: Document) -> Undo:
    """
    The undo that `to_document` wrote.

    Raises:
        PerfchaosError: the document is of a mechanism or shape unknown here.

    """
    fields = {key: value for key, value in document.items() if key != "mechanism"}
    for undo in _UNDOS:
        if undo.mechanism == document.get("mechanism"):
            try:
                return undo(**_with_records(fields))
            except (KeyError, TypeError, AttributeError):
                break
    raise PerfchaosError(
        f"an undo is not understood: {dict(document)}",
        next_step="it was written by another version of perfchaos; heal with that one",
    )


def _with_records(fields: Document) -> dict[str, Any]:
    return {
        key: _RECORDS[key](value) if key in _RECORDS else value for key, value in fields.items()
    }


def _proxy_state(fields: Document) -> ProxyState:
    toxics = tuple(ToxicState(**toxic) for toxic in fields["toxics"])
    return ProxyState(**{**fields, "toxics": toxics})


def _attachment(fields: Document) -> Attachment:
    return Attachment(**{**fields, "aliases": tuple(fields["aliases"])})


def _proxy(value: Document | str | None) -> RestoreProxy | str | None:
    """A proxy by its name, or the undo of a disabled one."""
    return RestoreProxy(**_with_records(value)) if isinstance(value, Mapping) else value


def _start(fields: Document) -> StartProcess | StartContainer:
    start = StartContainer if "container" in fields else StartProcess
    return start(**_with_records(fields))


# The fields of undos that are more than a word or a number.
_RECORDS: Mapping[str, Callable[[Any], object]] = {
    "toxiproxy": lambda fields: ToxiproxyAddress(**fields),
    "proxies": lambda proxies: tuple(map(_proxy_state, proxies)),
    "proxy": _proxy,
    "start": _start,
    "login": lambda fields: Login(**fields),
    "container": lambda fields: Container(**fields),
    "attachments": lambda attachments: tuple(map(_attachment, attachments)),
    "before": lambda fields: Limits(**fields),
    "interfaces": tuple,
}
