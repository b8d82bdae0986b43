-- What is correctly signed and cannot be read is kept as it came.
-- reason: the code of why an event is not processed as it came. error: the traceback of a fault of ours.
-- whole_size, whole_digest: of a body too large to keep, whose beginning alone is in body.
ALTER TABLE inbox
    ADD COLUMN reason       text,
    ADD COLUMN error        text,
    ADD COLUMN whole_size   bigint,
    ADD COLUMN whole_digest text;

-- A lookup that ended without an answer stays until an admin, or another event, has it asked again.
ALTER TABLE lookups ADD COLUMN failed_at timestamptz;
