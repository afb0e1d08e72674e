"""
Frozen records to JSON data and back, strictly.

The dataclass is the schema: an unknown key, a missing one and a wrong type are all mistakes, and
all of them are reported, each with its place.
"""

import dataclasses
import math
import types
import typing

_MISSING = object()


def to_json(value: object) -> object:
    """JSON data of a record made of scalars, tuples, dicts and further records."""
    if dataclasses.is_dataclass(value):
        return {f.name: to_json(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [to_json(item) for item in value]
    if isinstance(value, dict):
        return {key: to_json(item) for key, item in value.items()}
    return value


def read[T](record: type[T], data: object, *, where: str, mistakes: list[str]) -> T | None:
    """The record in JSON data, or None after adding to `mistakes` why there is none."""
    found = _read(record, data, where, mistakes)
    return None if found is _MISSING else typing.cast("T", found)


def _read(kind: typing.Any, data: object, where: str, mistakes: list[str]) -> object:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in {types.UnionType, typing.Union}:
        return _read(_member(arguments, data), data, where, mistakes)
    if origin is tuple:
        return _read_tuple(arguments, data, where, mistakes)
    if dataclasses.is_dataclass(kind):
        return _read_record(typing.cast("type", kind), data, where, mistakes)
    if kind is float and type(data) is int:
        return float(data)
    if type(data) is not kind or (kind is float and not math.isfinite(typing.cast("float", data))):
        mistakes.append(f"{where}: {data!r} is not {_described(kind)}")
        return _MISSING
    return data


def _read_record(kind: type, data: object, where: str, mistakes: list[str]) -> object:
    if not isinstance(data, dict):
        mistakes.append(f"{where}: {data!r} is not a mapping")
        return _MISSING
    hints = typing.get_type_hints(kind)
    fields = dataclasses.fields(kind)
    before = len(mistakes)
    mistakes += [f"{where}: unknown key {key!r}" for key in data if key not in hints]
    values: dict[str, object] = {}
    for field in fields:
        if field.name in data:
            place = f"{where}.{field.name}"
            values[field.name] = _read(hints[field.name], data[field.name], place, mistakes)
        elif field.default is dataclasses.MISSING:
            mistakes.append(f"{where}: {field.name} is missing")
    return kind(**values) if len(mistakes) == before else _MISSING


def _read_tuple(
    arguments: tuple[object, ...], data: object, where: str, mistakes: list[str]
) -> object:
    if not isinstance(data, list | tuple):
        mistakes.append(f"{where}: {data!r} is not a list")
        return _MISSING
    if arguments[-1] is Ellipsis:
        kinds = (arguments[0],) * len(data)
    elif len(arguments) == len(data):
        kinds = arguments
    else:
        mistakes.append(f"{where}: {len(arguments)} items are needed, not {len(data)}")
        return _MISSING
    before = len(mistakes)
    items = [
        _read(kind, item, f"{where}[{index}]", mistakes)
        for index, (kind, item) in enumerate(zip(kinds, data, strict=True))
    ]
    return tuple(items) if len(mistakes) == before else _MISSING


def _member(members: tuple[object, ...], data: object) -> object:
    """The member of a union that the data is meant to be: by null, or by the keys."""
    if data is None:
        return type(None) if type(None) in members else members[0]
    records = [member for member in members if member is not type(None)]
    if not isinstance(data, dict):
        return records[0]
    return max(records, key=lambda record: len(data.keys() & typing.get_type_hints(record).keys()))


def _described(kind: object) -> str:
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return words.get(typing.cast("type", kind), "null")
