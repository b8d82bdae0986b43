-- Customers become profiles: what each is to hold, what Klaviyo was last told, and imports under way there.

ALTER TABLE people
    ADD COLUMN profile      jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN masked       text[] NOT NULL DEFAULT '{}',
    ADD COLUMN notes        text[] NOT NULL DEFAULT '{}',
    ADD COLUMN counted_open integer,
    ADD COLUMN counted_at   timestamptz,
    ADD COLUMN left_out     text,
    ADD COLUMN merged_into  text,
    ADD COLUMN stated       jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN statements   integer NOT NULL DEFAULT 0,
    ADD COLUMN klaviyo_id   text;
CREATE INDEX people_merged ON people (connection_id, merged_into) WHERE merged_into IS NOT NULL;
CREATE INDEX people_masked ON people (connection_id) WHERE masked <> '{}';

-- Whether each conversation is open, as last seen.
CREATE TABLE conversations (
    connection_id   text NOT NULL,
    conversation_id text NOT NULL,
    customer_id     text,
    rev             integer NOT NULL,
    fingerprint     text NOT NULL,
    seen            jsonb NOT NULL,
    turns           jsonb NOT NULL,
    PRIMARY KEY (connection_id, conversation_id)
);
CREATE INDEX conversations_customer ON conversations (connection_id, customer_id);

-- leads: the person's profile is made or renamed by it, so that no event of theirs goes before it.
-- import: the bulk import at Klaviyo that carries it; its end is waited for.
ALTER TABLE deliveries ADD COLUMN leads boolean NOT NULL DEFAULT false, ADD COLUMN import text;
CREATE INDEX deliveries_import ON deliveries (connection_id, import) WHERE import IS NOT NULL;
CREATE INDEX deliveries_waiting_profile ON deliveries (connection_id, seq) WHERE state = 'waiting' AND kind = 'profile';
CREATE INDEX deliveries_waiting_event ON deliveries (connection_id, seq) WHERE state = 'waiting' AND kind <> 'profile';
DROP INDEX deliveries_waiting;

-- Bulk imports of profiles that Klaviyo is working on.
CREATE TABLE imports (
    connection_id text NOT NULL,
    id            text NOT NULL,
    profiles      integer NOT NULL,
    polls         integer NOT NULL DEFAULT 0,
    poll_at       timestamptz NOT NULL,
    submitted_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (connection_id, id)
);
CREATE INDEX imports_due ON imports (connection_id, poll_at);

-- Merges are asked for, and deletions are searched for, since no webhook tells of them.
ALTER TABLE lookups DROP CONSTRAINT lookups_kind_check;
ALTER TABLE lookups ADD CONSTRAINT lookups_kind_check CHECK (kind IN ('customer', 'conversation', 'merge', 'sweep'));

-- How far something that goes on for ever has come.
CREATE TABLE bookmarks (
    connection_id text NOT NULL,
    name          text NOT NULL,
    value         text NOT NULL,
    PRIMARY KEY (connection_id, name)
);
