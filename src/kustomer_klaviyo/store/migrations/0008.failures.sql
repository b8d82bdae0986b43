-- What went wrong with one item beside its reason: a code, and where in the program.
ALTER TABLE deliveries ADD COLUMN code text, ADD COLUMN error text;
ALTER TABLE lookups ADD COLUMN IF NOT EXISTS failed_at timestamptz, ADD COLUMN error text;

-- Loops that keep failing, of a connection or (with an empty name) of the program; a loop that works has no row.
CREATE TABLE loop_failures (
    connection_id text NOT NULL,
    loop          text NOT NULL,
    failures      integer NOT NULL DEFAULT 1,
    since         timestamptz NOT NULL DEFAULT now(),
    last_at       timestamptz NOT NULL DEFAULT now(),
    code          text NOT NULL,
    message       text NOT NULL,
    error         text,
    PRIMARY KEY (connection_id, loop)
);
