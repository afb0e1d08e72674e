"""
The reference system: a small marketplace back end.

An order service takes signed webhooks and lets vendors compete for orders; a worker turns each
message into its effect; Postgres keeps everything and Redis carries the work. It knows nothing of
whoever tests it.

Processes
    python -m perfchaos.reference.schema     create or adapt the tables, then exit (idempotent)
    python -m perfchaos.reference.service    the HTTP service
    python -m perfchaos.reference.worker     consumes the queue; any number may run

HTTP
    POST /webhooks/whatsapp
        body   {"message_id": "<uuid>", "from": "+49…", "text": "…", "type": …, "sent_at": …}
        header X-Hub-Signature-256: sha256=<hex HMAC-SHA256 of the raw body with WEBHOOK_SECRET>
        202    safe: committed to Postgres; sending it again changes nothing
    POST /orders
        body   {"vendors": N} or {"vendor_ids": [1, 2, …]}, and optionally {"order_id": "<uuid>"}
               {"vendors": N} routes to the vendors 1 … N
        201    {"order_id": "…", "status": "routed", "accepted_by": null, "vendor_ids": [1, …]}
        200    the same, for an order_id that exists: nothing was changed
    POST /orders/{order_id}/accept
        body   {"vendor_id": 3}
        200    {"order_id", "vendor_id": 3, "won": true, "accepted_by": 3}; again 200 when the
               winner repeats itself, without a second effect
        409    the same with "won": false: another vendor holds the order
        404    no such order, or it was not routed to this vendor
    GET /orders/{order_id}
        200    {"order_id", "status": "routed"|"accepted", "accepted_by", "vendor_ids"}
    GET /health
        200    {"status": "ok", "database": "ok", "redis": "ok"|"bypassed"}
        503    the same with "status": "unavailable" and the problem in "database" or "redis"

    Every endpoint besides: 400 malformed, 401 bad signature, 413 too large,
    503 refused, nothing was changed and nothing will be; 500 the outcome is not known.

Postgres
    inbox             message_id uuid (key), sender, text, received_at, processed_at (null: to do)
    order_effects     message_id uuid (indexed, not unique), customer_id, text, applied_at
    orders            id uuid (key), status, accepted_by, created_at, accepted_at
    routings          order_id, vendor_id (key): who may accept
    vendor_responses  order_id, vendor_id, response ('accepted'), responded_at: the winner's row
    assignments       order_id, vendor_id, assigned_at: the downstream effect of an acceptance
    customers, vendors (seeded), heartbeats (written by the health check)

Redis
    orders:queue      stream, one entry {"id": message_id} a message, consumer group "workers";
                      entries are deleted once done, so XLEN is the backlog
    cache:*           looked-up values;  seen:*  ids already taken (without the webhook queue only)

Environment
    SERVICE_HOST SERVICE_PORT · PGHOST PGPORT PGDATABASE PGUSER PGPASSWORD ·
    REDIS_HOST REDIS_PORT REDIS_PASSWORD · WEBHOOK_SECRET, and the tunings: see
    `perfchaos.reference.profiles`; what is not set has the value of the tuned profile.

Why nothing acknowledged is lost, and nothing is done twice: see `intake` and `worker`.
"""
