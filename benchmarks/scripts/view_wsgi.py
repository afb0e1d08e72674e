"""A view that takes 4 ms, for any WSGI server."""

import time
from collections.abc import Callable, Iterable
from typing import Any

WORK_S = 0.004


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Reads the request, waits as for a database, and says ok."""
    environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    time.sleep(WORK_S)
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "2")])
    return [b"ok"]
