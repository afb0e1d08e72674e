"""What a race process is to do, as a frozen record and as JSON; it holds no secret."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from perfchaos.errors import InvalidInput
from perfchaos.postgres_client import Login
from perfchaos.target import Race
from perfchaos.target.templates import race_mistakes
from perfchaos.workload import strict_json

CONTENDERS_MAX = 1_000
ROUNDS_MAX = 1_000_000
HOLD_MAX_S = 10.0
_GRACE_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RacePlan:
    """
    `rounds` rounds of `contenders` each, one after another; None until stopped.

    `duplicates` of the contenders are second requests of others: a retry, or a delivery that came
    twice. Requests are held back without their last byte for `hold_s` and the time it took to
    connect, so that the target has read all the rest. `seed` decides the order of every release.
    `database` is where set-up statements run.
    """

    race: Race
    database: Login
    contenders: int
    rounds: int | None
    seed: int
    duplicates: int = 0
    hold_s: float = 0.005
    reply_bytes_max: int = 1024 * 1024
    tls_verify: bool = True
    tls_ca_file: str | None = None

    @property
    def program(self) -> str:
        """The module that runs it."""
        return "perfchaos.race"

    @property
    def drain_s(self) -> float:
        """How long the round under way may take to end."""
        return sum(request.timeout_s for request in self.race.requests()) + _GRACE_S

    def mistakes(self) -> list[str]:
        """What is wrong with it, in words."""
        found = [f"race.{mistake}" for mistake in race_mistakes(self.race)]
        found += size_mistakes(self.contenders, self.rounds, self.duplicates)
        if not 0 <= self.hold_s <= HOLD_MAX_S:
            found.append(f"hold_s {self.hold_s:g} is not between 0 and {HOLD_MAX_S:g}")
        if not 0 <= self.seed < 1 << 63:
            found.append(f"seed {self.seed} is not between 0 and 2^63")
        return found

    def check(self, environment: Mapping[str, str] = os.environ) -> None:
        """Raises InvalidInput with every mistake, a missing secret or CA file included."""
        found = self.mistakes()
        named = [r.signing.secret_env for r in self.race.requests() if r.signing is not None]
        named += [h.env for request in self.race.requests() for h in request.secret_headers]
        if self.database.password_env is not None:
            named.append(self.database.password_env)
        found += [
            f"the environment variable {name} is not set"
            for name in dict.fromkeys(named)
            if not environment.get(name)
        ]
        if self.tls_ca_file is not None and not os.path.isfile(self.tls_ca_file):  # noqa: PTH113
            found.append(f"tls_ca_file {self.tls_ca_file} is not a file")
        if found:
            raise InvalidInput("the race plan", found, next_step="correct them and start again")

    def to_json(self) -> object:
        """The plan as JSON data; `from_json` gives back an equal plan."""
        return strict_json.to_json(self)

    @classmethod
    def from_json(cls, data: object) -> "RacePlan":
        """The plan in JSON data. Raises InvalidInput with all mistakes."""
        mistakes: list[str] = []
        plan = strict_json.read(cls, data, where="plan", mistakes=mistakes)
        if plan is not None:
            mistakes += plan.mistakes()
        if plan is None or mistakes:
            raise InvalidInput("the race plan", mistakes, next_step="correct it and start again")
        return plan


def size_mistakes(contenders: int, rounds: int | None, duplicates: int) -> list[str]:
    """What is wrong with the size of a race, in words."""
    found = []
    if not 2 <= contenders <= CONTENDERS_MAX:
        found.append(f"contenders: {contenders} is not between 2 and {CONTENDERS_MAX}")
    if rounds is not None and not 1 <= rounds <= ROUNDS_MAX:
        found.append(f"rounds: {rounds} is not between 1 and {ROUNDS_MAX}")
    if not 0 <= duplicates < contenders:
        found.append(f"duplicates: {duplicates} is not below the number of contenders")
    return found
