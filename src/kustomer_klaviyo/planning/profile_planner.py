"""Owes profile writes: for every customer of whom something changed, what their profile at Klaviyo lacks."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.connections.registry import Joined
from kustomer_klaviyo.facts import ConversationSeen, Counted, SatisfactionAnswered
from kustomer_klaviyo.klaviyo.profile_request import Fields
from kustomer_klaviyo.planning.profile_diff import Owed, owed_profile
from kustomer_klaviyo.planning.support_state import Support, fields_of, open_conversations, together
from kustomer_klaviyo.store import conversations, customers, outbox, recorded_facts
from kustomer_klaviyo.store.customers import Profiled
from kustomer_klaviyo.store.outbox import NewDelivery, State

KIND = "profile"


async def owe_profiles(
    connection: AsyncConnection[DictRow],
    joined: Joined,
    customer_ids: Collection[str],
    *,
    causes: Mapping[str, str] | None = None,
) -> int:
    """Owe what the profiles of these customers lack; returns how many writes that is.

    ``causes`` are the events that tell of each customer.
    """
    connection_id = joined.connection.id
    if not customer_ids:
        return 0
    merged = await customers.aliases(connection, connection_id, sorted(customer_ids))
    survivors = {merged.get(one, one) for one in customer_ids}
    persons = await customers.profiled(connection, connection_id, sorted(survivors))
    supports = await _supports(connection, joined, persons, merged)
    news, stated = [], []
    for person in persons:
        owed = owed_profile(person, supports.get(person.customer_id, {}), joined.rules)
        if owed is not None:
            news.append(_delivery(person, owed, (causes or {}).get(person.customer_id)))
            stated.append((person.customer_id, msgspec.to_builtins(owed.stated), person.statements + 1))
    if news:
        await outbox.add(connection, connection_id, news)
        await customers.state(connection, connection_id, stated)
    return len(news)


async def _supports(
    connection: AsyncConnection[DictRow],
    joined: Joined,
    persons: Sequence[Profiled],
    merged: Mapping[str, str],
) -> dict[str, Fields]:
    """Return the state of each person's support, with what those brought along who became part of them."""
    if not joined.options.support_state:
        return {}
    connection_id = joined.connection.id
    parts = {person.customer_id: [person.customer_id] for person in persons}
    for source, target in merged.items():
        parts.setdefault(target, [target]).append(source)
    everybody = sorted({one for those in parts.values() for one in those})
    before = {
        customer_id: _support(row)
        for customer_id, row in (await recorded_facts.support(connection, connection_id, everybody)).items()
    }
    counted_at = {one: person.counted_at for person in persons for one in parts[person.customer_id]}
    began = await conversations.began(connection, connection_id, counted_at)
    seen = await conversations.turned(connection, connection_id, counted_at)
    found: dict[str, Fields] = {}
    for person in persons:
        those = parts[person.customer_id]
        support = together([before.get(one, Support()) for one in those])
        turned = [msgspec.convert(one, ConversationSeen) for part in those for one in seen.get(part, ())]
        begun = sum(began.get(one, 0) for one in those)
        found[person.customer_id] = fields_of(support, open_conversations(_counted(person), begun, turned))
    return found


def _support(row: DictRow) -> Support:
    answer = row["answer"]
    return Support(
        row["created_at"],
        row["done_at"],
        None if answer is None else msgspec.convert(answer, SatisfactionAnswered),
        row["ratings"],
        row["ratings_sum"],
    )


def _counted(person: Profiled) -> Counted | None:
    if person.counted_open is None or person.counted_at is None:
        return None
    return Counted(person.counted_open, person.counted_at)


def _delivery(person: Profiled, owed: Owed, cause: str | None) -> NewDelivery:
    return NewDelivery(
        key=f"profile:{person.customer_id}:{person.statements + 1}",
        kind=KIND,
        subject=person.customer_id,
        conversation_id="",
        occurred_at=datetime.now(UTC),
        rev=0,
        state=State.WAITING,
        fact={"notes": owed.notes} if owed.notes else {},
        event_id=cause,
        identifier=owed.call.identifier,
        call=msgspec.to_builtins(owed.call),
        leads=person.statements == 0 or bool(owed.call.former_email or owed.call.former_phone),
    )
