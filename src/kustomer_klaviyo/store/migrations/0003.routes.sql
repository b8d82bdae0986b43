-- Where an organisation's conversations go, by their brand.
CREATE TABLE routes (
    organisation text PRIMARY KEY,
    document     jsonb NOT NULL,
    updated_at   timestamptz NOT NULL DEFAULT now()
);
