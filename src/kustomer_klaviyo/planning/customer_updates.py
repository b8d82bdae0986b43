"""Keeps who the customers are, and lets go on what waited to know them."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.connections.registry import Joined
from kustomer_klaviyo.connections.rules import Rules
from kustomer_klaviyo.facts import Fact
from kustomer_klaviyo.health.item_errors import frames
from kustomer_klaviyo.planning.event_planner import standing, unpack
from kustomer_klaviyo.planning.identity import ONLY_ATTRIBUTES, ONLY_TAGS
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.store import customers, lookups, outbox
from kustomer_klaviyo.store.lookups import Kind, Question
from kustomer_klaviyo.store.outbox import Restated, State

NOT_READABLE = "what is kept of the event cannot be read any more"

log = structlog.get_logger()


async def keep_people(
    connection: AsyncConnection[DictRow], joined: Joined, found: Sequence[customers.Person]
) -> set[str]:
    """Save customers, restate what waits of theirs by what is known now, and ask after those who are gone.

    Returns those of whom something was new.
    """
    connection_id = joined.connection.id
    changed = await customers.save(connection, connection_id, found)
    gone = sorted({person.customer_id for person in found if person.gone} & changed)
    if gone:
        await lookups.ask(connection, connection_id, [Question(Kind.MERGE, one) for one in gone])
        # What has an identifier may still go to it, until it is known what became of them.
        await restate(connection, joined, gone, states=(State.UNIDENTIFIED,))
    await restate(connection, joined, sorted(changed - set(gone)))
    return changed


async def restate(
    connection: AsyncConnection[DictRow],
    joined: Joined,
    customer_ids: Sequence[str],
    *,
    states: Sequence[State] = (State.WAITING, State.UNIDENTIFIED),
) -> None:
    """Judge the events of some customers anew: they wait for an identifier, or go to the one that is theirs now."""
    connection_id = joined.connection.id
    rows = await outbox.concerned_by(
        connection,
        connection_id,
        customer_ids,
        states=states,
        gone=(Reason.CUSTOMER_GONE, Reason.NOT_READ),
        left_out=(ONLY_TAGS, ONLY_ATTRIBUTES),
    )
    if not rows:
        return
    known = await customers.identified(connection, connection_id, sorted({row["subject"] for row in rows}))
    news = [judge(row, known.get(row["subject"]), joined.rules) for row in rows]
    await outbox.restate(connection, connection_id, news)


def judge(row: Mapping[str, Any], person: customers.Identifiers | None, rules: Rules) -> Restated:
    """Judge a kept delivery anew; one that cannot be read any more is failed, and no hindrance to others."""
    fact = read_fact(row)
    if fact is None:
        return Restated(row["key"], State.FAILED, NOT_READABLE)
    return standing(fact, person, rules).restated(row["key"])


def read_fact(row: Mapping[str, Any]) -> Fact | None:
    """Return the fact of a kept delivery; None when it cannot be read any more."""
    try:
        return unpack(row["kind"], row["fact"])
    except Exception as error:  # noqa: BLE001 - whatever it is, it is this delivery's
        log.warning("delivery.unreadable", key=row["key"], error=type(error).__name__, at=frames(error))
        return None
