"""The target's services, as faults and the witness need them."""

from typing import TYPE_CHECKING, Literal

from perfchaos.errors import PerfchaosError
from perfchaos.faults.witness import Route

if TYPE_CHECKING:
    from perfchaos.target import Postgres, Redis, Target

type Dependency = Literal["redis", "postgres"]


def service(target: "Target", dependency: Dependency) -> "Redis | Postgres":
    """
    The target's Redis or Postgres.

    Raises:
        PerfchaosError: it has none.

    """
    found = target.redis if dependency == "redis" else target.postgres
    if found is None:
        raise PerfchaosError(
            f"target {target.name!r} has no {dependency}",
            next_step=f"give {target.path} a {dependency} section",
        )
    return found


def route_to(target: "Target", dependency: Dependency, *, host: str, port: int) -> Route:
    """How the target's Redis or Postgres is asked at this address, its own or a proxy's."""
    if dependency == "redis" and target.redis is not None:
        return Route(protocol="redis", host=host, port=port, tls=target.redis.tls)
    if dependency == "postgres" and target.postgres is not None:
        return Route(
            protocol="postgres",
            host=host,
            port=port,
            user=target.postgres.user,
            database=target.postgres.database,
        )
    return Route(protocol="tcp", host=host, port=port)
