CREATE TABLE IF NOT EXISTS customers (
    id bigint PRIMARY KEY,
    phone text NOT NULL,
    name text NOT NULL
);

CREATE TABLE IF NOT EXISTS vendors (
    id integer PRIMARY KEY,
    name text NOT NULL,
    active boolean NOT NULL DEFAULT true
);

-- Every webhook that was acknowledged, and whether its effect was applied.
CREATE TABLE IF NOT EXISTS inbox (
    message_id uuid PRIMARY KEY,
    sender text NOT NULL,
    text text NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    processed_at timestamptz
);
CREATE INDEX IF NOT EXISTS inbox_to_do ON inbox (received_at) WHERE processed_at IS NULL;

-- What the messages led to. Not unique by message: applying an effect once is the worker's
-- business, and two rows are how one would see that it failed at that.
CREATE TABLE IF NOT EXISTS order_effects (
    message_id uuid NOT NULL,
    customer_id bigint,
    text text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS order_effects_by_message ON order_effects (message_id);

CREATE TABLE IF NOT EXISTS orders (
    id uuid PRIMARY KEY,
    status text NOT NULL DEFAULT 'routed',
    accepted_by integer,
    created_at timestamptz NOT NULL DEFAULT now(),
    accepted_at timestamptz
);

CREATE TABLE IF NOT EXISTS routings (
    order_id uuid NOT NULL REFERENCES orders,
    vendor_id integer NOT NULL REFERENCES vendors,
    PRIMARY KEY (order_id, vendor_id)
);

CREATE TABLE IF NOT EXISTS vendor_responses (
    order_id uuid NOT NULL,
    vendor_id integer NOT NULL,
    response text NOT NULL,
    responded_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS vendor_responses_by_order ON vendor_responses (order_id);

CREATE TABLE IF NOT EXISTS assignments (
    order_id uuid NOT NULL,
    vendor_id integer NOT NULL,
    assigned_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS assignments_by_order ON assignments (order_id);

CREATE TABLE IF NOT EXISTS heartbeats (
    name text PRIMARY KEY,
    beat_at timestamptz NOT NULL
);
