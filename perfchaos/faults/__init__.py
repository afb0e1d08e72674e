"""Faults: named, reversible harms to one dependency, and the witness that sees them."""

from perfchaos.containers import ContainerEngine, ContainerState, engine_address
from perfchaos.faults.by_handle import frozen, held, killed
from perfchaos.faults.changing_toxic import ChangingToxic
from perfchaos.faults.container import Contained, Container, contained
from perfchaos.faults.container_cut_off import ContainerCutOff
from perfchaos.faults.container_impaired import ContainerImpaired
from perfchaos.faults.container_killed import ContainerKilled
from perfchaos.faults.container_paused import ContainerPaused
from perfchaos.faults.container_squeezed import ContainerSqueezed
from perfchaos.faults.container_stopped import ContainerStopped
from perfchaos.faults.controlled import Controlled, controlled
from perfchaos.faults.disabled_proxy import DisabledProxy
from perfchaos.faults.ended_process import EndedProcess
from perfchaos.faults.fault import (
    Fault,
    FaultNotSeen,
    FaultVanished,
    Labelled,
    NotHealed,
    Reach,
    Undo,
)
from perfchaos.faults.paused_process import PausedProcess
from perfchaos.faults.proxied import Proxied, proxied
from perfchaos.faults.redirects import require_no_redirects
from perfchaos.faults.toxic import Toxic
from perfchaos.faults.toxiproxy_client import ToxiproxyAddress, ToxiproxyError, ToxiproxyServer
from perfchaos.faults.witness import Fate, Route, Sighting, Symptom, Witness

__all__ = [
    "ChangingToxic",
    "Contained",
    "Container",
    "ContainerCutOff",
    "ContainerEngine",
    "ContainerImpaired",
    "ContainerKilled",
    "ContainerPaused",
    "ContainerSqueezed",
    "ContainerState",
    "ContainerStopped",
    "Controlled",
    "DisabledProxy",
    "EndedProcess",
    "Fate",
    "Fault",
    "FaultNotSeen",
    "FaultVanished",
    "Labelled",
    "NotHealed",
    "PausedProcess",
    "Proxied",
    "Reach",
    "Route",
    "Sighting",
    "Symptom",
    "Toxic",
    "ToxiproxyAddress",
    "ToxiproxyError",
    "ToxiproxyServer",
    "Undo",
    "Witness",
    "contained",
    "controlled",
    "engine_address",
    "frozen",
    "held",
    "killed",
    "proxied",
    "require_no_redirects",
]
