"""
A container engine, spoken to through the package docker and believed only after reading back.

Every call has a timeout, and every error names the container or the engine and the next step. A
container is known by its full id: one of the same name that was created anew is another container,
and is never harmed or healed in the place of the first.
"""

import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from perfchaos.errors import PerfchaosError, Unanswered

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

# Calls take 5 to 500 ms; one that has not answered after this hangs. Longer than any grace below.
_TIMEOUT_S = 15
_DEFAULT_ADDRESS = "unix:///var/run/docker.sock"

_CPU_PERIOD_US = 100_000
_BOUNDLESS_BYTES = 2**50

_PROJECT = "com.docker.compose.project"
_SERVICE = "com.docker.compose.service"


class EngineError(PerfchaosError):
    """The container engine cannot be used, or did not do what it was asked to."""


class EngineSilent(EngineError, Unanswered):
    """The container engine cannot be reached, or does not answer in time."""


class ContainerGone(EngineError):
    """There is no container of that id or name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    What a container may use; None is no limit.

    `memory_swap_bytes` is memory and swap together; it has no meaning without a memory limit.
    """

    memory_bytes: int | None
    memory_swap_bytes: int | None
    cpus: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A container on a network: how it is found there (`aliases`), and its address if fixed."""

    network: str
    network_id: str
    aliases: tuple[str, ...]
    fixed_ipv4: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerState:
    """
    One container as the engine reports it.

    `status` is created, running, paused, restarting, removing, exited or dead. `health` is None
    where the container has no health check. `restart_policy` is "no" where nothing starts it again.
    """

    id: str
    name: str
    image: str
    labels: Mapping[str, str]
    status: str
    started_at: str
    exit_code: int
    oom_killed: bool
    health: str | None
    restart_policy: str
    restart_count: int
    removed_when_down: bool
    attachments: tuple[Attachment, ...]
    limits: Limits

    @property
    def running(self) -> bool:
        """Whether its processes run (and are not paused)."""
        return self.status == "running"

    @property
    def down(self) -> bool:
        """Whether it has ended, and nothing is about to start it again."""
        return self.status in ("exited", "dead")

    @property
    def service(self) -> str | None:
        """Its compose service as `project/service`; None if it has none."""
        if _SERVICE not in self.labels:
            return None
        return f"{self.labels.get(_PROJECT, '')}/{self.labels[_SERVICE]}"

    def __str__(self) -> str:
        return f"container {self.name!r} ({self.id[:12]})"


def engine_address() -> str:
    """The engine that the environment names (`DOCKER_HOST`), else the one of this machine."""
    return os.environ.get("DOCKER_HOST") or _DEFAULT_ADDRESS


class ContainerEngine:
    """
    The engine at `address`; TLS as `DOCKER_TLS_VERIFY` and `DOCKER_CERT_PATH` say.

    Raises:
        EngineError: on entering, if the engine is not there or may not be used.

    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._client: docker.DockerClient | None = None

    def __enter__(self) -> Self:
        # Only who has to do with containers pays the quarter of a second that this import takes.
        import docker  # noqa: PLC0415

        with self._asking("the engine"):
            self._knock()
            self._client = docker.DockerClient.from_env(
                timeout=_TIMEOUT_S,
                environment={**os.environ, "DOCKER_HOST": self.address},
            )
            self._client.api.trust_env = False  # No HTTP_PROXY: the address is the address.
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._client is not None:
            self._client.close()

    def state(self, container: str) -> ContainerState:
        """The container of this id or name; raises ContainerGone if there is none."""
        return _state(self._get(container).attrs)

    def containers_of(self, service: str) -> tuple[ContainerState, ...]:
        """All containers, running or not, of a compose service: `service` or `project/service`."""
        project, _, name = service.rpartition("/")
        labels = [f"{_SERVICE}={name}"] + ([f"{_PROJECT}={project}"] if project else [])
        return self.labelled(*labels)

    def labelled(self, *labels: str) -> tuple[ContainerState, ...]:
        """All containers, running or not, that carry all of the labels, each `key=value`."""
        with self._asking(f"the containers labelled {', '.join(labels)}"):
            found = self._ready.containers.list(
                all=True, filters={"label": list(labels)}, ignore_removed=True
            )
            return tuple(_state(container.attrs) for container in found)

    def kill(self, container: str, signal: str) -> None:
        """Send a signal to the container's first process."""
        with self._asking(f"container {container[:12]}"):
            self._get(container).kill(signal=signal)

    def stop(self, container: str, grace_s: int) -> None:
        """Ask it to end, and kill it if it has not after `grace_s`; returns when it has ended."""
        with self._asking(f"container {container[:12]}"):
            self._get(container).stop(timeout=grace_s)

    def start(self, container: str) -> None:
        """Start it; does nothing if it runs."""
        with self._asking(f"container {container[:12]}"):
            self._get(container).start()

    def pause(self, container: str) -> None:
        """Freeze all its processes."""
        with self._asking(f"container {container[:12]}"):
            self._get(container).pause()

    def unpause(self, container: str) -> None:
        """Let its processes go on."""
        with self._asking(f"container {container[:12]}"):
            self._get(container).unpause()

    def disconnect(self, container: str, network_id: str) -> None:
        """Take it off a network."""
        with self._asking(f"network {network_id[:12]}"):
            self._ready.networks.get(network_id).disconnect(container)

    def connect(self, container: str, attachment: Attachment) -> None:
        """Put it back on a network, under the same aliases and its fixed address if it had one."""
        with self._asking(f"network {attachment.network!r}"):
            self._ready.networks.get(attachment.network_id).connect(
                container,
                aliases=list(attachment.aliases),
                ipv4_address=attachment.fixed_ipv4,
            )

    def limit(self, container: str, limits: Limits) -> None:
        """Set what it may use, at once and without a restart."""
        with self._asking(f"container {container[:12]}"):
            # The package's own call knows no CPUs by number, and drops what is 0.
            api = self._ready.api
            answer = api.post(
                f"{api.base_url}/v{api.api_version}/containers/{container}/update",
                json=_as_update(limits, self._get(container).attrs["HostConfig"]),
                timeout=_TIMEOUT_S,
            )
        if not answer.ok:
            raise EngineError(
                f"container {container[:12]} was not limited ({answer.json()['message']})",
                next_step="ask for limits that it can live within",
            )

    def empty(self, container: str, folder: str) -> None:
        """Delete all that is in a folder of a container that is down, on whatever volume it is."""
        with self._asking(f"container {container[:12]}"):
            self._ready.containers.run(
                self._get(container).attrs["Image"],
                entrypoint=["find", folder, "-mindepth", "1", "-delete"],
                volumes_from=[container],
                network_mode="none",
                user="root",
                remove=True,
            )

    def run_inside(self, container: str, command: Sequence[str]) -> tuple[int, str]:
        """Exit code and output of a command run in it as root, with rights over its network."""
        with self._asking(f"container {container[:12]}"):
            code, output = self._get(container).exec_run(
                list(command), user="root", privileged=True, environment={"LC_ALL": "C"}
            )
        return int(code), output.decode(errors="replace").strip()

    def last_words(self, container: str) -> str:
        """The end of its log."""
        with self._asking(f"container {container[:12]}"):
            log = self._get(container).logs(tail=3).decode(errors="replace")
        return " | ".join(log.strip().splitlines()) or "it logged nothing"

    def usage(self, container: str) -> Mapping[str, Any]:
        """The engine's own reading of what it uses, as a document; takes about a second."""
        with self._asking(f"container {container[:12]}"):
            usage: Mapping[str, Any] = self._get(container).stats(stream=False)
        return usage

    @property
    def _ready(self) -> "docker.DockerClient":
        assert self._client is not None, "use it within 'with'"
        return self._client

    def _knock(self) -> None:
        """See that somebody listens: the package loses its socket where nobody does."""
        scheme, _, path = self.address.partition("://")
        if scheme == "unix":
            with socket.socket(socket.AF_UNIX) as knocking:
                knocking.settimeout(_TIMEOUT_S)
                knocking.connect(path)

    def _get(self, container: str) -> "Container":
        with self._asking(f"container {container!r}"):
            return self._ready.containers.get(container)

    @contextmanager
    def _asking(self, what: str) -> Iterator[None]:
        """Turn what the package raises about `what` into errors of ours."""
        import requests  # noqa: PLC0415 - imported by docker anyway, and as late
        from docker.errors import APIError, DockerException, NotFound  # noqa: PLC0415

        try:
            yield
        except NotFound as error:
            raise ContainerGone(
                f"{what} is not there ({error.explanation})",
                next_step=f"see 'docker ps --all' of the engine at {self.address}",
            ) from None
        except APIError as error:
            raise EngineError(
                f"{what} refused ({error.explanation or error})",
                next_step=f"see its log and 'docker inspect' at {self.address}",
            ) from None
        except (DockerException, requests.RequestException, OSError) as error:
            raise self._unusable(error) from None

    def _unusable(self, error: Exception) -> EngineSilent:
        if isinstance(error, PermissionError):
            return EngineSilent(
                f"the container engine at {self.address} may not be used by this user",
                next_step="join the group that owns its socket (docker), or run this as root",
            )
        if isinstance(error, TimeoutError) or "timed out" in str(error):
            return EngineSilent(
                f"the container engine at {self.address} did not answer within {_TIMEOUT_S} s",
                next_step="see that it is healthy ('docker info')",
            )
        return EngineSilent(
            f"there is no container engine at {self.address}",
            next_step="start Docker, or set DOCKER_HOST to where it listens",
        )


