"""
A server that holds every answer back until all contenders of a round are in, and tells their skew.

Each request names its round and how many contend in it; the skew is taken from the kernel's time of
the last bytes (SO_TIMESTAMPNS), so that this program's own speed does not matter.
"""

import re
import selectors
import socket
import struct
import sys
from collections import defaultdict

SO_TIMESTAMPNS = 35
ROUND = re.compile(rb"[Xx]-[Rr]ound: (\d+)/(\d+)")
LENGTH = re.compile(rb"[Cc]ontent-[Ll]ength: (\d+)")

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024)
# Connections inherit it, so that their first bytes have a time too.
listener.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
selector = selectors.DefaultSelector()
selector.register(listener, selectors.EVENT_READ)
buffers: dict[socket.socket, bytes] = defaultdict(bytes)
rounds: dict[bytes, dict[socket.socket, int]] = defaultdict(dict)


def main() -> None:
    print("ready", flush=True)
    selector.register(sys.stdin, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                return
            if key.fileobj is listener:
                accept()
            else:
                read(key.fileobj)


def accept() -> None:
    connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    selector.register(connection, selectors.EVENT_READ)


def read(connection: socket.socket) -> None:
    data, ancillary, _, _ = connection.recvmsg(65_536, 64)
    if not data:
        selector.unregister(connection)
        connection.close()
        buffers.pop(connection, None)
        return
    buffers[connection] += data
    head, separator, body = buffers[connection].partition(b"\r\n\r\n")
    length = LENGTH.search(head)
    if not separator or len(body) < (int(length[1]) if length else 0):
        return
    del buffers[connection]
    seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
    arrive(connection, head, seconds * 1_000_000_000 + nanoseconds)


def arrive(connection: socket.socket, head: bytes, at_ns: int) -> None:
    found = ROUND.search(head)
    if found is None:
        answer(connection, 0)
        return
    here = rounds[found[1]]
    here[connection] = at_ns
    if len(here) == int(found[2]):
        del rounds[found[1]]
        for contender in here:
            answer(contender, max(here.values()) - min(here.values()))


def answer(connection: socket.socket, skew_ns: int) -> None:
    body = b"%d" % skew_ns
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))


if __name__ == "__main__":
    main()
