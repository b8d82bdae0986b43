"""What is past its time: set aside when it waited too long, forgotten when it was settled long ago."""

from kustomer_klaviyo.store.database import Database

EXPIRE = """
-- What waited too long for an identifier failed; what waited too long for a customer concerns nobody.
UPDATE deliveries SET settled_at = now(),
    state = CASE WHEN reason = %(no_customer)s THEN 'skipped' ELSE 'failed' END,
    reason = CASE WHEN reason = %(no_customer)s THEN %(never_any)s ELSE %(never_identified)s END
WHERE connection_id = %(connection)s AND state = 'unidentified'
  AND created_at < now() - make_interval(days => %(days)s)
"""

PURGE = """
-- Keys settled long before the horizon are no longer needed to refuse a second telling.
DELETE FROM deliveries WHERE connection_id = %s AND state IN ('delivered', 'skipped')
  AND created_at < now() - make_interval(days => %s) AND occurred_at < now() - make_interval(days => %s)
"""

PURGE_PROFILES = """
-- Profile writes refuse no second telling, so that they need not be kept as long, unlike what became of those who left.
DELETE FROM deliveries WHERE connection_id = %s AND kind = 'profile' AND state IN ('delivered', 'skipped')
  AND key LIKE 'profile:%%'
  AND created_at < now() - make_interval(days => %s)
"""


async def expire_unidentified(
    database: Database, connection_id: str, *, days: int, no_customer: str, never_any: str, never_identified: str
) -> int:
    """Set aside what waited too long, by reasons of who is missing; returns how many."""
    reasons = {"no_customer": no_customer, "never_any": never_any, "never_identified": never_identified}
    return await database.execute(EXPIRE, reasons | {"connection": connection_id, "days": days})


async def purge(database: Database, connection_id: str, *, days: int) -> int:
    """Forget what was settled long ago; returns how many."""
    return await database.execute(PURGE, (connection_id, days, days))


async def purge_profiles(database: Database, connection_id: str, *, days: int) -> int:
    """Forget profile writes settled a while ago; returns how many."""
    return await database.execute(PURGE_PROFILES, (connection_id, days))
