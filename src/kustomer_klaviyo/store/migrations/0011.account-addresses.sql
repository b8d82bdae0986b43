-- An account is known by one way to write its address: NFKC, and A to Z in lower case. The database's own lower() depends
-- on its locale, and takes other letters for these. Of accounts that were two and are one now, the first stays.
ALTER TABLE accounts ADD COLUMN canonical_email text;
UPDATE accounts SET canonical_email = lower(btrim(normalize(email, NFKC)) COLLATE "C");
DELETE FROM accounts USING accounts AS first
WHERE first.canonical_email = accounts.canonical_email AND first.id < accounts.id;
ALTER TABLE accounts ALTER COLUMN canonical_email SET NOT NULL;
DROP INDEX accounts_email;
CREATE UNIQUE INDEX accounts_canonical_email ON accounts (canonical_email);
