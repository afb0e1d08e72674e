"""Runs rounds: set up, arm, hold, release, and write down what was said."""

import contextlib
import random
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from perfchaos.race.lane import Lane, LaneError
from perfchaos.race.plan import RacePlan
from perfchaos.race.release import AnsweredEarly, Released, Reply, release
from perfchaos.race.rounds import Contender, Round, Said
from perfchaos.race.setting_up import Captured, NoRace, SettingUp, signing_key
from perfchaos.recording.layout import Outcome
from perfchaos.target.templates import Value, filled, unfilled
from perfchaos.workload.dialing import tls_context
from perfchaos.workload.rendering import Origin, renderer

REPLY_CHARACTERS_KEPT = 300
REQUEST_CHARACTERS_KEPT = 500
_CONTROL_NUMBER = (1 << 40) - 1  # far beyond every race of the run


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """A contender's request: its bytes, and what of it is kept as evidence."""

    name: str
    data: bytes

    @property
    def told(self) -> str:
        head, _, body = self.data.partition(b"\r\n\r\n")
        line = head.partition(b" HTTP/1.1\r\n")[0]
        return (line + b" " + body).decode(errors="replace").strip()[:REQUEST_CHARACTERS_KEPT]


class Racing:
    """Runs the rounds of one plan, over connections that are kept from round to round."""

    def __init__(self, plan: RacePlan) -> None:
        self._plan = plan
        tls = tls_context(ca_file=plan.tls_ca_file, verify=plan.tls_verify)
        self._set_up = SettingUp(plan, tls)
        self._tls = tls
        self._lanes = [self._lane() for _ in range(plan.contenders)]
        self._key = signing_key(plan.race.compete)
        self._won_when = re.compile((plan.race.won_when or "").encode())
        self._seen: set[str] = set()

    def run(self, number: int) -> Round:
        """Round `number`, from its set-up to its last reply. Raises nothing of the target's."""
        return self._round(number, self._release, control=False)

    def control(self) -> Round:
        """A round of two contenders, one after the other: what the replies are without a race."""
        return self._round(_CONTROL_NUMBER, self._one_after_another, control=True)

    def _round(
        self, number: int, send: Callable[[Sequence[_Request]], Released], *, control: bool
    ) -> Round:
        began_ns = time.monotonic_ns()
        key, problem = "", None
        contenders: tuple[Contender, ...] = ()
        released: Released | None = None
        try:
            fields = self._set_up(number)
            key = self._key_of(fields)
            requests = self._requests(number, fields)
            if control:
                requests = _two_of(requests)
            released = send(requests)
            contenders = tuple(map(self._contender, requests, released.replies))
        except NoRace as error:
            problem = str(error)
        return Round(
            number=number,
            key=key,
            began_ns=began_ns,
            released_ns=released.released_ns if released else None,
            ended_ns=time.monotonic_ns(),
            overlapped=released is not None and released.overlapped,
            problem=problem,
            contenders=contenders,
            control=control,
        )

    @property
    def sent_bytes(self) -> int:
        """What the contenders sent so far."""
        return sum(lane.sent_bytes for lane in self._lanes)

    @property
    def received_bytes(self) -> int:
        """What the contenders received so far."""
        return sum(lane.received_bytes for lane in self._lanes)

    def close(self) -> None:
        """Closes all connections."""
        self._set_up.close()
        for lane in self._lanes:
            lane.close()

    def _key_of(self, fields: Mapping[str, Captured]) -> str:
        """The round's name in the database, which no other round may have."""
        field = self._plan.race.round_field
        value = fields.get(field)
        if value is None or isinstance(value, tuple):
            raise NoRace(f"the set-up gave no single {field!r} to tell this round by")
        key = str(value)
        if key in self._seen:
            raise NoRace(f"the set-up gave {key} again, which was raced for before")
        self._seen.add(key)
        return key

    def _requests(self, number: int, fields: Mapping[str, Captured]) -> list[_Request]:
        """All requests in the order of their release, which the seed decides."""
        plan = self._plan
        draw = random.Random(f"perfchaos race {plan.seed} {number}")  # noqa: S311 - reproducible
        people = [_fields_of(index, fields) for index in range(plan.contenders - plan.duplicates)]
        people += draw.choices(people, k=plan.duplicates)
        draw.shuffle(people)
        return [self._request(number, person) for person in people]

    def _request(self, number: int, fields: Mapping[str, Value]) -> _Request:
        template = filled(self._plan.race.compete, fields)
        if missing := unfilled(template):
            raise NoRace(f"the set-up gave no {missing[0]!r} for the competing request")
        field = self._plan.race.contender_field
        if field not in fields:
            raise NoRace(f"the set-up gave no {field!r} to tell the contenders by")
        data = renderer(template, seed=self._plan.seed, key=self._key)(number)
        return _Request(name=str(fields[field]), data=data)

    def _release(self, requests: Sequence[_Request]) -> Released:
        problem = ""
        # A server may hang up on kept connections at any time. No request was complete then, so
        # nothing can have been decided, and new connections are worth a second try.
        for _ in range(2):
            try:
                return self._try(requests)
            except LaneError as error:
                problem = f"a contender could not connect: {error}"
            except AnsweredEarly:
                problem = "the target answered before the requests were complete"
            self._hang_up()
        raise NoRace(problem)

    def _try(self, requests: Sequence[_Request]) -> Released:
        timeout_s = self._plan.race.compete.timeout_s
        lasts = [
            lane.arm(request.data, timeout_s=timeout_s)
            for lane, request in zip(self._lanes, requests, strict=True)
        ]
        time.sleep(self._plan.hold_s + max(lane.connect_s for lane in self._lanes))
        return release(self._lanes, lasts, timeout_s=timeout_s)

    def _lane(self) -> Lane:
        origin = Origin.of(self._plan.race.compete.url)
        tls = self._tls if origin.tls else None
        return Lane(origin, tls, reply_bytes_max=self._plan.reply_bytes_max)

    def _one_after_another(self, requests: Sequence[_Request]) -> Released:
        released_ns, replies = time.monotonic_ns(), []
        # On a connection of its own, which is in nobody's account: it is no part of the load.
        with contextlib.closing(self._lane()) as lane:
            for request in requests:
                sent_ns, code, body = time.monotonic_ns(), 0, b""
                try:
                    timeout_s = self._plan.race.compete.timeout_s
                    code, body = lane.exchange(request.data, timeout_s=timeout_s)
                except LaneError as error:
                    code = int(error.failure)
                done_ns = time.monotonic_ns()
                replies.append(Reply(sent_ns=sent_ns, done_ns=done_ns, code=code, body=body))
        return Released(released_ns=released_ns, overlapped=False, replies=tuple(replies))

    def _hang_up(self) -> None:
        """Half a request may lie on these connections: they are of no use for the next."""
        for lane in self._lanes:
            lane.close()

    def _contender(self, request: _Request, reply: Reply) -> Contender:
        return Contender(
            name=request.name,
            request=request.told,
            sent_ns=reply.sent_ns,
            done_ns=reply.done_ns,
            code=reply.code,
            said=self._meaning(reply),
            reply=reply.body[:REPLY_CHARACTERS_KEPT].decode(errors="replace"),
        )

    def _meaning(self, reply: Reply) -> Said:
        race, status = self._plan.race, reply.code
        if status in race.won and self._won_when.search(reply.body):
            return Said.WON
        if status in race.won or status in race.lost:
            return Said.LOST
        if status >= 100 and race.compete.outcome_of(status) is Outcome.REFUSED:
            return Said.REFUSED
        return Said.NOTHING


def _two_of(requests: Sequence[_Request]) -> list[_Request]:
    """Two requests of different contenders."""
    first = requests[0]
    others = [one for one in requests if one.name != first.name]
    if not others:
        raise NoRace("there is only one contender")
    return [first, others[0]]


def _fields_of(index: int, fields: Mapping[str, Captured]) -> dict[str, Value]:
    """The fields of the contender `index`: its own items of lists, and what all have in common."""
    own: dict[str, Value] = {"contender": index + 1}
    for name, value in fields.items():
        if not isinstance(value, tuple):
            own[name] = value
        elif index < len(value):
            own[name] = value[index]
        else:
            raise NoRace(f"the set-up gave {len(value)} of {name!r}, too few for the contenders")
    return own
