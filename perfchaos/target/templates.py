"""
The fields of a race's templates: which there are, which are used, and how they are filled in.

`{uuid}`, `{n}` and `{now}` belong to the round and are filled in by whatever renders requests;
`{contender}` and `{contenders}` count from 1; the others are captured from the set-up.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from urllib.parse import quote, urlsplit

from perfchaos.target.records import Race, SetUpRequest
from perfchaos.workload.plan import RequestTemplate

type Value = str | int
"""A field's value: what JSON and SQL call a text or a whole number."""

_OF_THE_ROUND = frozenset({"uuid", "n", "now"})
_COUNTED = frozenset({"contender", "contenders"})
_FIELD = re.compile(r"\{([A-Za-z_]\w*)\}")
_PARAMETER = re.compile(r"%\((\w+)\)s")


def filled(request: RequestTemplate, fields: Mapping[str, Value]) -> RequestTemplate:
    """`request` with `fields` filled in, each so that it stays one value: quoted, or escaped."""
    return replace(
        request,
        url=_fill(request.url, fields, lambda text: quote(text, safe="")),
        headers=tuple((name, _fill(value, fields, _printable)) for name, value in request.headers),
        body=_fill(request.body, fields, lambda text: json.dumps(text)[1:-1]),
    )


def unfilled(request: RequestTemplate) -> list[str]:
    """The fields of `request` that nothing has filled in, apart from those of the round."""
    return sorted(_used(request) - _OF_THE_ROUND)


def race_mistakes(race: Race) -> list[str]:
    """What is wrong with it that a schema cannot see, in words."""
    found: list[str] = []
    known = _OF_THE_ROUND | {"contenders"}
    for number, step in enumerate(race.set_up):
        where = f"set_up.{number}"
        if isinstance(step, SetUpRequest):
            found += [f"{where}.request: {mistake}" for mistake in step.request.mistakes()]
            found += _unknown(f"{where}.request", _used(step.request), known)
            known |= {field for field, _ in step.capture}
        else:
            # Its columns are not known before it has run.
            found += _unknown(f"{where}.sql", set(_PARAMETER.findall(step.sql)), known)
    by_sql = any(not isinstance(step, SetUpRequest) for step in race.set_up)
    found += [f"compete: {mistake}" for mistake in race.compete.mistakes()]
    if not by_sql:
        known |= _COUNTED
        found += _unknown("compete", _used(race.compete), known)
        found += _unknown("round", {race.round_field}, known - _COUNTED - {"now"})
        found += _unknown("contender", {race.contender_field}, known - _OF_THE_ROUND)
    if race.contender_field == "contenders":
        found.append("contender: {contenders} is the same for all of them")
    for name, query in (("holders", race.holders_query), ("effects", race.effects_query)):
        if "%(rounds)s" not in query:
            found.append(f"{name}: it does not use %(rounds)s")
    found += _status_mistakes(race)
    if any(_FIELD.search(urlsplit(request.url).netloc) for request in race.requests()):
        found.append("a field stands in the host of a URL: the blast radius could not be checked")
    return found


def _status_mistakes(race: Race) -> list[str]:
    both = sorted(set(race.won) & set(race.lost))
    if both and race.won_when is None:
        return [f"won, lost: {both} cannot mean both; tell them apart with won_when"]
    try:
        re.compile(race.won_when or "")
    except re.error as error:
        return [f"won_when: it is not a regular expression ({error})"]
    return []


def _used(request: RequestTemplate) -> set[str]:
    texts = (request.url, request.body, *(value for _, value in request.headers))
    return {field for text in texts for field in _FIELD.findall(text)}


def _unknown(where: str, used: Iterable[str], known: Iterable[str]) -> list[str]:
    names = ", ".join(sorted(known))
    return [
        f"{where}: nothing gives the field {field!r} (known here: {names})"
        for field in sorted(set(used) - set(known))
    ]


def _fill(text: str, fields: Mapping[str, Value], form: Callable[[str], str]) -> str:
    return _FIELD.sub(
        lambda found: form(str(fields[found[1]])) if found[1] in fields else found[0], text
    )


def _printable(text: str) -> str:
    return "".join(character for character in text if character.isprintable())
