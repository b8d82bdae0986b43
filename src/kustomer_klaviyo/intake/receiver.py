"""The door: a webhook is verified, read, and acknowledged once it is durable or found to tell nothing new.

Events that arrive while one commit is in flight share the next one (group commit). Knows nothing of HTTP's machinery.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.connections.registry import Directory, Joined
from kustomer_klaviyo.health.item_errors import frames
from kustomer_klaviyo.intake.dedup import Doorkeeper, Told, told_by
from kustomer_klaviyo.intake.deferred_writes import Notes, Object
from kustomer_klaviyo.kustomer.interpret import Statement, interpret
from kustomer_klaviyo.kustomer.json_repair import MalformedJSON
from kustomer_klaviyo.kustomer.signature import TEST_EVENT, is_signed
from kustomer_klaviyo.kustomer.wire import Envelope, as_id, decode_webhook
from kustomer_klaviyo.planning.unreadable import Oversized, unread
from kustomer_klaviyo.store import conversations, customers, inbox, recorded_facts
from kustomer_klaviyo.store.database import UNREACHABLE, Database
from kustomer_klaviyo.store.inbox import NewEvent, UnreadEvent, land

LARGEST_BODY = 1_000_000
"""Bytes that are kept; the largest documents of both vendors are far smaller."""

LARGEST_STREAM = 32_000_000
"""Bytes that are read, to see whether a body that is not kept was signed."""

LARGEST_GROUP = 512
MOST_WAITING = 4096
"""Events that may wait for their commit; beyond it Kustomer is asked to come again."""

COMMIT_SECONDS = 5.0
AWAY_SECONDS = 0.5
"""After the database was found away, events are turned back at once for this long."""

STRANGER_TOKENS = ("no connection has this token",)

IsSigned = Callable[[Sequence[str]], bool]
"""Says whether any of the tokens made a body's signature."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the vendor is told."""

    status: int
    text: str
    retry_after: int | None = None


RECEIVED = Answer(200, "received")
NOTHING_NEW = Answer(200, "nothing new")
UNKNOWN_CONNECTION = Answer(404, "no such connection, or the signature does not belong to it")
BAD_SIGNATURE = Answer(401, "no such connection, or the signature does not belong to it")
UNREAD = Answer(200, "received, but it cannot be read; it is kept as it came")
TOO_LARGE = Answer(413, f"the body is larger than {LARGEST_STREAM} bytes")
AWAY = Answer(503, "the event could not be stored; send it again", retry_after=5)
BUSY = Answer(503, "too many events wait to be stored; send it again", retry_after=2)


