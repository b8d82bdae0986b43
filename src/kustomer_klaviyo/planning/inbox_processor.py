"""From landing one to landing two: waiting events become facts, facts become owed deliveries, in one transaction."""

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import structlog
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.connections.registry import Joined
from kustomer_klaviyo.facts import milliseconds
from kustomer_klaviyo.health.item_errors import describe, frames
from kustomer_klaviyo.kustomer.interpret import Statement, interpret
from kustomer_klaviyo.kustomer.json_repair import MalformedJSON
from kustomer_klaviyo.kustomer.unreadable_ids import Salvaged, salvage
from kustomer_klaviyo.kustomer.webhook_notes import remarks
from kustomer_klaviyo.kustomer.wire import decode_webhook
from kustomer_klaviyo.planning.customer_updates import keep_people
from kustomer_klaviyo.planning.event_planner import Telling
from kustomer_klaviyo.planning.identity import identify
from kustomer_klaviyo.planning.profile_planner import owe_profiles
from kustomer_klaviyo.planning.unreadable import Problem, sentence
from kustomer_klaviyo.store import conversations, customers, inbox, lookups, outbox, recorded_facts
from kustomer_klaviyo.store.conversations import Seen
from kustomer_klaviyo.store.database import UNREACHABLE, Database
from kustomer_klaviyo.store.inbox import Reading, WaitingEvent
from kustomer_klaviyo.store.lookups import Kind, Question

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
    except Exception as error:  # noqa: BLE001 - narrowed down to the events that are the matter
        log.warning("inbox.batch_failed", connection=joined.connection.id, error=type(error).__name__, at=frames(error))
        return await _narrow_down(database, joined, events, error)


async def _narrow_down(
    database: Database, joined: Joined, events: Sequence[WaitingEvent], error: Exception
) -> Understood:
    """Understand events half by half; one that fails alone is failed, with the traceback."""
    if len(events) == 1:
        await _fail(database, joined, events[0], error)
        return Understood(1, 0)
    moved, stuck, middle = Understood(0, 0), None, len(events) // 2
    for half in (events[:middle], events[middle:]):
        try:
            done = await _understand(database, joined, half)
        except UNREACHABLE:
            raise
        except Exception as narrower:  # noqa: BLE001 - see above
            try:
                done = await _narrow_down(database, joined, half, narrower)
            except Exception as unwritten:  # noqa: BLE001 - told when the other half is done
                stuck, done = unwritten, Understood(0, 0)
        moved = Understood(moved.events + done.events, moved.told + done.told)
    if stuck is not None:
        raise stuck
    return moved


async def _fail(database: Database, joined: Joined, event: WaitingEvent, error: Exception) -> None:
    log.error(
        "inbox.event_failed",
        connection=joined.connection.id,
        event_id=event.event_id,
        error=type(error).__name__,
        at=frames(error),
    )
    unread = _Unread(event.event_id, Problem.FAULT, type(error).__name__, None, describe(error).traceback)
    async with database.transaction() as connection:
        await inbox.mark_understood(connection, joined.connection.id, [unread.reading()])


@dataclass(frozen=True, slots=True)
class _Read:
    """An event and what it tells, with notes on what of it could not be held."""

    event_id: str
    statement: Statement
    remarks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Unread:
    """An event whose body says nothing to us, and the object it is about as far as that can be told."""

    event_id: str
    problem: Problem
    detail: str
    about: Salvaged | None
    error: str | None = None

    def reading(self) -> Reading:
        """Say what became of the event: what is read by API instead is not lost."""
        note = sentence(self.problem, self.detail, self.about)
        is_healed = self.problem is Problem.TOO_LARGE and self.about is not None
        return Reading(self.event_id, note, failed=not is_healed, reason=self.problem, error=self.error)

    def question(self) -> Question | None:
        """Ask for the object by API."""
        return None if self.about is None else Question(Kind(self.about.kind), self.about.id)


async def _understand(database: Database, joined: Joined, events: Sequence[WaitingEvent]) -> Understood:
    tried = [_read(event) for event in events]
    read = [one for one in tried if isinstance(one, _Read)]
    unread = [one for one in tried if isinstance(one, _Unread)]
    async with database.transaction() as connection:
        seen = [one.statement for one in read]
        concerned = await absorb_people(connection, joined, seen)
        concerned |= await _absorb_conversations(connection, joined, seen)
        telling = await _start_telling(connection, joined, seen)
        readings = [Reading(one.event_id, _tell(telling, one)) for one in read]
        readings += [one.reading() for one in unread]
        telling.follow()
        causes = {one.statement.customer_id: one.event_id for one in read if one.statement.customer_id}
        await _owe(connection, joined.connection.id, telling)
        await _ask_instead(connection, joined.connection.id, unread)
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
            one.conversation.rev if one.is_unanswered else 0,
        )
        for statement in statements
        if (one := statement.seen) is not None
    ]
    return await conversations.save(connection, joined.connection.id, found) if found else set()


def _read(event: WaitingEvent) -> _Read | _Unread:
    if event.whole_size is not None:
        return _Unread(event.event_id, Problem.TOO_LARGE, f"{event.whole_size:,}", salvage(event.body))
    try:
        envelope = decode_webhook(event.body)
        return _Read(event.event_id, interpret(envelope, received_at=event.received_at), remarks(envelope))
    except MalformedJSON as error:
        said = f"{len(event.body):,} bytes: {error}"
        return _Unread(event.event_id, Problem.UNREADABLE, said, salvage(event.body))


async def _ask_instead(connection: AsyncConnection[DictRow], connection_id: str, unread: Sequence[_Unread]) -> None:
    """Owe the reading of what unreadable events were about."""
    questions = {(one.kind, one.id): one for unread_event in unread if (one := unread_event.question()) is not None}
    if questions:
        await lookups.ask(connection, connection_id, list(questions.values()))


async def _start_telling(
    connection: AsyncConnection[DictRow], joined: Joined, statements: Sequence[Statement]
) -> Telling:
    concerned = {fact.conversation.id for statement in statements for fact in statement.facts}
    concerned |= {statement.hint.conversation_id for statement in statements if statement.hint is not None}
    customer_ids = {statement.customer_id for statement in statements if statement.facts and statement.customer_id}
    connection_id = joined.connection.id
    told = await recorded_facts.told_of(connection, connection_id, sorted(concerned)) if concerned else {}
    newest = await conversations.newest(connection, connection_id, sorted(concerned)) if concerned else {}
    customer_ids |= {one.customer_id for one in newest.values() if one.customer_id is not None}
    known = await customers.identified(connection, connection_id, sorted(customer_ids)) if customer_ids else {}
    return Telling(joined.rules, told, known, newest)


def _tell(telling: Telling, event: _Read) -> str:
    statement = event.statement
    notes = [telling.tell(fact, event.event_id) for fact in statement.facts]
    if statement.person is not None:
        notes.append("customer seen")
    if statement.hint is not None:
        notes.append(telling.hint(statement.hint))
    return "; ".join((*(notes or ["nothing we tell of"]), *statement.notes, *event.remarks))


async def _owe(connection: AsyncConnection[DictRow], connection_id: str, telling: Telling) -> None:
    if telling.new:
        await outbox.add(connection, connection_id, list(telling.new.values()))
    if telling.released:
        await outbox.restate(connection, connection_id, list(telling.released.values()))
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
