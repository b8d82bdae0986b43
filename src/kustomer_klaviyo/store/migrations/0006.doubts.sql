-- What was told of a person may turn out not to be so; who is gone stays gone until Kustomer says otherwise, later.
ALTER TABLE people
    ADD COLUMN seen_at      timestamptz,
    ADD COLUMN taken_phone  text,
    ADD COLUMN klaviyo_seen timestamptz;
UPDATE people SET seen_at = updated_at WHERE gone;
UPDATE people SET klaviyo_seen = now() WHERE klaviyo_id IS NOT NULL;
CREATE INDEX people_phone ON people (connection_id, phone);

-- held: set aside by a setting that a newer observation of the conversation may lift (spam, imported, brand).
ALTER TABLE deliveries ADD COLUMN held boolean NOT NULL DEFAULT false;
UPDATE deliveries SET held = true WHERE state = 'skipped' AND kind <> 'profile';
