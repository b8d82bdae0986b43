-- What failed while others got through is told from what failed in an outage: only the former wears patience out.
ALTER TABLE deliveries ADD COLUMN own_failures integer NOT NULL DEFAULT 0, ADD COLUMN attempted_at timestamptz;
