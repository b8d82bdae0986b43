-- Reasons that code compares are codes; those kept as sentences by an older version would never be met again.
UPDATE deliveries SET reason = codes.code
FROM (VALUES
    ('the customer is being looked up in Kustomer', 'looking_up_customer'),
    ('no identifier: the customer has neither a usable email nor a phone yet', 'no_identifier'),
    ('no identifier: the customer has only a number, and Klaviyo keeps that under another profile', 'phone_taken'),
    ('the customer no longer exists in Kustomer (deleted, or merged into another)', 'customer_gone'),
    ('the conversation names no customer', 'no_customer'),
    ('spam: the conversation is marked as spam (option spam=skip)', 'spam'),
    ('imported: the conversation was imported into Kustomer (option imported=skip)', 'imported')
) AS codes (sentence, code)
WHERE deliveries.reason = codes.sentence;

-- What names no customer waits, where it used to fail; the conversation is read once.
UPDATE deliveries SET state = 'unidentified', settled_at = NULL
WHERE state = 'failed' AND reason = 'no_customer' AND kind <> 'profile';
INSERT INTO lookups (connection_id, kind, id)
SELECT DISTINCT connection_id, 'conversation', conversation_id FROM deliveries
WHERE state = 'unidentified' AND reason = 'no_customer'
ON CONFLICT DO NOTHING;
