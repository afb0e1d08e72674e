"""Asks the database, around the proxy, who holds what the rounds were about, and what followed."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from perfchaos.errors import PerfchaosError
from perfchaos.postgres_client import Connection, Login, connected
from perfchaos.race.oracles import Held
from perfchaos.target import Race

ROUNDS_A_QUERY = 5_000
# Both queries see the same moment: an effect seen later than its holder would be no finding.
ONE_MOMENT = (
    "-c default_transaction_isolation=repeatable\\ read -c default_transaction_read_only=on"
)


def held_by_database(login: Login, race: Race, keys: Sequence[str]) -> Mapping[str, Held]:
    """
    What is held of the rounds `keys`; a round of which nothing is held is left out.

    Raises:
        PerfchaosError: Postgres cannot be asked, or a query does not give rows of (round,
            contender) for the rounds it was asked about.

    """
    holders: defaultdict[str, list[str]] = defaultdict(list)
    effects: defaultdict[str, list[str]] = defaultdict(list)
    with connected(login, "who won", options=ONE_MOMENT) as connection, connection.transaction():
        for start in range(0, len(keys), ROUNDS_A_QUERY):
            some = list(keys[start : start + ROUNDS_A_QUERY])
            for key, name in _rows(connection, "holders", race.holders_query, some):
                holders[key].append(name)
            for key, name in _rows(connection, "effects", race.effects_query, some):
                effects[key].append(name)
    return {
        key: Held(holders=tuple(holders.get(key, ())), effects=tuple(effects.get(key, ())))
        for key in holders.keys() | effects.keys()
    }


def _rows(
    connection: Connection, name: str, query: str, keys: list[str]
) -> Iterator[tuple[str, str]]:
    answer = connection.execute(query.encode(), {"rounds": keys})
    asked = set(keys)
    if answer.description is None or len(answer.description) != 2:
        raise _wrong(name, "does not give two columns")
    for key, contender in answer:
        if str(key) not in asked:
            raise _wrong(name, f"gives the round {key}, which it was not asked about")
        if contender is None:
            raise _wrong(name, f"gives no contender for the round {key}")
        yield str(key), str(contender)


def _wrong(name: str, what: str) -> PerfchaosError:
    return PerfchaosError(
        f"the query race.{name} {what}",
        next_step="let it SELECT the round and the contender, WHERE the round = ANY(%(rounds)s)",
    )
