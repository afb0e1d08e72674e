"""From an undo to JSON and back: the one place that knows all mechanisms by name."""

import dataclasses
from collections.abc import Mapping
from contextlib import suppress
from types import UnionType
from typing import Any, TypeAliasType, Union, get_args, get_origin, get_type_hints

from perfchaos.errors import PerfchaosError
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
            with suppress(KeyError, TypeError, ValueError):
                found: Undo = _decoded(undo, fields)
                return found
    raise PerfchaosError(
        f"an undo is not understood: {dict(document)}",
        next_step="it was written by another version of perfchaos; heal with that one",
    )


def _decoded(hint: Any, value: Any) -> Any:
    """What `dataclasses.asdict` and JSON have made plain, as the type hint says it was."""
    if isinstance(hint, TypeAliasType):
        return _decoded(hint.__value__, value)
    if get_origin(hint) in (Union, UnionType):
        return _decoded(_one_of(get_args(hint), value), value)
    if get_origin(hint) is tuple:
        return tuple(_decoded(get_args(hint)[0], item) for item in value)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        hints = get_type_hints(hint)
        return hint(**{key: _decoded(hints[key], item) for key, item in value.items()})
    return value


def _one_of(hints: tuple[Any, ...], value: Any) -> Any:
    """The record among them that has just these fields; a plain value needs no decoding."""
    if not isinstance(value, Mapping):
        return type(value)
    for hint in hints:
        if dataclasses.is_dataclass(hint) and {f.name for f in dataclasses.fields(hint)} == set(
            value
        ):
            return hint
    raise ValueError(f"none of {hints} has the fields {', '.join(value)}")
