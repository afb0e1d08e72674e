"""
Releases the usual way, for comparison: `race_clients.py CLIENT PORT CONTENDERS ROUNDS`.

CLIENT is `threads, http.client` or `threads, requests` (a connection or session each, and a
barrier), `aiohttp` or `httpx` (asyncio.gather over one client). Connections are kept and warm; the
first rounds are not told.
Prints the skew of each round in nanoseconds, as the server saw it.
"""

import asyncio
import http.client
import sys
import threading
from collections.abc import Awaitable, Callable

BODY = b'{"vendor_id": 12345}'
WARM_UP_COUNT = 3

Send = Callable[[str], str]
SendSoon = Callable[[str], Awaitable[str]]


def threads(connect: Callable[[], Send], contenders: int, rounds: int) -> None:
    barrier = threading.Barrier(contenders)

    def contend(index: int) -> None:
        send = connect()
        for number in range(rounds + WARM_UP_COUNT):
            barrier.wait()
            skew = send(f"{number}/{contenders}")
            if index == 0 and number >= WARM_UP_COUNT:
                print(skew)

    crowd = [threading.Thread(target=contend, args=(index,)) for index in range(contenders)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()


def by_http_client(port: int) -> Send:
    connection = http.client.HTTPConnection("127.0.0.1", port)

    def send(name: str) -> str:
        connection.request("POST", "/", BODY, {"X-Round": name})
        return connection.getresponse().read().decode()

    return send


def by_requests(port: int) -> Send:
    import requests  # noqa: PLC0415 - only the client asked for need be there

    session, url = requests.Session(), f"http://127.0.0.1:{port}/"

    def send(name: str) -> str:
        return session.post(url, data=BODY, headers={"X-Round": name}, timeout=60).text

    return send


async def gather(send: SendSoon, contenders: int, rounds: int) -> None:
    for number in range(rounds + WARM_UP_COUNT):
        told = await asyncio.gather(*(send(f"{number}/{contenders}") for _ in range(contenders)))
        if number >= WARM_UP_COUNT:
            print(told[0])


async def with_aiohttp(port: int, contenders: int, rounds: int) -> None:
    import aiohttp  # noqa: PLC0415 - as above

    connector = aiohttp.TCPConnector(limit=contenders)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def send(name: str) -> str:
            headers = {"X-Round": name}
            url = f"http://127.0.0.1:{port}/"
            async with session.post(url, data=BODY, headers=headers) as reply:
                return await reply.text()

        await gather(send, contenders, rounds)


async def with_httpx(port: int, contenders: int, rounds: int) -> None:
    import httpx  # noqa: PLC0415 - as above

    limits = httpx.Limits(max_connections=contenders, max_keepalive_connections=contenders)
    async with httpx.AsyncClient(limits=limits, timeout=60) as client:

        async def send(name: str) -> str:
            url = f"http://127.0.0.1:{port}/"
            return (await client.post(url, content=BODY, headers={"X-Round": name})).text

        await gather(send, contenders, rounds)


def main() -> None:
    client, *numbers = sys.argv[1:]
    port, contenders, rounds = map(int, numbers)
    if client.startswith("threads"):
        connect = {"http.client": by_http_client, "requests": by_requests}[client.split(", ")[1]]
        threads(lambda: connect(port), contenders, rounds)
    else:
        run = {"aiohttp": with_aiohttp, "httpx": with_httpx}[client]
        asyncio.run(run(port, contenders, rounds))


if __name__ == "__main__":
    main()
