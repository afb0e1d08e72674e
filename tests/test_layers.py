"""The house stands one way: every import goes down, and none goes in a circle."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# From the run down to the clock. A room may import from rooms further down, and from itself.
ORDER = (
    ("experiments",),
    ("probes", "actions"),
    ("perfchaos.cli",),
    ("perfchaos.control",),
    ("perfchaos.report",),
    ("perfchaos.run",),
    ("perfchaos.measure",),
    ("perfchaos.ledger", "perfchaos.race", "perfchaos.observe"),
    ("perfchaos.safety",),
    ("perfchaos.faults", "perfchaos.stack"),
    ("perfchaos.verdict",),
    ("perfchaos.redis_client", "perfchaos.postgres_client"),
    ("perfchaos.target",),
    ("perfchaos.workload",),
    ("perfchaos.recording",),
    ("perfchaos.phases",),
    ("perfchaos.timeline", "perfchaos.processes", "perfchaos.containers"),
    ("perfchaos.process_table", "perfchaos.sockets", "perfchaos.launches"),
    ("perfchaos.places", "perfchaos.errors", "perfchaos.sqlstates", "perfchaos.figures"),
)
# The system under test stands apart: it knows nothing of what is done to it.
REFERENCE = "perfchaos.reference"
RANK = {room: rank for rank, rooms in enumerate(ORDER) for room in rooms}


def room_of(module: str) -> str | None:
    """The room a module of ours is in; None for a module of somebody else's."""
    parts = module.split(".")
    if parts[0] in ("probes", "actions"):
        return parts[0]
    return ".".join(parts[:2]) if parts[0] == "perfchaos" and len(parts) > 1 else None


def modules() -> dict[str, Path]:
    found = {}
    for top in ("perfchaos", "probes", "actions"):
        for path in sorted((ROOT / top).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found[name.removesuffix(".__init__")] = path
    return found


MODULES = modules()
MODULE_NAMES = set(MODULES)


def imports(path: Path) -> set[str]:
    """Every module that the file imports, wherever in the file it does so."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            # `from package import module` is an import of the module, not of its package.
            found |= inner if inner <= MODULE_NAMES else {node.module}
    return found


@pytest.mark.parametrize("module", MODULES)
def test_no_import_runs_up(module: str) -> None:
    room = room_of(module)
    for imported in imports(MODULES[module]):
        other = room_of(imported)
        if room is None or other is None or other == room:
            continue
        if REFERENCE in (room, other):
            allowed = room == REFERENCE and other == "perfchaos.errors"
            allowed |= room == "perfchaos.stack"  # It starts the reference, as anybody could.
            assert allowed, f"{module} imports {imported}"
        else:
            assert room in RANK, f"{room} has no place in the order: give it one"
            assert RANK[other] > RANK[room], f"{module} imports {imported}, which is not below it"


def test_no_import_goes_in_a_circle() -> None:
    graph = {
        module: {name for name in imports(path) if name in MODULES and name != module}
        for module, path in MODULES.items()
    }
    # A package's __init__ re-exports its own modules, and they do not import it.
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


def test_only_the_control_knows_chaos_toolkit() -> None:
    knowing = {name for name, path in MODULES.items() if "chaoslib" in str(imports(path))}
    assert knowing == {"perfchaos.control"}


def test_actions_do_not_probe_and_probes_do_not_act() -> None:
    for module, path in MODULES.items():
        rooms = {room_of(name) for name in imports(path)}
        if module.startswith("actions"):
            assert "probes" not in rooms, module
        if module.startswith("probes"):
            assert "actions" not in rooms, module


def test_the_folder_toxiproxy_is_no_package() -> None:
    # With an __init__.py it would shadow the client library of that name.
    assert (ROOT / "toxiproxy").is_dir()
    assert not (ROOT / "toxiproxy" / "__init__.py").exists()
