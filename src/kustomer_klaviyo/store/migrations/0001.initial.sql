-- The schema of the service. Every table of a connection's data starts with connection_id, so that the data can be
-- partitioned by connection. docs/architecture.md describes the tables.

CREATE TABLE connections (
    id                text PRIMARY KEY,
    organisation      text NOT NULL,
    kustomer_url      text NOT NULL,
    klaviyo_url       text NOT NULL,
    klaviyo_account   text,
    webhook_id        text,
    webhook_url       text,
    encrypted_secrets bytea NOT NULL,
    options           jsonb NOT NULL DEFAULT '{}',
    -- Facts that happened earlier are not sent.
    since             timestamptz NOT NULL DEFAULT now(),
    version           integer NOT NULL DEFAULT 1,
    -- The Kustomer app that shows the card, as it was installed.
    kustomer_app      jsonb NOT NULL DEFAULT '{}',
    created_at        timestamptz NOT NULL DEFAULT now(),
    updated_at        timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT connections_since_range CHECK (since BETWEEN '2000-01-01T00:00:00Z' AND '3000-01-01T00:00:00Z')
);

-- The delivery status of each connection. It changes often, so it is separate from the connection itself.
CREATE TABLE connection_status (
    connection_id        text PRIMARY KEY REFERENCES connections (id) ON DELETE CASCADE,
    paused               boolean NOT NULL DEFAULT false,
    held_until           timestamptz,
    hold_reason          text,
    hold_detail          text,
    consecutive_failures integer NOT NULL DEFAULT 0,
    last_accepted_at     timestamptz,
    -- Klaviyo's endpoints for events and for profiles can fail independently.
    event_accepted_at    timestamptz,
    profile_accepted_at  timestamptz,
    -- A problem that an admin should see although delivery continues.
    note                 text,
    -- Kustomer switches a webhook off when its deliveries fail for long.
    webhook_state        text,
    webhook_state_since  timestamptz
);

-- Commit 1: webhook events as received.
CREATE TABLE inbox (
    connection_id   text NOT NULL,
    event_id        text NOT NULL,
    seq             bigint GENERATED ALWAYS AS IDENTITY,
    event_name      text NOT NULL,
    conversation_id text,
    customer_id     text,
    body            bytea NOT NULL,
    state           text NOT NULL DEFAULT 'pending' CHECK (state IN ('pending', 'processed', 'failed')),
    note            text,
    received_at     timestamptz NOT NULL DEFAULT now(),
    -- The code of why the event was not processed as received.
    reason          text,
    error_traceback text,
    -- Size and digest of a body that is too large to store; the column body then holds its beginning.
    full_size       bigint,
    full_digest     text,
    PRIMARY KEY (connection_id, event_id)
);
-- Bodies are not compressed: compression would cost more than the rest of the insert.
ALTER TABLE inbox ALTER COLUMN body SET STORAGE EXTERNAL;
CREATE INDEX inbox_pending ON inbox (connection_id, seq) WHERE state = 'pending';
CREATE INDEX inbox_failed ON inbox (connection_id, seq) WHERE state = 'failed';
CREATE INDEX inbox_processed ON inbox (connection_id, received_at) WHERE state = 'processed';

