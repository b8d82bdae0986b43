"""From landing one to landing two: waiting events become facts, facts become owed deliveries, in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.facts import milliseconds
from kustomer_klaviyo.flow.directory import Joined
from kustomer_klaviyo.flow.identity import identify
from kustomer_klaviyo.flow.keeping import keep_people
from kustomer_klaviyo.flow.owing import owe_profiles
from kustomer_klaviyo.flow.telling import Telling
from kustomer_klaviyo.kustomer.interpret import Statement, interpret
from kustomer_klaviyo.kustomer.wire import MalformedJSON, decode_webhook
from kustomer_klaviyo.store import conversations, deliveries, inbox, lookups, people
from kustomer_klaviyo.store.conversations import Seen
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
        seen = [statement for _, statement in statements]
        concerned = await absorb_people(connection, joined, seen)
        concerned |= await _absorb_conversations(connection, joined, seen)
        telling = await _start_telling(connection, joined, seen)
        readings = [Reading(event_id, _tell(telling, event_id, statement)) for event_id, statement in statements]
        causes = {statement.customer_id: event_id for event_id, statement in statements if statement.customer_id}
        await _owe(connection, joined.connection.id, telling)
        await owe_profiles(connection, joined, concerned | telling.subjects, causes=causes)
        await inbox.mark_understood(connection, joined.connection.id, readings)
    return Understood(len(events), len(telling.new) + len(telling.released))


async def _absorb_conversations(
    connection: AsyncConnection[DictRow], joined: Joined, statements: Sequence[Statement]
) -> set[str]:
    """Keep which conversations are open; returns the customers whom that concerns."""
    found = [
        Seen(
            one.conversation.id,
            one.conversation.customer_id,
            one.conversation.rev,
            one.fingerprint,
            msgspec.to_builtins(one),
            {str(milliseconds(one.since)): one.is_open},
        )
        for statement in statements
        if (one := statement.seen) is not None
    ]
    return await conversations.save(connection, joined.connection.id, found) if found else set()


def _read(event: WaitingEvent) -> Statement:
    try:
        return interpret(decode_webhook(event.body), received_at=event.received_at)
    except MalformedJSON:
        return Statement()


async def _start_telling(
    connection: AsyncConnection[DictRow], joined: Joined, statements: Sequence[Statement]
) -> Telling:
    concerned = {fact.conversation.id for statement in statements for fact in statement.facts}
    concerned |= {statement.hint.conversation_id for statement in statements if statement.hint is not None}
    customers = {statement.customer_id for statement in statements if statement.facts and statement.customer_id}
    connection_id = joined.connection.id
    told = await deliveries.told_of(connection, connection_id, sorted(concerned)) if concerned else {}
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


async def absorb_people(
    connection: AsyncConnection[DictRow], joined: Joined, statements: Sequence[Statement]
) -> set[str]:
    """Keep who the customers are, and let go on what waited for an identifier of theirs; returns who changed."""
    seen = [statement.person for statement in statements if statement.person is not None]
    if not seen:
        return set()
    return await keep_people(connection, joined, [identify(person, joined.rules) for person in seen])
