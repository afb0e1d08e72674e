"""Toxiproxy between the service and its two dependencies."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from perfchaos.errors import PerfchaosError
from perfchaos.launches import Launch, write_private
from perfchaos.stack.http import get
from perfchaos.stack.ports import HOST, Ports
from perfchaos.stack.server import Server, base_environment, log_file
from perfchaos.stack.toxiproxy_program import find_toxiproxy

# Configuration, not code, so it lies at the top of the project.
PROXIES_FILE = Path(__file__).parents[2] / "toxiproxy" / "proxies.json"


def toxiproxy_server(stack_dir: Path, *, ports: Ports, tell: Callable[[str], None]) -> Server:
    """
    The Toxiproxy of a stack, populated from its configuration at every start.

    Raises PerfchaosError if there is none and none can be built; a build is announced by `tell`.
    """
    configuration = stack_dir / "proxies.json"
    proxies = proxies_between(
        {
            "redis": (f"{HOST}:{ports.redis_proxy}", f"{HOST}:{ports.redis}"),
            "postgres": (f"{HOST}:{ports.postgres_proxy}", f"{HOST}:{ports.postgres}"),
        }
    )

    def prepare() -> None:
        write_private(configuration, json.dumps(proxies, indent=2) + "\n")

    def problem() -> str | None:
        try:
            status, body = get(ports.toxiproxy, "/proxies")
            known = json.loads(body) if status == 200 else {}
        except (OSError, ValueError) as error:
            return str(error)
        missing = [str(proxy["name"]) for proxy in proxies if proxy["name"] not in known]
        return f"it has no proxy {' and '.join(missing)}" if missing else None

    return Server(
        name="toxiproxy",
        listens=("toxiproxy", "redis_proxy", "postgres_proxy"),
        launch=Launch(
            argv=(
                str(find_toxiproxy(tell)),
                *("-host", HOST, "-port", str(ports.toxiproxy)),
                *("-config", str(configuration)),
            ),
            cwd=str(stack_dir),
            log=log_file(stack_dir, "toxiproxy"),
            environment=base_environment(),
        ),
        prepare=prepare,
        problem=problem,
    )


def proxies_between(routes: Mapping[str, tuple[str, str]]) -> list[dict[str, str | bool]]:
    """
    The project's proxies, each between its listening address and its upstream in `routes`.

    Raises PerfchaosError if their configuration cannot be read.
    """
    try:
        proxies: list[dict[str, str | bool]] = json.loads(PROXIES_FILE.read_text())
    except (OSError, ValueError) as error:
        raise PerfchaosError(
            f"{PROXIES_FILE} cannot be read ({error})",
            next_step="run 'perfchaos up' from a clone of the project that has it",
        ) from error
    for proxy in proxies:
        proxy["listen"], proxy["upstream"] = routes[str(proxy["name"])]
    return proxies
