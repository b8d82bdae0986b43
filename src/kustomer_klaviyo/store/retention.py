"""Retention: unidentified events that waited too long, and completed deliveries that are deleted."""

from kustomer_klaviyo.store.database import Database

EXPIRE = """
-- Events that waited too long for an identifier fail; those that waited too long for a customer are skipped.
UPDATE deliveries SET completed_at = now(), response_detail = NULL,
    state = CASE WHEN reason = %(no_customer)s THEN 'skipped' ELSE 'failed' END,
    reason = CASE WHEN reason = %(no_customer)s THEN %(never_any_customer)s ELSE %(never_identified)s END
WHERE connection_id = %(connection_id)s AND state = 'unidentified'
  AND created_at < now() - make_interval(days => %(days)s)
"""

DELETE_EXPIRED = """
-- A delivery prevents a second delivery of its fact. It is not needed once the fact itself is older than the retention.
DELETE FROM deliveries WHERE connection_id = %s AND state IN ('delivered', 'skipped')
  AND created_at < now() - make_interval(days => %s) AND occurred_at < now() - make_interval(days => %s)
"""

DELETE_EXPIRED_PROFILES = """
-- Profile writes prevent no second delivery, so that their retention is shorter. Removals stay as long as events.
DELETE FROM deliveries WHERE connection_id = %s AND kind = 'profile' AND NOT is_removal
  AND state IN ('delivered', 'skipped') AND created_at < now() - make_interval(days => %s)
"""


async def expire_unidentified(
    db: Database, connection_id: str, *, days: int, no_customer: str, never_any_customer: str, never_identified: str
) -> int:
    """Complete unidentified events that waited for more than ``days``; returns how many.

    ``no_customer`` is the reason of events without a customer. They get the reason ``never_any_customer``, all others
    ``never_identified``.
    """
    params = {
        "connection_id": connection_id,
        "days": days,
        "no_customer": no_customer,
        "never_any_customer": never_any_customer,
        "never_identified": never_identified,
    }
    return await db.execute(EXPIRE, params)


async def delete_expired(db: Database, connection_id: str, *, days: int) -> int:
    """Delete completed deliveries of facts older than ``days``; returns how many."""
    return await db.execute(DELETE_EXPIRED, (connection_id, days, days))


async def delete_expired_profiles(db: Database, connection_id: str, *, days: int) -> int:
    """Delete completed profile writes older than ``days``; returns how many."""
    return await db.execute(DELETE_EXPIRED_PROFILES, (connection_id, days))
