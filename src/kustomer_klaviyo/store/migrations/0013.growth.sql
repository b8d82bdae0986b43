-- What an event, a card or a round of housekeeping costs does not grow with what is kept (tests/store/test_plans.py).

-- When the next delivery is due, and which connections have one: asked every second.
CREATE INDEX deliveries_waiting_due ON deliveries (connection_id, due_at) WHERE state = 'waiting';

-- Housekeeping finds what is past its time without reading the rest.
CREATE INDEX deliveries_settled ON deliveries (connection_id, created_at) WHERE state IN ('delivered', 'skipped');
CREATE INDEX deliveries_settled_profile ON deliveries (connection_id, created_at)
    WHERE state IN ('delivered', 'skipped') AND kind = 'profile';
CREATE INDEX inbox_understood ON inbox (connection_id, received_at) WHERE state = 'understood';
DROP INDEX inbox_received;
CREATE INDEX insights_idle ON insights (connection_id, due_at) WHERE wish IS NULL;

-- By which address Klaviyo was last told of a customer. A column of its own, so that a statement that leaves the address
-- as it was touches no index.
ALTER TABLE people ADD COLUMN stated_email text GENERATED ALWAYS AS (lower(stated ->> 'email')) STORED;
CREATE INDEX people_stated_email ON people (connection_id, stated_email) WHERE stated_email IS NOT NULL;