@dataclass(slots=True)
class Arrival:
    """An event at the door, waiting to become durable."""

    event: NewEvent
    told: Told
    answer: asyncio.Future[Answer] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Intake:
    """Takes webhooks in. One per process; ``run`` must run beside it."""

    def __init__(self, database: Database, directory: Directory) -> None:
        self._database = database
        self._directory = directory
        self._doorkeeper = Doorkeeper()
        self._waiting: list[Arrival] = []
        self._arrived = asyncio.Event()
        self._lane: AsyncConnection[DictRow] | None = None
        self._away_until = 0.0
        self._notes = Notes(database)
        self._pending: Counter[Object] = Counter()

    async def receive(self, connection_id: str, signature: str, body: bytes) -> Answer:
        """Answer one webhook; 2xx only when nothing of it can be lost any more."""
        if not self._directory.is_known:
            return AWAY
        joined = await self._identify(connection_id, lambda tokens: is_signed(body, signature, tokens))
        if isinstance(joined, Answer):
            return joined
        self._count(joined, "received")
        try:
            arrival = self._read(joined, body)
        except MalformedJSON:
            self._count(joined, "unreadable")
            return await self._keep(unread(joined.connection.id, body))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is kept with the event
            _log_fault("intake.event_failed", error, connection=joined.connection.id)
            return await self._keep(unread(joined.connection.id, body, error=error))
        if self._is_noise(arrival.told):
            self._count(joined, "nothing new")
            return NOTHING_NEW
        return await self._admit(arrival)

    def _read(self, joined: Joined, body: bytes) -> Arrival:
        """Read one webhook. Raises MalformedJSON, or whatever a fault of ours raises."""
        now = datetime.now(UTC)
        envelope = decode_webhook(body)
        statement = interpret(envelope, received_at=now)
        told = told_by(joined, statement)
        if envelope.name == TEST_EVENT:
            self._count(joined, "tested")
        self._expect_agent(joined, statement)
        return Arrival(_new_event(joined, envelope, statement, body, now), told)

    async def _identify(self, connection_id: str, is_signed: IsSigned) -> Joined | Answer:
        """Return the connection that a webhook belongs to, or what a stranger is told.

        A connection, or a token, saved a moment ago is not known in every process yet: so it is looked for.
        """
        found = self._check(connection_id, is_signed)
        if isinstance(found, Joined):
            return found
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                await self._directory.catch_up()
        except UNREACHABLE:
            return AWAY
        found = self._check(connection_id, is_signed)
        known = self._directory.get(connection_id)
        if found is BAD_SIGNATURE and known is not None:
            self._count(known, "bad signature")
        return found

    def _check(self, connection_id: str, is_signed: IsSigned) -> Joined | Answer:
        joined = self._directory.get(connection_id)
        tokens = STRANGER_TOKENS if joined is None else joined.connection.secrets.webhook_tokens
        signed = is_signed(tokens)
        if joined is None:
            return AWAY if self._directory.is_broken(connection_id) else UNKNOWN_CONNECTION
        if not tokens:
            return AWAY  # its webhook is being made: Kustomer has the token, we are about to
        return joined if signed else BAD_SIGNATURE

    async def measure(self, connection_id: str) -> Oversized:
        """Begin to measure a body that is too large to hold, for ``receive_oversized``."""
        if self._directory.get(connection_id) is None:
            with suppress(*UNREACHABLE):
                async with asyncio.timeout(COMMIT_SECONDS):
                    await self._directory.catch_up()
        joined = self._directory.get(connection_id)
        return Oversized(STRANGER_TOKENS if joined is None else joined.connection.secrets.webhook_tokens)

    async def receive_oversized(self, connection_id: str, signature: str, body: Oversized) -> Answer:
        """Answer one webhook that was too large to hold: what it was about is read by API."""
        if not self._directory.is_known:
            return AWAY
        joined = await self._identify(connection_id, lambda _: body.is_signed(signature))
        if isinstance(joined, Answer):
            return joined
        self._count(joined, "received")
        self._count(joined, "unreadable")
        return await self._keep(body.event(connection_id))

    async def _keep(self, event: UnreadEvent) -> Answer:
        """Keep what could not be read; there is little of it, so each is a commit of its own."""
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                await inbox.keep(self._database, event)
        except UNREACHABLE as error:
            log.warning("database.unavailable", where="intake", error=type(error).__name__)
            return AWAY
        except Exception as error:  # noqa: BLE001 - Kustomer is asked to come again
            _log_fault("intake.keeping_failed", error, connection=event.connection_id)
            return AWAY
        return UNREAD

    async def _admit(self, arrival: Arrival) -> Answer:
        if asyncio.get_running_loop().time() < self._away_until:
            return AWAY
        if len(self._waiting) >= MOST_WAITING:
            return BUSY
        objects = arrival.told.objects
        self._pending.update(objects)
        arrival.answer.add_done_callback(lambda _: self._settle(objects))
        self._waiting.append(arrival)
        self._arrived.set()
        return await arrival.answer

    def _settle(self, objects: list[Object]) -> None:
        """Let go of what an arrival was about: it is durable now, or turned back."""
        self._pending -= Counter(objects)

    def _is_noise(self, told: Told) -> bool:
        """Say whether all that an event tells is known to be durable; what was seen unchanged is taken note of.

        Not while another event about the same is on its way into the database: what is remembered may be of before.
        """
        if any(one in self._pending for one in told.objects) or self._doorkeeper.is_news(told):
            return False
        self._take_note(told)
        return True

    def _take_note(self, told: Told) -> None:
        for advance in self._doorkeeper.advance(told):
            self._notes.advanced(advance)

    def _expect_agent(self, joined: Joined, statement: Statement) -> None:
        """Have the card fetched before an agent looks. A wish lost in a crash costs an agent a moment, not an event."""
        if statement.awaits_agent and statement.customer_id is not None and joined.connection.app:
            self._notes.expect_agent((joined.connection.id, statement.customer_id))

    def _count(self, joined: Joined, name: str) -> None:
        self._notes.count(joined.connection.id, name)

    async def run(self) -> None:
        """Commit group after group until cancelled; what still waits then is turned back."""
        try:
            while True:
                await self._arrived.wait()
                group, self._waiting = self._waiting[:LARGEST_GROUP], self._waiting[LARGEST_GROUP:]
                if not self._waiting:
                    self._arrived.clear()
                await self._commit(group)
        finally:
            _answer(self._waiting, AWAY)
            await self._close_lane()

    async def keep_notes(self, *, seconds: float = 1.0) -> None:
        """Write the notes on noise down now and then; runs until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            await self.write_notes()

    async def write_notes(self) -> None:
        """Write the notes down now."""
        await self._notes.write()

    async def _commit(self, group: list[Arrival]) -> None:
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                with self._database.errors_told_apart():
                    if self._lane is None:
                        self._lane = await self._database.lane()
                    await self._store(self._lane, group)
        except UNREACHABLE as error:
            await self._turn_back(group)
            self._away_until = asyncio.get_running_loop().time() + AWAY_SECONDS
            log.warning("intake.database_away", turned_back=len(group), error=type(error).__name__)
        except Exception as error:  # noqa: BLE001 - narrowed down to the event that is the matter
            _log_fault("intake.commit_failed", error, events=len(group))
            await self._close_lane()
            await self._commit_apart(group, error)
        except BaseException:
            await self._turn_back(group)
            raise

    async def _turn_back(self, group: list[Arrival]) -> None:
        _answer(group, AWAY)
        await self._close_lane()

    async def _commit_apart(self, group: list[Arrival], error: Exception) -> None:
        """Commit each event of a group alone; the one that cannot be stored as it was read is kept as it came."""
        if len(group) > 1:
            for arrival in group:
                await self._commit([arrival])
            return
        [arrival] = group
        event = arrival.event
        _answer(group, await self._keep(unread(event.connection_id, event.body, error=error, bare=True)))

    async def _store(self, lane: AsyncConnection[DictRow], group: list[Arrival]) -> None:
        await self._ask(lane, group)
        news = self._news(group)
        if news:
            await land(lane, [arrival.event for arrival in news])
        fresh = {id(arrival) for arrival in news}
        for arrival in group:
            is_news = id(arrival) in fresh
            self._remember(arrival, is_news=is_news)
            _answer([arrival], RECEIVED if is_news else NOTHING_NEW)

    def _remember(self, arrival: Arrival, *, is_news: bool) -> None:
        if is_news:
            self._doorkeeper.landed([arrival.told])
        else:
            self._take_note(arrival.told)
            self._notes.count(arrival.event.connection_id, "nothing new")

    def _news(self, group: list[Arrival]) -> list[Arrival]:
        """Return what is news; what an earlier event of the same commit tells is no news in a later one."""
        draft = self._doorkeeper.draft()
        news: list[Arrival] = []
        for arrival in group:
            if draft.is_news(arrival.told):
                news.append(arrival)
                draft.landed([arrival.told])
            else:
                for _ in draft.advance(arrival.told):
                    pass
        return news

    async def _ask(self, lane: AsyncConnection[DictRow], group: list[Arrival]) -> None:
        keys = {pair for arrival in group for pair in self._doorkeeper.unknown_keys(arrival.told)}
        customer_keys = {pair for arrival in group for pair in self._doorkeeper.unknown_customers(arrival.told)}
        conversation_keys = {pair for arrival in group for pair in self._doorkeeper.unknown_conversations(arrival.told)}
        told = await recorded_facts.told(lane, list(keys)) if keys else {}
        known = await customers.known(lane, list(customer_keys)) if customer_keys else {}
        seen = await conversations.known(lane, list(conversation_keys)) if conversation_keys else {}
        self._doorkeeper.learn(told, known, seen)

    async def _close_lane(self) -> None:
        lane, self._lane = self._lane, None
        if lane is not None:
            with suppress(*UNREACHABLE):
                await lane.close()


def _answer(arrivals: list[Arrival], answer: Answer) -> None:
    for arrival in arrivals:
        if not arrival.answer.done():
            arrival.answer.set_result(answer)


def _new_event(joined: Joined, envelope: Envelope, statement: Statement, body: bytes, now: datetime) -> NewEvent:
    name = envelope.name if isinstance(envelope.name, str) and envelope.name.isprintable() else "unnamed"
    return NewEvent(
        connection_id=joined.connection.id,
        event_id=as_id(envelope.id) or hashlib.blake2b(body, digest_size=16).hexdigest(),
        name=name[:100],
        conversation_id=statement.conversation_id,
        customer_id=statement.customer_id,
        body=body,
        received_at=now,
    )


def _log_fault(name: str, error: Exception, **more: object) -> None:
    """Log where something went wrong; its words may hold what a customer wrote, and are kept with the event only."""
    log.error(name, error=type(error).__name__, at=frames(error), **more)
