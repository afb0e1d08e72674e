"""
Two servers of the standard library with a view that takes 4 ms: `plain_server.py KIND PORT`.

`threads` gives each connection a thread of its own, as long as it lives. `one` serves one
connection at a time and closes it after the reply.
"""

import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer

WORK_S = 0.004


class View(BaseHTTPRequestHandler):
    """Reads the request, waits as for a database, and says ok."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(WORK_S)
        # In one piece: body and head sent apart would wait for each other's acknowledgement.
        version = self.protocol_version.encode()
        self.wfile.write(version + b" 200 OK\r\nContent-Length: 2\r\n\r\nok")

    def log_message(self, *_: object) -> None:
        """Nothing is logged."""


def main() -> None:
    """Serves until it is killed."""
    kind, port = sys.argv[1:]
    server_class = {"threads": ThreadingHTTPServer, "one": HTTPServer}[kind]
    View.protocol_version = {"threads": "HTTP/1.1", "one": "HTTP/1.0"}[kind]
    server_class.request_queue_size = 512
    server_class(("127.0.0.1", int(port)), View).serve_forever()


if __name__ == "__main__":
    main()
