"""Programs that come inside Python packages, for machines that have none of their own."""

import importlib.util
from pathlib import Path


def packaged_file(package: str, path: str) -> str | None:
    """The path of a file inside an installed package; None where that is not installed."""
    spec = importlib.util.find_spec(package)
    folders = (spec.submodule_search_locations if spec is not None else None) or []
    return next((str(found) for folder in folders if (found := Path(folder) / path).exists()), None)
