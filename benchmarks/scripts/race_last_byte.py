"""The project's own release: `race_last_byte PORT CONTENDERS ROUNDS`; see race_clients.py."""

import sys
import time
from contextlib import ExitStack

from perfchaos.race.lane import Lane
from perfchaos.race.release import release
from perfchaos.workload.rendering import Origin

BODY = b'{"vendor_id": 12345}'
WARM_UP_COUNT = 3
HOLD_S = 0.005
TIMEOUT_S = 30.0


def main() -> None:
    port, contenders, rounds = map(int, sys.argv[1:])
    origin = Origin.of(f"http://127.0.0.1:{port}")
    with ExitStack() as closing:
        lanes = [Lane(origin, None, reply_bytes_max=1024) for _ in range(contenders)]
        for lane in lanes:
            closing.callback(lane.close)
        for number in range(rounds + WARM_UP_COUNT):
            data = _request(number, contenders)
            lasts = [lane.arm(data, timeout_s=TIMEOUT_S) for lane in lanes]
            time.sleep(HOLD_S)
            released = release(lanes, lasts, timeout_s=TIMEOUT_S)
            if number >= WARM_UP_COUNT:
                print(released.replies[0].body.decode())


def _request(number: int, contenders: int) -> bytes:
    head = f"POST / HTTP/1.1\r\nHost: bench\r\nX-Round: {number}/{contenders}\r\n"
    return f"{head}Content-Length: {len(BODY)}\r\n\r\n".encode() + BODY


if __name__ == "__main__":
    main()
