"""Receives webhooks: verifies, parses and acknowledges each one once it is durable or known to be a duplicate.

Events that arrive while a commit is in flight share the next one (group commit). Independent of the web framework.
"""

import asyncio
import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.connections.registry import ConnectionRegistry
from kustomer_klaviyo.health.item_errors import frames
from kustomer_klaviyo.intake.dedup import DedupCache, Entity, EventContent, read_content
from kustomer_klaviyo.intake.deferred_writes import DeferredWrites
from kustomer_klaviyo.kustomer.interpret import Observation, interpret
from kustomer_klaviyo.kustomer.json_repair import MalformedJSON
from kustomer_klaviyo.kustomer.signature import TEST_EVENT, is_signed
from kustomer_klaviyo.kustomer.wire import Envelope, as_id, decode_webhook
from kustomer_klaviyo.planning.unreadable import OversizedBody, unreadable_event
from kustomer_klaviyo.store import conversations, customers, inbox, recorded_facts
from kustomer_klaviyo.store.database import UNAVAILABLE_ERRORS, Database, DedicatedConnection
from kustomer_klaviyo.store.inbox import NewEvent, UnreadableEvent
from kustomer_klaviyo.store.lookups import LookupKind

MAX_BODY_BYTES = 1_000_000
"""Larger bodies are not stored whole. The largest documents of both vendors are far smaller."""

MAX_STREAM_BYTES = 32_000_000
"""Larger bodies are not even read to verify their signature."""

MAX_GROUP = 512
MAX_PENDING = 4096
"""Events that may wait for a commit; beyond that, Kustomer is asked to retry."""

COMMIT_SECONDS = 5.0
UNAVAILABLE_SECONDS = 0.5
"""For this long after the database was unavailable, events are rejected at once."""

UNKNOWN_CONNECTION_TOKENS = ("no connection has this token",)

