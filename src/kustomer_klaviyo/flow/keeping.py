"""Keeps who the customers are, and lets go on what waited to know them."""

from collections.abc import Sequence

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.flow.directory import Joined
from kustomer_klaviyo.flow.telling import GONE, standing, unpack
from kustomer_klaviyo.store import deliveries, lookups, people
from kustomer_klaviyo.store.lookups import Kind, Question


async def keep_people(connection: AsyncConnection[DictRow], joined: Joined, found: Sequence[people.Person]) -> set[str]:
    """Save customers, restate every delivery that waited to know them, and ask after those who are gone.

    Returns those of whom something was new.
    """
    connection_id = joined.connection.id
    changed = await people.save(connection, connection_id, found)
    gone = sorted({person.customer_id for person in found if person.gone} & changed)
    if gone:
        await lookups.ask(connection, connection_id, [Question(Kind.MERGE, one) for one in gone])
    if changed:
        await restate_waiting(connection, joined, sorted(changed))
    return changed


async def restate_waiting(connection: AsyncConnection[DictRow], joined: Joined, customer_ids: Sequence[str]) -> None:
    """Let the events of these customers go on that waited for an identifier of theirs."""
    connection_id = joined.connection.id
    rows = await deliveries.unidentified_of(connection, connection_id, customer_ids, gone=GONE)
    if not rows:
        return
    known = await people.identified(connection, connection_id, sorted({row["subject"] for row in rows}))
    news = []
    for row in rows:
        owed = standing(unpack(row["kind"], row["fact"]), known.get(row["subject"]), joined.rules)
        news.append(deliveries.Restated(row["key"], owed.state, owed.reason, owed.identifier, owed.call))
    await deliveries.restate(connection, connection_id, news)
