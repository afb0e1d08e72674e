"""The target file of the running reference system, so that `chaos run` finds it by itself."""

from pathlib import Path

import yaml

from perfchaos.launches import write_private
from perfchaos.stack.ports import HOST, Ports
from perfchaos.stack.postgres_server import DATABASE, USER
from perfchaos.stack.server import secrets_file

TARGET_NAME = "reference"
# What compose.yaml puts on every container that may be harmed.
BLAST_RADIUS_LABEL = "perfchaos.blast-radius"

_QUEUE = {"key": "orders:queue", "kind": "stream", "group": "workers"}
_BODY = (
    '{"message_id": "{uuid}", "from": "+49170{n}", "type": "text", "text": "order {n}",'
    ' "sent_at": "{now}"}'
)
_LEDGER = (
    "SELECT message_id, count(*) FROM order_effects"
    " WHERE message_id >= %(first)s AND message_id <= %(last)s GROUP BY message_id"
)

_HOLDERS = (
    "SELECT order_id, vendor_id FROM vendor_responses"
    " WHERE response = 'accepted' AND order_id = ANY(%(rounds)s::uuid[])"
)
_EFFECTS = "SELECT order_id, vendor_id FROM assignments WHERE order_id = ANY(%(rounds)s::uuid[])"


def write_target(stack_dir: Path, *, ports: Ports, project: str | None = None) -> Path:
    """
    Write the target file of this stack; secrets only by the names of their variables.

    `project` is the compose project of its containers, None where they are processes.
    """

    def control(name: str) -> str:
        return f"compose:{project}/{name}" if project else f"process:{stack_dir / f'{name}.pid'}"

    def upstream(name: str, port: int) -> dict[str, str]:
        """What Toxiproxy calls it in the containers' own network."""
        return {"upstream": f"{name}:{port}"} if project else {}

    service = f"http://{HOST}:{ports.service}"
    target = {
        "name": TARGET_NAME,
        "secrets_file": secrets_file(stack_dir).name,
        "webhook": {
            "method": "POST",
            "url": f"{service}/webhooks/whatsapp",
            "headers": {"Content-Type": "application/json"},
            "body": _BODY,
            "signing": {
                "header": "X-Hub-Signature-256",
                "prefix": "sha256=",
                "secret_env": "WEBHOOK_SECRET",
            },
            "acknowledged": [200, 202],
            "timeout_s": 2,
        },
        "health": {"url": f"{service}/health"},
        "redis": {
            "host": HOST,
            "port": ports.redis,
            "password_env": "REDIS_PASSWORD",
            "proxy": "redis",
            **upstream("redis", 6379),
            "queue": _QUEUE,
            "control": control("redis"),
        },
        "postgres": {
            "host": HOST,
            "port": ports.postgres,
            "database": DATABASE,
            "user": USER,
            "password_env": "POSTGRES_PASSWORD",
            "proxy": "postgres",
            **upstream("postgres", 5432),
            "control": control("postgres"),
        },
        "toxiproxy": {
            "url": f"http://{HOST}:{ports.toxiproxy}",
            "control": control("toxiproxy"),
        },
        "ledger": {"query": _LEDGER},
        "race": _race(service),
        "blast_radius": {
            "proxies": ["redis", "postgres"],
            "services": ["redis", "postgres"],
            "containers": [
                {"name": f"{project}-{name}", "label": f"{BLAST_RADIUS_LABEL}={project}"}
                for name in ("postgres", "redis", "toxiproxy", "service", "worker")
                if project
            ],
            "addresses": [HOST, *(("redis", "postgres") if project else ())],
            "longest_fault_s": 120,
        },
    }
    path = stack_dir / "target.yaml"
    write_private(path, yaml.safe_dump(target, sort_keys=False, width=100))
    return path


def _race(service: str) -> dict[str, object]:
    """Vendors accept an order that was routed to all of them."""
    json_type = {"Content-Type": "application/json"}
    return {
        "set_up": [
            {
                "request": {
                    "url": f"{service}/orders",
                    "headers": json_type,
                    "body": '{"order_id": "{uuid}", "vendors": {contenders}}',
                    "acknowledged": [201],
                    "timeout_s": 2,
                },
                "capture": {"order_id": "order_id", "vendor_id": "vendor_ids"},
            }
        ],
        "compete": {
            "url": f"{service}/orders/{{order_id}}/accept",
            "headers": json_type,
            "body": '{"vendor_id": {vendor_id}}',
            "timeout_s": 2,
        },
        "won": [200],
        "lost": [409],
        "round": "order_id",
        "contender": "vendor_id",
        "holders": _HOLDERS,
        "effects": _EFFECTS,
    }