IsSigned = Callable[[Sequence[str]], bool]
"""Returns whether any of the tokens made the signature of a body."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """The response to Kustomer."""

    status: int
    text: str
    retry_after: int | None = None


RECEIVED = WebhookResponse(200, "received")
UNCHANGED = WebhookResponse(200, "unchanged")
UNKNOWN_CONNECTION = WebhookResponse(404, "no such connection, or the signature does not belong to it")
BAD_SIGNATURE = WebhookResponse(401, "no such connection, or the signature does not belong to it")
UNREADABLE = WebhookResponse(200, "received, but it cannot be read; it is stored as received")
TOO_LARGE = WebhookResponse(413, f"the body is larger than {MAX_STREAM_BYTES} bytes")
UNAVAILABLE = WebhookResponse(503, "the event could not be stored; send it again", retry_after=5)
OVERLOADED = WebhookResponse(503, "too many events wait to be stored; send it again", retry_after=2)


@dataclass(slots=True, eq=False)
class PendingEvent:
    """An event that waits for its commit."""

    event: NewEvent
    content: EventContent
    response: asyncio.Future[WebhookResponse] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Intake:
    """Receives webhooks. One per process; its ``run`` must be running."""

    def __init__(self, db: Database, registry: ConnectionRegistry) -> None:
        self._db = db
        self._registry = registry
        self._dedup = DedupCache()
        self._deferred = DeferredWrites(db)
        self._queue: list[PendingEvent] = []
        self._has_queued = asyncio.Event()
        self._pending_entities: Counter[Entity] = Counter()
        self._conn: DedicatedConnection | None = None
        self._unavailable_until = 0.0

    async def receive(self, connection_id: str, signature: str, body: bytes) -> WebhookResponse:
        """Handle one webhook. The response is 2xx only once nothing of it can be lost."""
        if not self._registry.is_loaded:
            return UNAVAILABLE
        context = await self._authenticate(connection_id, lambda tokens: is_signed(body, signature, tokens))
        if isinstance(context, WebhookResponse):
            return context
        self._count(context, "received")
        try:
            event = self._parse(context, body)
        except MalformedJSON:
            self._count(context, "unreadable")
            return await self._store_unreadable(unreadable_event(context.connection.id, body))
        except Exception as error:  # noqa: BLE001 - any error is stored with the event
            _log_error("intake.event_failed", error, connection=context.connection.id)
            return await self._store_unreadable(unreadable_event(context.connection.id, body, error=error))
        if self._is_unchanged(event.content):
            self._count(context, "unchanged")
            return UNCHANGED
        return await self._enqueue(event)

    def _parse(self, context: ConnectionContext, body: bytes) -> PendingEvent:
        """Parse one webhook. Raises MalformedJSON, or the exception of an unexpected error."""
        now = datetime.now(UTC)
        envelope = decode_webhook(body)
        observation = interpret(envelope, received_at=now)
        content = read_content(context, observation)
        if envelope.name == TEST_EVENT:
            self._count(context, "tested")
        self._request_prefetch(context, observation)
        return PendingEvent(_new_event(context, envelope, observation, body, now), content)

    async def _authenticate(self, connection_id: str, is_signed: IsSigned) -> ConnectionContext | WebhookResponse:
        """Return the connection that a webhook belongs to, or the response that rejects it.

        A process may not know yet a connection or a token that was saved a moment ago: it checks the database first.
        """
        result = self._check_signature(connection_id, is_signed)
        if isinstance(result, ConnectionContext):
            return result
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                await self._registry.catch_up()
        except UNAVAILABLE_ERRORS:
            return UNAVAILABLE
        result = self._check_signature(connection_id, is_signed)
        known = self._registry.get(connection_id)
        if result is BAD_SIGNATURE and known is not None:
            self._count(known, "bad_signature")
        return result

    def _check_signature(self, connection_id: str, is_signed: IsSigned) -> ConnectionContext | WebhookResponse:
        context = self._registry.get(connection_id)
        tokens = UNKNOWN_CONNECTION_TOKENS if context is None else context.connection.secrets.webhook_tokens
        signed = is_signed(tokens)
        if context is None:
            return UNAVAILABLE if self._registry.failed_to_load(connection_id) else UNKNOWN_CONNECTION
        if not tokens:
            return UNAVAILABLE  # set-up creates the webhook right now: Kustomer has the token, this service not yet
        return context if signed else BAD_SIGNATURE

    async def begin_oversized(self, connection_id: str) -> OversizedBody:
        """Return an empty body to stream chunks into, for ``receive_oversized``."""
        if self._registry.get(connection_id) is None:
            with suppress(*UNAVAILABLE_ERRORS):
                async with asyncio.timeout(COMMIT_SECONDS):
                    await self._registry.catch_up()
        context = self._registry.get(connection_id)
        return OversizedBody(
            UNKNOWN_CONNECTION_TOKENS if context is None else context.connection.secrets.webhook_tokens
        )

    async def receive_oversized(self, connection_id: str, signature: str, body: OversizedBody) -> WebhookResponse:
        """Handle one webhook whose body was too large to hold. A lookup reads the entity that it names."""
        if not self._registry.is_loaded:
            return UNAVAILABLE
        context = await self._authenticate(connection_id, lambda _: body.is_signed(signature))
        if isinstance(context, WebhookResponse):
            return context
        self._count(context, "received")
        self._count(context, "unreadable")
        return await self._store_unreadable(body.event(connection_id))

    async def _store_unreadable(self, event: UnreadableEvent) -> WebhookResponse:
        """Store an unreadable event. There are few, so each has its own commit."""
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                await inbox.insert_unreadable(self._db, event)
        except UNAVAILABLE_ERRORS as error:
            log.warning("database.unavailable", where="intake", error=type(error).__name__)
            return UNAVAILABLE
        except Exception as error:  # noqa: BLE001 - Kustomer retries
            _log_error("intake.storing_failed", error, connection=event.connection_id)
            return UNAVAILABLE
        return UNREADABLE

    async def _enqueue(self, event: PendingEvent) -> WebhookResponse:
        if asyncio.get_running_loop().time() < self._unavailable_until:
            return UNAVAILABLE
        if len(self._queue) >= MAX_PENDING:
            return OVERLOADED
        entities = event.content.entities
        self._pending_entities.update(entities)
        event.response.add_done_callback(lambda _: self._release(entities))
        self._queue.append(event)
        self._has_queued.set()
        return await event.response

    def _release(self, entities: list[Entity]) -> None:
        """Stop counting an event's entities as pending: it is durable now, or rejected."""
        self._pending_entities -= Counter(entities)

    def _is_unchanged(self, content: EventContent) -> bool:
        """Return whether everything in an event is known to be durable, and record newer revisions of its entities.

        Never while another event about the same entity waits for its commit: the cache may hold an earlier version.
        """
        if any(entity in self._pending_entities for entity in content.entities) or self._dedup.is_new(content):
            return False
        self._bump_revisions(content)
        return True

    def _bump_revisions(self, content: EventContent) -> None:
        for bump in self._dedup.bump_revisions(content):
            self._deferred.bump_revision(bump)

    def _request_prefetch(self, context: ConnectionContext, observation: Observation) -> None:
        """Request the card before an agent opens it. A crash may lose the request: an agent then waits a moment."""
        if observation.awaits_agent and observation.customer_id is not None and context.connection.kustomer_app:
            self._deferred.request_prefetch((context.connection.id, observation.customer_id))

    def _count(self, context: ConnectionContext, name: str) -> None:
        self._deferred.count(context.connection.id, name)

    async def run(self) -> None:
        """Commit group after group until cancelled; then reject what still waits."""
        try:
            while True:
                await self._has_queued.wait()
                group, self._queue = self._queue[:MAX_GROUP], self._queue[MAX_GROUP:]
                if not self._queue:
                    self._has_queued.clear()
                await self._commit(group)
        finally:
            _respond(self._queue, UNAVAILABLE)
            await self._disconnect()

    async def flush_forever(self, *, seconds: float = 1.0) -> None:
        """Flush the deferred writes at intervals, until cancelled."""
        while True:
            await asyncio.sleep(seconds)
            await self.flush()

    async def flush(self) -> None:
        """Flush the deferred writes now."""
        await self._deferred.flush()

    async def _commit(self, group: list[PendingEvent]) -> None:
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                with self._db.classify_errors():
                    if self._conn is None:
                        self._conn = await self._db.dedicated_connection()
                    await self._store(self._conn, group)
        except UNAVAILABLE_ERRORS as error:
            await self._reject(group)
            self._unavailable_until = asyncio.get_running_loop().time() + UNAVAILABLE_SECONDS
            log.warning("database.unavailable", where="intake", rejected=len(group), error=type(error).__name__)
        except Exception as error:  # noqa: BLE001 - committing one by one finds the event that causes it
            _log_error("intake.commit_failed", error, events=len(group))
            await self._disconnect()
            await self._commit_one_by_one(group, error)
        except BaseException:
            await self._reject(group)
            raise

    async def _reject(self, group: list[PendingEvent]) -> None:
        _respond(group, UNAVAILABLE)
        await self._disconnect()

    async def _commit_one_by_one(self, group: list[PendingEvent], error: Exception) -> None:
        """Commit each event of a group alone. One that cannot be stored as parsed is stored as received."""
        if len(group) > 1:
            for pending in group:
                await self._commit([pending])
            return
        [pending] = group
        event = pending.event
        unreadable = unreadable_event(event.connection_id, event.body, error=error, with_entity=False)
        _respond(group, await self._store_unreadable(unreadable))

    async def _store(self, conn: DedicatedConnection, group: list[PendingEvent]) -> None:
        await self._prime_cache(conn, group)
        new = self._find_new(group)
        if new:
            await inbox.insert(conn, [pending.event for pending in new])
        is_new = set(new)
        for pending in group:
            if pending in is_new:
                self._dedup.mark_durable([pending.content])
                _respond([pending], RECEIVED)
            else:
                self._bump_revisions(pending.content)
                self._deferred.count(pending.event.connection_id, "unchanged")
                _respond([pending], UNCHANGED)

    def _find_new(self, group: list[PendingEvent]) -> list[PendingEvent]:
        """Return the new events of a group. A duplicate of an earlier event of the group is not new."""
        cache = self._dedup.overlay()
        new: list[PendingEvent] = []
        for pending in group:
            if cache.is_new(pending.content):
                new.append(pending)
                cache.mark_durable([pending.content])
            else:
                list(cache.bump_revisions(pending.content))
        return new

    async def _prime_cache(self, conn: DedicatedConnection, group: list[PendingEvent]) -> None:
        contents = [pending.content for pending in group]
        fact_keys = {key for content in contents for key in self._dedup.unknown_fact_keys(content)}
        recorded = await recorded_facts.find(conn, list(fact_keys)) if fact_keys else {}
        self._dedup.prime(recorded, {})
        for kind, store in ((LookupKind.CUSTOMER, customers), (LookupKind.CONVERSATION, conversations)):
            keys = {key for content in contents for key in self._dedup.unknown_entities(content, kind)}
            stored = await store.versions(conn, list(keys)) if keys else {}
            self._dedup.prime({}, {(kind, key): version for key, version in stored.items()})

    async def _disconnect(self) -> None:
        conn, self._conn = self._conn, None
        if conn is not None:
            with suppress(*UNAVAILABLE_ERRORS):
                await conn.close()


def _respond(events: list[PendingEvent], response: WebhookResponse) -> None:
    for pending in events:
        if not pending.response.done():
            pending.response.set_result(response)


def _new_event(
    context: ConnectionContext, envelope: Envelope, observation: Observation, body: bytes, now: datetime
) -> NewEvent:
    name = envelope.name if isinstance(envelope.name, str) and envelope.name.isprintable() else "unnamed"
    return NewEvent(
        connection_id=context.connection.id,
        event_id=as_id(envelope.id) or hashlib.blake2b(body, digest_size=16).hexdigest(),
        event_name=name[:100],
        conversation_id=observation.conversation_id,
        customer_id=observation.customer_id,
        body=body,
        received_at=now,
    )


def _log_error(name: str, error: Exception, **fields: object) -> None:
    """Log the code locations of an error. Its message may contain customer data: only the event's row has it."""
    log.error(name, error=type(error).__name__, at=frames(error), **fields)
