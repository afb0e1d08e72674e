"""
One request of the benchmark in a Python HTTP client: `client.py aiohttp` or `client.py httpx`.

Closed with VUS workers, or open at RATE with latency from the intended instant.
"""

import asyncio
import hashlib
import hmac
import json
import os
import sys
import time
import uuid

import uvloop

URL, KEY = os.environ["URL"], os.environ.get("KEY", "").encode()
SIGNED = os.environ["SIGNED"] == "1"
VUS, DURATION_S = int(os.environ["VUS"]), float(os.environ["DURATION_S"])
FILLER = "x" * 380
STILL = json.dumps({"id": "0" * 36, "text": FILLER}).encode()
latencies_ms = []


def request():
    if not SIGNED:
        return STILL, {"Content-Type": "application/json"}
    body = json.dumps({"id": str(uuid.uuid4()), "text": FILLER}).encode()
    signature = hmac.new(KEY, body, hashlib.sha256).hexdigest()
    return body, {"Content-Type": "application/json", "X-Signature": f"sha256={signature}"}


async def once(post, intended_s):
    body, headers = request()
    await post(body, headers)
    latencies_ms.append((time.monotonic() - intended_s) * 1000)


async def closed(post):
    end_s = time.monotonic() + DURATION_S

    async def worker():
        while (now_s := time.monotonic()) < end_s:
            await once(post, now_s)

    await asyncio.gather(*(worker() for _ in range(VUS)))


async def opened(post, rate):
    start_s, tasks = time.monotonic(), set()
    for n in range(int(rate * DURATION_S)):
        due_s = start_s + n / rate
        if (wait_s := due_s - time.monotonic()) > 0:
            await asyncio.sleep(wait_s)
        task = asyncio.create_task(once(post, due_s))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.wait(tasks, timeout=15)


async def drive(post):
    await (opened(post, float(os.environ["RATE"])) if "RATE" in os.environ else closed(post))


async def with_aiohttp():
    import aiohttp  # noqa: PLC0415 - only one of the two is measured

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=VUS)) as session:

        async def post(body, headers):
            async with session.post(URL, data=body, headers=headers) as reply:
                await reply.read()

        await drive(post)


async def with_httpx():
    import httpx  # noqa: PLC0415

    limits = httpx.Limits(max_connections=VUS, max_keepalive_connections=VUS)
    async with httpx.AsyncClient(limits=limits, timeout=30) as session:

        async def post(body, headers):
            await session.post(URL, content=body, headers=headers)

        await drive(post)


uvloop.run({"aiohttp": with_aiohttp, "httpx": with_httpx}[sys.argv[1]]())
latencies_ms.sort()
shares = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "p99_9": 0.999, "max": 1.0}
count = len(latencies_ms)
print(json.dumps({k: latencies_ms[max(-int(-q * count // 1), 1) - 1] for k, q in shares.items()}))
