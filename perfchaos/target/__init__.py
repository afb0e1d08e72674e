"""
The system under test, as data: one YAML file that every experiment reads.

Reading the file is `perfchaos.target.loading`, apart from the records: the watchdog, which must be
up in no time, needs only these.
"""

from perfchaos.target.records import (
    BlastRadius,
    Container,
    Handle,
    Postgres,
    Queue,
    Race,
    Redis,
    SetUpRequest,
    SetUpStatement,
    Target,
    Toxiproxy,
)

__all__ = [
    "BlastRadius",
    "Container",
    "Handle",
    "Postgres",
    "Queue",
    "Race",
    "Redis",
    "SetUpRequest",
    "SetUpStatement",
    "Target",
    "Toxiproxy",
]
