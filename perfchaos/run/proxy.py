"""The proxy before a dependency, seen to be the one that the target goes through."""

import logging

from perfchaos.errors import PerfchaosError
from perfchaos.faults import Proxied, proxied, require_no_redirects
from perfchaos.faults.services import Dependency
from perfchaos.observe.clients import clients_of
from perfchaos.run.scene import Scene

logger = logging.getLogger("chaostoolkit")

PAST_THE_PROXY = "clients past the proxy"
"""The event that tells of clients that a fault of the proxy will not touch."""


def behind_proxy(scene: Scene, dependency: Dependency) -> Proxied:
    """
    The target's Redis or Postgres behind its proxy, through which its clients come.

    Those that come past it are told in the timeline if there are others that do not.

    Raises:
        PerfchaosError: as `proxied` does; or a cluster redirects its clients past the proxy, or
            they all come past it, so that its fault would harm nothing and prove nothing.

    """
    target = scene.target
    on = proxied(target, dependency)
    if dependency == "redis" and target.redis is not None:
        require_no_redirects(target.redis, on.route)
    if scene.net.rehearse is not None:
        return on  # There is no load yet, and so nobody who must come through it.
    try:
        found = clients_of(target, on)
    except PerfchaosError as error:
        logger.info("Who comes past the proxy %r cannot be told: %s", on.proxy, error)
        return on
    if not found.past:
        return on
    who = ", ".join(found.who)
    if not found.through:
        raise PerfchaosError(
            f"every client of {dependency} comes past the proxy {on.proxy!r} ({who}): a fault of "
            "it would harm nothing",
            next_step=f"let the target reach {dependency} at {on.route.host}:{on.route.port}",
        )
    scene.timeline.record(
        PAST_THE_PROXY,
        dependency=dependency,
        count=found.past,
        through_count=found.through,
        who=who,
    )
    logger.warning(
        "%d of %d sessions at %s come past the proxy %r and are not harmed: %s",
        found.past,
        found.past + found.through,
        dependency,
        on.proxy,
        who,
    )
    return on
