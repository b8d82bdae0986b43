-- The tables of the line: every one leads with the connection, so that they can be spread over databases.

CREATE TABLE connections (
    id              text PRIMARY KEY,
    organisation    text NOT NULL,
    kustomer_url    text NOT NULL,
    klaviyo_url     text NOT NULL,
    klaviyo_account text,
    webhook_id      text,
    webhook_url     text,
    secrets         bytea NOT NULL,
    options         jsonb NOT NULL DEFAULT '{}',
    horizon         timestamptz NOT NULL DEFAULT now(),
    revision        integer NOT NULL DEFAULT 1,
    created_at      timestamptz NOT NULL DEFAULT now(),
    updated_at      timestamptz NOT NULL DEFAULT now()
);

-- How delivery of a connection fares; apart from the connection because it changes often.
CREATE TABLE delivery_lanes (
    connection_id    text PRIMARY KEY REFERENCES connections (id) ON DELETE CASCADE,
    paused           boolean NOT NULL DEFAULT false,
    wait_until       timestamptz,
    reason           text,
    failures         integer NOT NULL DEFAULT 0,
    last_accepted_at timestamptz
);

-- Landing one: events as received.
CREATE TABLE inbox (
    connection_id   text NOT NULL,
    event_id        text NOT NULL,
    seq             bigint GENERATED ALWAYS AS IDENTITY,
    name            text NOT NULL,
    conversation_id text,
    customer_id     text,
    body            bytea NOT NULL,
    state           text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'understood', 'failed')),
    note            text,
    received_at     timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (connection_id, event_id)
);
-- Kept as it came: compressing each body would cost more than the rest of its landing.
ALTER TABLE inbox ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX inbox_waiting ON inbox (connection_id, seq) WHERE state = 'waiting';
CREATE INDEX inbox_failed ON inbox (connection_id, seq) WHERE state = 'failed';
CREATE INDEX inbox_received ON inbox USING brin (received_at);

-- Landing two, the outbox: each fact told, and the call to Klaviyo that we owe for it.
CREATE TABLE deliveries (
    connection_id     text NOT NULL,
    key               text NOT NULL,
    seq               bigint GENERATED ALWAYS AS IDENTITY,
    kind              text NOT NULL,
    subject           text NOT NULL,
    conversation_id   text NOT NULL,
    occurred_at       timestamptz NOT NULL,
    rev               integer NOT NULL,
    state             text NOT NULL
                      CHECK (state IN ('waiting', 'unidentified', 'delivered', 'failed', 'skipped')),
    reason            text,
    due_at            timestamptz NOT NULL DEFAULT now(),
    attempts          integer NOT NULL DEFAULT 0,
    first_attempt_at  timestamptz,
    identifier        text,
    event_id          text,
    fact              jsonb NOT NULL,
    call              jsonb,
    answer_status     integer,
    answer_request_id text,
    answer_detail     text,
    created_at        timestamptz NOT NULL DEFAULT now(),
    settled_at        timestamptz,
    PRIMARY KEY (connection_id, key)
);
CREATE INDEX deliveries_waiting ON deliveries (connection_id, seq) WHERE state = 'waiting';
CREATE INDEX deliveries_waiting_subject ON deliveries (connection_id, subject, seq) WHERE state = 'waiting';
CREATE INDEX deliveries_held ON deliveries (connection_id, state, seq)
    WHERE state IN ('unidentified', 'failed', 'skipped');
CREATE INDEX deliveries_subject ON deliveries (connection_id, subject);
CREATE INDEX deliveries_conversation ON deliveries (connection_id, conversation_id);
CREATE INDEX deliveries_identifier ON deliveries (connection_id, lower(identifier));

-- Who the customers are, as far as identity goes.
CREATE TABLE people (
    connection_id text NOT NULL,
    customer_id   text NOT NULL,
    rev           integer NOT NULL,
    fingerprint   text NOT NULL,
    contacts      jsonb NOT NULL,
    email         text,
    phone         text,
    gone          boolean NOT NULL DEFAULT false,
    updated_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (connection_id, customer_id)
);
CREATE INDEX people_email ON people (connection_id, lower(email));

-- Questions owed to Kustomer's API: an unknown customer, a conversation worth another reading.
CREATE TABLE lookups (
    connection_id text NOT NULL,
    kind          text NOT NULL CHECK (kind IN ('customer', 'conversation')),
    id            text NOT NULL,
    key           text,
    tries         integer NOT NULL DEFAULT 0,
    due_at        timestamptz NOT NULL DEFAULT now(),
    note          text,
    PRIMARY KEY (connection_id, kind, id)
);
CREATE INDEX lookups_due ON lookups (connection_id, due_at);

-- What was received and needed no row: counted.
CREATE TABLE tallies (
    connection_id text NOT NULL,
    name          text NOT NULL,
    count         bigint NOT NULL,
    PRIMARY KEY (connection_id, name)
);
