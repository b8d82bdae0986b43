-- A moment from which nothing or everything was told, entered by mistake, made every other command fail.
UPDATE connections SET horizon = now(), revision = revision + 1
WHERE horizon NOT BETWEEN '2000-01-01T00:00:00Z' AND now() + interval '1 hour';

ALTER TABLE connections ADD CONSTRAINT horizon_is_a_moment
    CHECK (horizon BETWEEN '2000-01-01T00:00:00Z' AND '3000-01-01T00:00:00Z');
