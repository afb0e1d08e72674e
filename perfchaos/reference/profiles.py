"""
The service's tunings: every variable, with its value well tuned and as a team first ships it.

`TUNED` is what holds for a variable that is not set. What `UNTUNED` does badly has these causes:

- every webhook is handled inside its request, and its customer is looked up without an index;
- five connections for all of it, waited for up to half a minute, opened on first use;
- a look into Redis on every request, without a socket timeout, a breaker or a way around it;
- connections that a restart of Postgres killed are found out by the request that uses them, and
  replaced with an exponential back-off;
- a service that was not well takes requests again once it has passed two health checks in a row,
  which are heavy and come every ten seconds;
- an order is accepted by checking first and writing then.
"""

from collections.abc import Mapping
from types import MappingProxyType

TUNED: Mapping[str, str] = MappingProxyType(
    {
        # Postgres. Times in ms; 0 is no limit.
        "DATABASE_POOL_SIZE": "30",
        "DATABASE_POOL_MAX": "50",
        "DATABASE_POOL_WARM_UP": "true",
        "DATABASE_POOL_CHECK": "true",
        "DATABASE_POOL_TIMEOUT": "500",
        "DATABASE_RECONNECT_TIMEOUT": "250",
        "DATABASE_COMMAND_TIMEOUT": "1000",
        "DATABASE_TRANSACTION_ISOLATION": "READ COMMITTED",
        "DATABASE_INDEXES": "true",
        # Redis
        "REDIS_TIMEOUT": "200",
        "CACHE_STRATEGY": "redis",
        "CACHE_TTL": "300",  # seconds
        "CIRCUIT_BREAKER_ENABLED": "true",
        "CIRCUIT_BREAKER_THRESHOLD": "5",
        # Half a minute is the usual advice, because a trial usually costs a customer's request.
        # Here it is a PING of the breaker's own, so it may come often.
        "CIRCUIT_BREAKER_TIMEOUT": "1000",
        # Webhooks
        "WEBHOOK_QUEUE_ENABLED": "true",
        "WEBHOOK_BATCH_SIZE": "10",
        "WEBHOOK_WRITERS": "4",
        "WEBHOOK_WAITING_MAX": "2000",
        # Orders
        "ACCEPTANCE_STRATEGY": "unique_index",
        # Health
        "HEALTH_CHECK_QUERY": "SELECT 1",
        "HEALTH_CHECK_TIMEOUT": "3000",
        "HEALTH_CHECK_INTERVAL": "250",
        "HEALTH_CHECK_PASSES": "1",  # in a row, once one has failed
        # Workers
        "WORKER_NAME": "worker",
        "WORKER_CONCURRENCY": "2",
        "WORKER_BATCH_SIZE": "100",
        # Deliberate defects, by name: see `perfchaos.reference.defects`.
        "DEFECTS": "",
    }
)

UNTUNED: Mapping[str, str] = MappingProxyType(
    {
        **TUNED,
        "DATABASE_POOL_SIZE": "5",
        "DATABASE_POOL_MAX": "5",
        "DATABASE_POOL_WARM_UP": "false",
        "DATABASE_POOL_CHECK": "false",
        "DATABASE_POOL_TIMEOUT": "30000",
        "DATABASE_RECONNECT_TIMEOUT": "300000",
        "DATABASE_COMMAND_TIMEOUT": "0",
        "DATABASE_INDEXES": "false",
        "REDIS_TIMEOUT": "0",
        "CACHE_STRATEGY": "none",
        "CIRCUIT_BREAKER_ENABLED": "false",
        "WEBHOOK_QUEUE_ENABLED": "false",
        "ACCEPTANCE_STRATEGY": "check_then_act",
        "HEALTH_CHECK_QUERY": "SELECT count(*) FROM customers",
        "HEALTH_CHECK_TIMEOUT": "30000",
        "HEALTH_CHECK_INTERVAL": "10000",
        "HEALTH_CHECK_PASSES": "2",
    }
)