-- Commit 2, the outbox: each recorded fact, with the request to Klaviyo that delivers it.
CREATE TABLE deliveries (
    connection_id       text NOT NULL,
    fact_key            text NOT NULL,
    seq                 bigint GENERATED ALWAYS AS IDENTITY,
    -- created, done, csat or profile.
    kind                text NOT NULL,
    -- The customer id; empty when the conversation names no customer.
    subject             text NOT NULL,
    conversation_id     text NOT NULL,
    occurred_at         timestamptz NOT NULL,
    rev                 integer NOT NULL,
    state               text NOT NULL
                        CHECK (state IN ('pending', 'unidentified', 'delivered', 'failed', 'skipped')),
    reason              text,
    due_at              timestamptz NOT NULL DEFAULT now(),
    attempts            integer NOT NULL DEFAULT 0,
    -- Failures while other deliveries succeeded. Failures during an outage do not count.
    own_failures        integer NOT NULL DEFAULT 0,
    first_attempt_at    timestamptz,
    last_attempt_at     timestamptz,
    identifier          text,
    event_id            text,
    fact                jsonb NOT NULL,
    request             jsonb,
    response_status     integer,
    response_request_id text,
    response_detail     text,
    created_at          timestamptz NOT NULL DEFAULT now(),
    completed_at        timestamptz,
    -- A profile write that creates or renames the profile: the customer's events wait for it.
    blocks_events       boolean NOT NULL DEFAULT false,
    -- The bulk import at Klaviyo that carries this profile write and has not ended yet.
    bulk_import_id      text,
    -- Skipped by an option that a newer revision of the conversation may lift.
    releasable          boolean NOT NULL DEFAULT false,
    -- A profile write that follows a merge or a deletion; retention keeps it as long as events.
    is_removal          boolean NOT NULL DEFAULT false,
    error_code          text,
    error_traceback     text,
    PRIMARY KEY (connection_id, fact_key)
);
CREATE INDEX deliveries_pending_event ON deliveries (connection_id, seq) WHERE state = 'pending' AND kind <> 'profile';
CREATE INDEX deliveries_pending_profile ON deliveries (connection_id, seq) WHERE state = 'pending' AND kind = 'profile';
CREATE INDEX deliveries_pending_subject ON deliveries (connection_id, subject, seq) WHERE state = 'pending';
-- Read every second: which connections have a delivery due, and when the next one is due.
CREATE INDEX deliveries_pending_due ON deliveries (connection_id, due_at) WHERE state = 'pending';
CREATE INDEX deliveries_undelivered ON deliveries (connection_id, state, seq)
    WHERE state IN ('unidentified', 'failed', 'skipped');
CREATE INDEX deliveries_subject ON deliveries (connection_id, subject);
CREATE INDEX deliveries_conversation ON deliveries (connection_id, conversation_id);
CREATE INDEX deliveries_identifier ON deliveries (connection_id, lower(identifier));
CREATE INDEX deliveries_bulk_import ON deliveries (connection_id, bulk_import_id)
    WHERE bulk_import_id IS NOT NULL AND state = 'pending';
-- For retention.
CREATE INDEX deliveries_completed ON deliveries (connection_id, created_at) WHERE state IN ('delivered', 'skipped');
CREATE INDEX deliveries_completed_profile ON deliveries (connection_id, created_at)
    WHERE state IN ('delivered', 'skipped') AND kind = 'profile';

-- Customers with their identifiers, the content of their profile, and the profile last sent to Klaviyo.
CREATE TABLE customers (
    connection_id        text NOT NULL,
    customer_id          text NOT NULL,
    rev                  integer NOT NULL,
    fingerprint          text NOT NULL,
    contacts             jsonb NOT NULL,
    email                text,
    phone                text,
    -- Deleted in Kustomer, or merged into another customer.
    removed              boolean NOT NULL DEFAULT false,
    updated_at           timestamptz NOT NULL DEFAULT now(),
    -- When Kustomer wrote the document, or when the customer was found to be removed.
    observed_at          timestamptz,
    profile              jsonb NOT NULL DEFAULT '{}',
    masked               text[] NOT NULL DEFAULT '{}',
    notes                text[] NOT NULL DEFAULT '{}',
    open_count           integer,
    open_count_at        timestamptz,
    -- The code of the option that excludes the customer.
    skip_reason          text,
    merged_into          text,
    last_sent            jsonb NOT NULL DEFAULT '{}',
    sent_version         integer NOT NULL DEFAULT 0,
    -- A column of its own, so that an update that keeps the address touches no index.
    last_sent_email      text GENERATED ALWAYS AS (lower(last_sent ->> 'email')) STORED,
    klaviyo_profile_id   text,
    klaviyo_confirmed_at timestamptz,
    -- The customer's number, when another Klaviyo profile has it.
    conflicting_phone    text,
    -- Addresses and numbers that Klaviyo may accept, the preferred one first.
    usable_emails        text[] NOT NULL DEFAULT '{}',
    usable_phones        text[] NOT NULL DEFAULT '{}',
    -- Addresses and numbers of the customer that Klaviyo refused, in lower case.
    refused_contacts     text[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (connection_id, customer_id)
);
CREATE INDEX customers_email ON customers (connection_id, lower(email));
CREATE INDEX customers_phone ON customers (connection_id, phone);
CREATE INDEX customers_last_sent_email ON customers (connection_id, last_sent_email) WHERE last_sent_email IS NOT NULL;
CREATE INDEX customers_merged ON customers (connection_id, merged_into) WHERE merged_into IS NOT NULL;
CREATE INDEX customers_masked ON customers (connection_id) WHERE masked <> '{}';

-- Returns the first contact that Klaviyo did not refuse.
CREATE FUNCTION first_usable(usable text[], refused text[]) RETURNS text LANGUAGE sql IMMUTABLE AS
    'SELECT contact FROM unnest(usable) WITH ORDINALITY AS listed (contact, ordinal)
     WHERE lower(contact) <> ALL (refused) ORDER BY ordinal LIMIT 1';

-- Returns the refused contacts that the customer still has.
CREATE FUNCTION still_usable(refused text[], usable text[]) RETURNS text[] LANGUAGE sql IMMUTABLE AS
    'SELECT ARRAY(SELECT contact FROM unnest(refused) AS contact
                  WHERE contact IN (SELECT lower(owned) FROM unnest(usable) AS owned))';

