"""
The HTTP service: see `perfchaos.reference` for its endpoints.

What it says is what it knows. 202, 201 and 200 mean committed; 503 means that nothing was written
and nothing will be; 500 means that the answer of Postgres never came. While Postgres is away it
answers 503 at once instead of letting requests wait for it.
"""

import asyncio
import contextlib
import hashlib
import hmac
import logging
import os
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Coroutine
from dataclasses import asdict
from typing import Any, NoReturn

import orjson
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from perfchaos.errors import PerfchaosError
from perfchaos.reference import defects, queue
from perfchaos.reference.acceptance import STRATEGIES, Accept, NotRouted
from perfchaos.reference.breaker import CircuitBreaker
from perfchaos.reference.cache import Cache
from perfchaos.reference.database import Database, MaybeWritten, NotWritten
from perfchaos.reference.health import Health
from perfchaos.reference.intake import BatchedIntake, InlineIntake, Intake, Message
from perfchaos.reference.orders import NoSuchVendors, Orders
from perfchaos.reference.queue import WorkQueue
from perfchaos.reference.settings import Settings, read_settings

_log = logging.getLogger(__name__)

_BODY_MAX_BYTES = 65_536
_VENDORS_MAX = 1_000
_FIRST_CHECK_TIMEOUT_S = 1.0


class OrderService:
    """The endpoints, over parts that are put together in `create_app`."""

    def __init__(
        self,
        *,
        secret: bytes,
        database: Database,
        breaker: CircuitBreaker,
        health: Health,
        intake: Intake,
        orders: Orders,
        accept: Accept,
    ) -> None:
        self._signature = hmac.new(secret, digestmod=hashlib.sha256)
        self._database = database
        self._breaker = breaker
        self._health = health
        self._intake = intake
        self._orders = orders
        self._accept = accept

    async def webhook(self, request: Request) -> Response:
        body = await _read_body(request)
        signature = self._signature.copy()
        signature.update(body)
        given = request.headers.get("x-hub-signature-256", "")
        if not hmac.compare_digest(f"sha256={signature.hexdigest()}".encode(), given.encode()):
            raise HTTPException(401, "the signature does not match the body")
        fields = _json_object(body)
        message = Message(
            message_id=_uuid(fields, "message_id"),
            sender=_text(fields, "from"),
            text=_text(fields, "text"),
        )
        self._health.require()
        await self._intake.take(message)
        return _json(202, {"message_id": message.message_id})

    async def create_order(self, request: Request) -> Response:
        fields = _json_object(await _read_body(request))
        order_id = _uuid(fields, "order_id") if "order_id" in fields else str(uuid.uuid4())
        vendor_ids = _vendor_ids(fields)
        self._health.require()
        try:
            created = await self._orders.create(order_id, vendor_ids)
        except NoSuchVendors:
            raise HTTPException(400, "vendor_ids: not all of them are active vendors") from None
        if created:
            answer = {"order_id": order_id, "status": "routed", "accepted_by": None}
            return _json(201, {**answer, "vendor_ids": vendor_ids})
        order = await self._orders.find(order_id)
        return _json(200, asdict(order) if order else None)

    async def show_order(self, request: Request) -> Response:
        order_id = _uuid(request.path_params, "order_id")
        self._health.require()
        order = await self._orders.find(order_id)
        if order is None:
            raise HTTPException(404, "there is no such order")
        return _json(200, asdict(order))

    async def accept_order(self, request: Request) -> Response:
        order_id = _uuid(request.path_params, "order_id")
        vendor_id = _positive(_json_object(await _read_body(request)).get("vendor_id"))
        if vendor_id is None:
            raise HTTPException(400, "vendor_id: a positive whole number is needed")
        self._health.require()
        try:
            acceptance = await self._accept(self._database, order_id, vendor_id)
        except NotRouted:
            raise HTTPException(404, "the order was not routed to this vendor") from None
        status = 200 if acceptance.won else 409
        return _json(status, {**asdict(acceptance), "won": acceptance.won})

    async def health(self, _request: Request) -> Response:
        database, redis = self._health.database_problem, self._health.redis_problem
        well = database is None and redis is None
        bypassed = "bypassed" if self._breaker.is_open else "ok"
        answer = {
            "status": "ok" if well else "unavailable",
            "database": database or "ok",
            "redis": redis or bypassed,
        }
        if database and self._database.sqlstate:
            answer["sqlstate"] = self._database.sqlstate
        return _json(200 if well else 503, answer)


