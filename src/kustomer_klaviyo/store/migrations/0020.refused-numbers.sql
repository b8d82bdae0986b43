-- usable_phones: the customer's numbers that Klaviyo may take, the likeliest first.
ALTER TABLE people ADD COLUMN usable_phones text[] NOT NULL DEFAULT '{}';
UPDATE people SET usable_phones = ARRAY[phone] WHERE phone IS NOT NULL;

-- The first contact that Klaviyo did not refuse.
CREATE FUNCTION first_usable(usable text[], refused text[]) RETURNS text LANGUAGE sql IMMUTABLE AS
    'SELECT one FROM unnest(usable) WITH ORDINALITY AS listed (one, place)
     WHERE lower(one) <> ALL (refused) ORDER BY place LIMIT 1';

-- The refused contacts that a customer still has.
CREATE FUNCTION still_usable(refused text[], usable text[]) RETURNS text[] LANGUAGE sql IMMUTABLE AS
    'SELECT ARRAY(SELECT one FROM unnest(refused) AS one WHERE one IN (SELECT lower(held) FROM unnest(usable) AS held))';