-- The newest observation of each conversation.
CREATE TABLE conversations (
    connection_id   text NOT NULL,
    conversation_id text NOT NULL,
    customer_id     text,
    rev             integer NOT NULL,
    fingerprint     text NOT NULL,
    observed        jsonb NOT NULL,
    -- Whether the conversation was open, by the epoch milliseconds of each change.
    status_history  jsonb NOT NULL,
    -- The newest revision that shows an unanswered survey without a response id: a later answer is a new one.
    unanswered_rev  integer NOT NULL DEFAULT 0,
    PRIMARY KEY (connection_id, conversation_id)
);
CREATE INDEX conversations_customer ON conversations (connection_id, customer_id);

-- Klaviyo's bulk profile imports that have not ended.
CREATE TABLE bulk_imports (
    connection_id  text NOT NULL,
    bulk_import_id text NOT NULL,
    profile_count  integer NOT NULL,
    poll_count     integer NOT NULL DEFAULT 0,
    next_poll_at   timestamptz NOT NULL,
    submitted_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (connection_id, bulk_import_id)
);
CREATE INDEX bulk_imports_due ON bulk_imports (connection_id, next_poll_at);

-- Queued reads from Kustomer's API.
CREATE TABLE lookups (
    connection_id     text NOT NULL,
    kind              text NOT NULL CHECK (kind IN ('customer', 'conversation', 'merge', 'sweep', 'webhook')),
    id                text NOT NULL,
    expected_fact_key text,
    attempts          integer NOT NULL DEFAULT 0,
    due_at            timestamptz NOT NULL DEFAULT now(),
    -- The code of why there is no answer yet, and its detail.
    reason            text,
    note              text,
    -- A failed lookup stays until an admin retries it or another event requests it again.
    failed_at         timestamptz,
    error_traceback   text,
    -- Only a card needs it: such lookups run last, because whoever holds a card's secret can make up customer ids.
    for_card          boolean NOT NULL DEFAULT false,
    PRIMARY KEY (connection_id, kind, id)
);
CREATE INDEX lookups_due ON lookups (connection_id, due_at);
-- Read every second: which connections have a lookup due. Each connection has recurring ones, that are rarely due.
CREATE INDEX lookups_queued ON lookups (connection_id, due_at)
    WHERE failed_at IS NULL AND kind NOT IN ('sweep', 'webhook');
CREATE INDEX lookups_recurring ON lookups (due_at) WHERE failed_at IS NULL AND kind IN ('sweep', 'webhook');

-- The position of each continuous scan, such as the sweep.
CREATE TABLE bookmarks (
    connection_id text NOT NULL,
    name          text NOT NULL,
    value         text NOT NULL,
    PRIMARY KEY (connection_id, name)
);