def memory_used_bytes(usage: Mapping[str, Any]) -> float | None:
    """The memory in use, without the page cache that the kernel could take back at once."""
    memory = usage.get("memory_stats", {})
    if "usage" not in memory:
        return None  # It does not run.
    # The first is how version 2 of control groups names it, the second version 1.
    details = memory.get("stats", {})
    return float(
        memory["usage"] - details.get("inactive_file", details.get("total_inactive_file", 0))
    )


def cpus_used(usage: Mapping[str, Any]) -> float | None:
    """The cores in use between the two readings of a usage document."""
    now, before = usage.get("cpu_stats", {}), usage.get("precpu_stats", {})
    if "system_cpu_usage" not in now or "system_cpu_usage" not in before:
        return None  # It does not run, or only just does.
    machine = now["system_cpu_usage"] - before["system_cpu_usage"]
    own = now["cpu_usage"]["total_usage"] - before["cpu_usage"]["total_usage"]
    return float(own / machine * now["online_cpus"]) if machine > 0 else None


def _state(document: Mapping[str, Any]) -> ContainerState:
    state, host, config = document["State"], document["HostConfig"], document["Config"]
    return ContainerState(
        id=document["Id"],
        name=document["Name"].removeprefix("/"),
        image=config["Image"],
        labels=config["Labels"] or {},
        status=state["Status"],
        started_at=state["StartedAt"],
        exit_code=state["ExitCode"],
        oom_killed=state["OOMKilled"],
        health=state.get("Health", {}).get("Status"),
        restart_policy=host["RestartPolicy"]["Name"] or "no",
        restart_count=document["RestartCount"],
        removed_when_down=host["AutoRemove"],
        attachments=tuple(
            _attachment(name, facts, document["Id"])
            for name, facts in sorted(document["NetworkSettings"]["Networks"].items())
        ),
        limits=_limits(host),
    )


