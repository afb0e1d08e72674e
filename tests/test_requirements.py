"""The pinned requirements: complete, hashed, and silent about where they come from."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
GROUPS = PYPROJECT["dependency-groups"]
WANTED = {
    "dev.txt": [
        *PYPROJECT["project"]["dependencies"],
        *PYPROJECT["build-system"]["requires"],
        *GROUPS["dev"],
    ],
    "embedded.txt": GROUPS["embedded"],
    "go.txt": GROUPS["go"],
}
FILES = sorted(PROJECT.glob("requirements/*.txt"))


def pinned(text: str) -> dict[str, str]:
    """Names and versions, of the lines that are not hashes."""
    lines = [line.partition(" ;")[0].removesuffix(" \\") for line in text.splitlines()]
    pins = [line.split("==") for line in lines if not line.startswith("    --hash=")]
    return {canonicalize_name(name): version for name, version in pins}


@pytest.mark.parametrize("name", WANTED)
def test_what_the_project_asks_for_is_pinned(name: str) -> None:
    pins = pinned((PROJECT / "requirements" / name).read_text())
    for wanted in map(Requirement, WANTED[name]):
        version = pins.get(canonicalize_name(wanted.name))
        assert version is not None, f"{wanted.name}: run 'make requirements'"
        assert wanted.specifier.contains(version), f"{wanted}: run 'make requirements'"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_pin_is_hashed_and_names_no_host(path: Path) -> None:
    text = path.read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
    assert not re.search(r"^--(?!hash)|^-[ief]", text, re.MULTILINE)
