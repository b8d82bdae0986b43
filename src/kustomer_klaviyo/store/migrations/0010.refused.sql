-- usable_emails: the customer's addresses that Klaviyo may take, the likeliest first; refused_contacts: those of the
-- customer's addresses and numbers that it did not take, so that the next one is used until the customer's change.
ALTER TABLE people
    ADD COLUMN usable_emails    text[] NOT NULL DEFAULT '{}',
    ADD COLUMN refused_contacts text[] NOT NULL DEFAULT '{}';
UPDATE people SET usable_emails = ARRAY[email] WHERE email IS NOT NULL;