def _attachment(network: str, facts: Mapping[str, Any], container_id: str) -> Attachment:
    # The engine adds the short id as an alias by itself, and refuses to be given it.
    aliases = (alias for alias in facts["Aliases"] or () if alias != container_id[:12])
    return Attachment(
        network=network,
        network_id=facts["NetworkID"],
        aliases=tuple(aliases),
        fixed_ipv4=(facts["IPAMConfig"] or {}).get("IPv4Address"),
    )


def _limits(host: Mapping[str, Any]) -> Limits:
    memory_bytes, memory_swap_bytes = (
        host[key] if 0 < host[key] < _BOUNDLESS_BYTES else None for key in ("Memory", "MemorySwap")
    )
    cpus = None
    if host["NanoCpus"]:
        cpus = host["NanoCpus"] / 1e9
    elif host["CpuQuota"] > 0:
        cpus = host["CpuQuota"] / (host["CpuPeriod"] or _CPU_PERIOD_US)
    return Limits(
        memory_bytes=memory_bytes,
        memory_swap_bytes=memory_swap_bytes if memory_bytes else None,
        cpus=cpus,
    )


def _as_update(limits: Limits, host: Mapping[str, Any]) -> dict[str, int]:
    """
    The engine's update call that leads to `limits` from what `host` says now.

    A container that has once had CPUs by number takes no quota, and the other way round. A limit
    on memory cannot be lifted while it runs, so the limit is set where no machine reaches it.
    """
    present = _limits(host)
    update: dict[str, int] = {}
    if limits.cpus != present.cpus and host["NanoCpus"]:
        update |= {"NanoCpus": round((limits.cpus or 0) * 1e9)}
    elif limits.cpus != present.cpus:
        quota_us = round(limits.cpus * _CPU_PERIOD_US) if limits.cpus else -1
        update |= {"CpuPeriod": _CPU_PERIOD_US, "CpuQuota": quota_us}
    if limits.memory_bytes != present.memory_bytes:
        update |= {
            "Memory": limits.memory_bytes or _BOUNDLESS_BYTES,
            # Not -1: a runtime may then raise the first before the second, and the kernel refuse.
            "MemorySwap": limits.memory_swap_bytes or _BOUNDLESS_BYTES,
        }
    return update
