"""From landing one to landing two: waiting events become facts, facts become owed deliveries, in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.flow.directory import Joined
from kustomer_klaviyo.flow.identity import identify
from kustomer_klaviyo.flow.telling import Telling, standing, unpack
from kustomer_klaviyo.kustomer.interpret import Statement, interpret
from kustomer_klaviyo.kustomer.wire import MalformedJSON, decode_webhook
from kustomer_klaviyo.store import deliveries, inbox, lookups, people
from kustomer_klaviyo.store.database import UNREACHABLE, Database
from kustomer_klaviyo.store.inbox import Reading, WaitingEvent

BATCH = 500

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Understood:
    """How much one turn moved."""

    events: int
    told: int


async def understand_some(database: Database, joined: Joined) -> Understood:
    """Understand the oldest waiting events; one that cannot be understood is set aside and holds up nobody."""
    events = await inbox.waiting(database, joined.connection.id, BATCH)
    if not events:
        return Understood(0, 0)
    try:
        return await _understand(database, joined, events)
    except UNREACHABLE:
        raise
    except (psycopg.Error, ValueError, TypeError) as error:
        log.warning("understanding.one_by_one", connection=joined.connection.id, error=type(error).__name__)
        return await _one_by_one(database, joined, events)


async def _one_by_one(database: Database, joined: Joined, events: Sequence[WaitingEvent]) -> Understood:
    told = 0
    for event in events:
        try:
            told += (await _understand(database, joined, [event])).told
        except UNREACHABLE:
            raise
        except (psycopg.Error, ValueError, TypeError) as error:
            reading = Reading(event.event_id, f"could not be understood: {type(error).__name__}", failed=True)
            async with database.transaction() as connection:
                await inbox.mark_understood(connection, joined.connection.id, [reading])
    return Understood(len(events), told)


async def _understand(database: Database, joined: Joined, events: Sequence[WaitingEvent]) -> Understood:
    statements = [(event.event_id, _read(event)) for event in events]
    async with database.transaction() as connection:
        await absorb_people(connection, joined, [statement for _, statement in statements])
        telling = await _start_telling(connection, joined, [statement for _, statement in statements])
        readings = [Reading(event_id, _tell(telling, event_id, statement)) for event_id, statement in statements]
        await _owe(connection, joined.connection.id, telling)
        await inbox.mark_understood(connection, joined.connection.id, readings)
    return Understood(len(events), len(telling.new) + len(telling.released))


def _read(event: WaitingEvent) -> Statement:
    try:
        return interpret(decode_webhook(event.body), received_at=event.received_at)
    except MalformedJSON:
        return Statement()


async def _start_telling(
    connection: AsyncConnection[DictRow], joined: Joined, statements: Sequence[Statement]
) -> Telling:
    conversations = {fact.conversation.id for statement in statements for fact in statement.facts}
    conversations |= {statement.hint.conversation_id for statement in statements if statement.hint is not None}
    customers = {statement.customer_id for statement in statements if statement.facts and statement.customer_id}
    connection_id = joined.connection.id
    told = await deliveries.told_of(connection, connection_id, sorted(conversations)) if conversations else {}
    known = await people.identified(connection, connection_id, sorted(customers)) if customers else {}
    return Telling(joined.rules, told, known)


def _tell(telling: Telling, event_id: str, statement: Statement) -> str:
    notes = [telling.tell(fact, event_id) for fact in statement.facts]
    if statement.person is not None:
        notes.append("customer seen")
    if statement.hint is not None:
        notes.append(telling.hint(statement.hint))
    return "; ".join(notes) or "nothing we tell of"


async def _owe(connection: AsyncConnection[DictRow], connection_id: str, telling: Telling) -> None:
    if telling.new:
        await deliveries.add(connection, connection_id, list(telling.new.values()))
    if telling.released:
        await deliveries.restate(connection, connection_id, list(telling.released.values()))
    if telling.questions:
        await lookups.ask(connection, connection_id, list(telling.questions.values()))


async def absorb_people(connection: AsyncConnection[DictRow], joined: Joined, statements: Sequence[Statement]) -> None:
    """Keep who the customers are, and let go on what waited for an identifier of theirs."""
    seen = [statement.person for statement in statements if statement.person is not None]
    if seen:
        found = [identify(person, country=joined.options.default_country) for person in seen]
        await keep_people(connection, joined, found)


async def keep_people(connection: AsyncConnection[DictRow], joined: Joined, found: Sequence[people.Person]) -> None:
    """Save customers, and restate every delivery that waited to know them."""
    connection_id = joined.connection.id
    changed = await people.save(connection, connection_id, found)
    if not changed:
        return
    rows = await deliveries.unidentified_of(connection, connection_id, sorted(changed))
    if not rows:
        return
    known = await people.identified(connection, connection_id, sorted(changed))
    news = []
    for row in rows:
        owed = standing(unpack(row["kind"], row["fact"]), known.get(row["subject"]), joined.rules)
        news.append(deliveries.Restated(row["key"], owed.state, owed.reason, owed.identifier, owed.call))
    await deliveries.restate(connection, connection_id, news)
