-- What the card shows of each customer, and which cards are wanted: by an agent who looks, or ahead of one.
CREATE TABLE insights (
    connection_id text NOT NULL,
    customer_id   text NOT NULL,
    document      jsonb,
    fetched_at    timestamptz,
    fresh_until   timestamptz,
    trouble       text,
    opened_at     timestamptz,
    wish          text CHECK (wish IN ('opened', 'ahead')),
    wished_at     timestamptz,
    due_at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (connection_id, customer_id)
);
CREATE INDEX insights_wished ON insights (connection_id, due_at) WHERE wish IS NOT NULL;

-- The Kustomer app that brings the card, as it was installed.
ALTER TABLE connections ADD COLUMN app jsonb NOT NULL DEFAULT '{}';

-- What Klaviyo's ids stand for; target is null where Klaviyo knows of nothing.
CREATE TABLE klaviyo_names (
    connection_id text NOT NULL,
    kind          text NOT NULL,
    id            text NOT NULL,
    target        text,
    name          text,
    read_at       timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (connection_id, kind, id)
);
