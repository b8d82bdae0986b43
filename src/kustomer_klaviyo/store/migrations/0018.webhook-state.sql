-- Whether Kustomer still sends webhooks: it switches off one whose deliveries fail for long.
ALTER TABLE delivery_lanes ADD COLUMN webhook_state text, ADD COLUMN webhook_since timestamptz;
ALTER TABLE lookups DROP CONSTRAINT lookups_kind_check;
ALTER TABLE lookups ADD CONSTRAINT lookups_kind_check
    CHECK (kind IN ('customer', 'conversation', 'merge', 'sweep', 'webhook'));
