-- Who may see the pages: admins set up, viewers look.
CREATE TABLE accounts (
    id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    email      text NOT NULL,
    role       text NOT NULL CHECK (role IN ('admin', 'viewer')),
    password   text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX accounts_email ON accounts (lower(email));

-- Who is signed in. Of a session's token only the digest is kept.
CREATE TABLE sessions (
    digest     text PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    csrf       text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL
);
CREATE INDEX sessions_account ON sessions (account_id);

-- One-time links by which somebody becomes an admin or a viewer.
CREATE TABLE invitations (
    digest     text PRIMARY KEY,
    role       text NOT NULL CHECK (role IN ('admin', 'viewer')),
    is_first   boolean NOT NULL DEFAULT false,
    expires_at timestamptz NOT NULL
);

-- Failed sign-ins, by address entered and by where they came from.
CREATE TABLE sign_in_failures (
    who text NOT NULL,
    at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX sign_in_failures_who ON sign_in_failures (who, at);

-- What an admin should know of a connection that delivers all the same.
ALTER TABLE delivery_lanes ADD COLUMN note text;

-- A connection in the making: what the pages of set-up have been told so far.
CREATE TABLE drafts (
    id         text PRIMARY KEY,
    account_id bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    document   jsonb NOT NULL,
    secrets    bytea NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now()
);