-- Counts of received events that needed no row.
CREATE TABLE counters (
    connection_id text NOT NULL,
    name          text NOT NULL,
    count         bigint NOT NULL,
    PRIMARY KEY (connection_id, name)
);

-- Loops that fail, of a connection or (with an empty connection_id) of the program. A loop that works has no row.
CREATE TABLE loop_failures (
    connection_id        text NOT NULL,
    loop                 text NOT NULL,
    consecutive_failures integer NOT NULL DEFAULT 1,
    failing_since        timestamptz NOT NULL DEFAULT now(),
    last_failed_at       timestamptz NOT NULL DEFAULT now(),
    error_code           text NOT NULL,
    error_message        text NOT NULL,
    error_traceback      text,
    PRIMARY KEY (connection_id, loop)
);

-- The processes that take jobs, by the id that the job queue gave them.
CREATE TABLE worker_processes (
    worker_id  bigint PRIMARY KEY,
    -- The machine since its start, with the PID namespace.
    machine    text NOT NULL,
    pid        integer NOT NULL,
    -- In clock ticks since the start of the machine: a PID is used again.
    started_at bigint NOT NULL
);

-- Which connection receives an organisation's conversations, by brand.
CREATE TABLE routes (
    organisation text PRIMARY KEY,
    document     jsonb NOT NULL,
    updated_at   timestamptz NOT NULL DEFAULT now()
);

-- The content of each customer's card, and requests to refresh it: because an agent opened it, or in advance.
CREATE TABLE cards (
    connection_id  text NOT NULL,
    customer_id    text NOT NULL,
    document       jsonb,
    fetched_at     timestamptz,
    fresh_until    timestamptz,
    error          text,
    opened_at      timestamptz,
    refresh_reason text CHECK (refresh_reason IN ('opened', 'prefetch')),
    requested_at   timestamptz,
    due_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (connection_id, customer_id)
);
CREATE INDEX cards_requested ON cards (connection_id, due_at) WHERE refresh_reason IS NOT NULL;
CREATE INDEX cards_idle ON cards (connection_id, due_at) WHERE refresh_reason IS NULL;

-- Names of objects in Klaviyo, by their ids. target is null when Klaviyo does not know the id.
CREATE TABLE klaviyo_names (
    connection_id text NOT NULL,
    kind          text NOT NULL,
    id            text NOT NULL,
    target        text,
    name          text,
    fetched_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (connection_id, kind, id)
);

-- Users of the web console: an admin may change settings, a viewer may only read.
CREATE TABLE users (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email           text NOT NULL,
    -- NFKC, with A to Z in lower case. The database's own lower() depends on its locale.
    canonical_email text NOT NULL,
    role            text NOT NULL CHECK (role IN ('admin', 'viewer')),
    password_hash   text,
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX users_canonical_email ON users (canonical_email);

-- Signed-in users. Only the digest of a session's token is stored.
CREATE TABLE sessions (
    token_digest text PRIMARY KEY,
    user_id      bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    csrf_token   text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz NOT NULL
);
CREATE INDEX sessions_user ON sessions (user_id);

-- One-time links that create an admin or a viewer.
CREATE TABLE invitations (
    token_digest text PRIMARY KEY,
    role         text NOT NULL CHECK (role IN ('admin', 'viewer')),
    is_first     boolean NOT NULL DEFAULT false,
    expires_at   timestamptz NOT NULL
);

-- Failed sign-ins, by the address entered and by the network of the client.
CREATE TABLE sign_in_failures (
    source    text NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sign_in_failures_source ON sign_in_failures (source, failed_at);

-- Unfinished connections: the input of the set-up wizard so far.
CREATE TABLE setup_drafts (
    id                text PRIMARY KEY,
    user_id           bigint NOT NULL REFERENCES users ON DELETE CASCADE,
    document          jsonb NOT NULL,
    encrypted_secrets bytea NOT NULL,
    updated_at        timestamptz NOT NULL DEFAULT now()
);
