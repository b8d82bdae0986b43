"""Turns to a customer's next contact where Klaviyo does not take one."""

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.connections.registry import Joined
from kustomer_klaviyo.klaviyo.blamed_fields import NOT_TAKEN
from kustomer_klaviyo.planning.customer_updates import restate
from kustomer_klaviyo.planning.profile_planner import owe_profiles
from kustomer_klaviyo.store import refused_values


async def refuse_contact(db: AsyncConnection[DictRow], joined: Joined, customer_id: str, contact: str) -> bool:
    """Pass over an address or number from now on; returns whether the customer has another.

    What waits of the customer goes to the other, and the profile is owed under it. Each call leaves one contact less,
    so that trying one after another ends.
    """
    left = await refused_values.refuse_contact(db, joined.connection.id, customer_id, contact)
    if left is None or (left.email or left.phone) in (None, contact):
        return False
    await restate(db, joined, [left.customer_id])
    await refused_values.note(db, joined.connection.id, left.customer_id, f"{contact} left out: {NOT_TAKEN}")
    await owe_profiles(db, joined, [left.customer_id])
    return True