def create_app(settings: Settings) -> Starlette:
    """The service as an ASGI application."""
    planted = settings.defects
    database = Database(
        settings.postgres, name="orders-service", **defects.database_options(planted)
    )
    redis = queue.connect(settings.redis, timeout_s=settings.redis.timeout_s)
    breaker = CircuitBreaker(
        "circuit breaker of redis",
        threshold=settings.redis.breaker_threshold if settings.redis.breaker_enabled else None,
        retry_s=settings.redis.breaker_timeout_s,
        trial=defects.breaker_trial(planted, redis),
    )
    cache = Cache(
        settings.redis.cache, ttl_s=settings.redis.cache_ttl_s, redis=redis, breaker=breaker
    )
    health = defects.health_class(planted)(
        database,
        settings.health,
        needed_redis=None if settings.webhook.queue_enabled else redis,
    )
    intake: Intake = InlineIntake(database, redis, cache)
    if settings.webhook.queue_enabled:
        batched = BatchedIntake(
            defects.keep(planted, database, WorkQueue(redis, breaker)),
            batch_size=settings.webhook.batch_size,
            writers=settings.webhook.writers,
            waiting_max=settings.webhook.waiting_max,
        )
        intake = defects.intake(planted, batched)
    service = OrderService(
        secret=settings.webhook.secret,
        database=database,
        breaker=breaker,
        health=health,
        intake=intake,
        orders=Orders(database, cache),
        accept=defects.accept(planted, STRATEGIES[settings.acceptance], redis),
    )

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await database.open()
        async with _in_background(health.watch(), breaker.watch(), intake.run()):
            # Listen once the first request can be served; but do listen, to say what is wrong.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FIRST_CHECK_TIMEOUT_S):
                    await health.checked.wait()
            yield
            await database.hang_up()
        await queue.close(redis)
        await database.close()

    return Starlette(
        lifespan=lifespan,
        middleware=[Middleware(_AnswerTheCancelled)],
        routes=[
            Route("/webhooks/whatsapp", service.webhook, methods=["POST"]),
            Route("/orders", service.create_order, methods=["POST"]),
            Route("/orders/{order_id}", service.show_order, methods=["GET"]),
            Route("/orders/{order_id}/accept", service.accept_order, methods=["POST"]),
            Route("/health", service.health, methods=["GET"]),
        ],
        exception_handlers={
            HTTPException: _explain,
            NotWritten: _refuse,
            MaybeWritten: _admit_ignorance,
        },
    )


class _AnswerTheCancelled:
    """
    Answers 500 for the requests that are cancelled because the service stops.

    Without it each of them would be a connection that breaks and a traceback in the log.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except asyncio.CancelledError:
            if scope["type"] != "http":
                raise
            answer = _json(500, {"error": "the outcome is not known: the service stops"})
            await answer(scope, receive, send)


@contextlib.asynccontextmanager
async def _in_background(*work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(coroutine) for coroutine in work]
    for task in tasks:
        task.add_done_callback(_report_end)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _report_end(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.critical("%s ended: %r", task.get_coro(), error, exc_info=error)


async def _explain(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _json(error.status_code, {"error": error.detail})


async def _refuse(_request: Request, error: Exception) -> Response:
    return _failure(503, f"nothing was written: {error}", error)


async def _admit_ignorance(_request: Request, error: Exception) -> Response:
    return _failure(500, f"the outcome is not known: {error}", error)


def _failure(status: int, why: str, error: Exception) -> Response:
    """What Postgres gave as its reason is passed on, for those who must find out."""
    sqlstate = error.sqlstate if isinstance(error, NotWritten | MaybeWritten) else None
    return _json(status, {"error": why} | ({"sqlstate": sqlstate} if sqlstate else {}))


def _json(status: int, content: object) -> Response:
    return Response(orjson.dumps(content), status_code=status, media_type="application/json")


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_MAX_BYTES:
            raise HTTPException(413, f"the body is larger than {_BODY_MAX_BYTES} bytes")
    return bytes(body)


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        fields = orjson.loads(body)
    except orjson.JSONDecodeError:
        fields = None
    if not isinstance(fields, dict):
        raise HTTPException(400, "the body is not a JSON object")
    return fields


def _uuid(fields: dict[str, Any], name: str) -> str:
    try:
        return str(uuid.UUID(fields[name]))
    except (KeyError, ValueError, AttributeError, TypeError):
        raise HTTPException(400, f"{name}: a UUID is needed") from None


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    if not isinstance(value, str) or "\0" in value:
        raise HTTPException(400, f"{name}: a text is needed")
    return value


def _vendor_ids(fields: dict[str, Any]) -> list[int]:
    count, given = _positive(fields.get("vendors")), fields.get("vendor_ids")
    if given is None and count is not None and count <= _VENDORS_MAX:
        return list(range(1, count + 1))
    if isinstance(given, list) and 1 <= len(given) <= _VENDORS_MAX:
        ids = {_positive(vendor_id) for vendor_id in given}
        if None not in ids:
            return sorted(vendor_id for vendor_id in ids if vendor_id is not None)
    raise HTTPException(400, f"vendors (1 to {_VENDORS_MAX}) or vendor_ids (a list) is needed")


def _positive(value: object) -> int | None:
    """`value` if it is a positive number that Postgres can hold as an integer."""
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if 1 <= value < 2**31 else None


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("psycopg").setLevel(logging.ERROR)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        settings = defects.altered(read_settings(os.environ))
    except PerfchaosError as error:
        sys.exit(f"error: {error}")
    # uvicorn shuts down gracefully and then raises the signal again, for the handler that was
    # there before its own.
    signal.signal(signal.SIGTERM, _leave)
    signal.signal(signal.SIGINT, _leave)
    uvicorn.run(
        create_app(settings),
        host=settings.service_host,
        port=settings.service_port,
        loop="uvloop",
        http="httptools",
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        # Longer than any client lets a connection rest: whoever closes first must not be us, just
        # when a request is under way.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=1,
    )


def _leave(*_: object) -> NoReturn:
    sys.exit(0)


if __name__ == "__main__":
    main()
