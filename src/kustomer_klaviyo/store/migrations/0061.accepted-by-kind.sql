-- When Klaviyo last took an event, and when a profile write: one endpoint may be away while the other is well.
ALTER TABLE delivery_lanes ADD COLUMN event_accepted_at timestamptz, ADD COLUMN profile_accepted_at timestamptz;
UPDATE delivery_lanes SET event_accepted_at = last_accepted_at, profile_accepted_at = last_accepted_at;
