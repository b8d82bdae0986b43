"""The running service: opens the database, runs the loops of its roles, and stops them gracefully."""

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

import aiohttp
import structlog

from kustomer_klaviyo.card.card_fetch import CardFetch
from kustomer_klaviyo.card.card_refresh import CardRefresher
from kustomer_klaviyo.card.card_service import CardService
from kustomer_klaviyo.card.name_cache import NameCache
from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.connections.options import KUSTOMER_LIMIT_PER_MINUTE
from kustomer_klaviyo.connections.registry import ConnectionRegistry
from kustomer_klaviyo.delivery.attempt_recorder import AttemptRecorder
from kustomer_klaviyo.delivery.bulk_import_runner import BulkImportRunner
from kustomer_klaviyo.delivery.event_delivery import EventDeliverer
from kustomer_klaviyo.delivery.existing_profiles import ExistingProfileFilter
from kustomer_klaviyo.delivery.profile_delivery import ProfileDeliverer
from kustomer_klaviyo.delivery.profile_writer import ProfileWriter
from kustomer_klaviyo.health.loop_health import HealthRegistry, Loop, LoopHealth
from kustomer_klaviyo.intake.receiver import Intake
from kustomer_klaviyo.klaviyo.key_ring import ApiKeyRing
from kustomer_klaviyo.postgres.server import EmbeddedServer
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.reconcile.lookup_queue import LookupQueue
from kustomer_klaviyo.reconcile.lookup_runner import LookupRunner
from kustomer_klaviyo.reconcile.recurring import RECURRING_KEYS, RecurringLookups, schedule_recurring
from kustomer_klaviyo.runtime.connection_health import HealthMetrics, webhook_problem
from kustomer_klaviyo.runtime.connection_worker import ConnectionWorker
from kustomer_klaviyo.runtime.retention_loop import run_retention
from kustomer_klaviyo.runtime.scheduler import Scheduler
from kustomer_klaviyo.runtime.vendor_clients import VendorClients
from kustomer_klaviyo.settings import Settings
from kustomer_klaviyo.store import disk, loop_failures, reports
from kustomer_klaviyo.store.connections import Connections
from kustomer_klaviyo.store.conninfo import DatabaseNotInitialised
from kustomer_klaviyo.store.database import UNAVAILABLE_ERRORS, Database
from kustomer_klaviyo.store.encryption import Encryptor, load_encryptor
from kustomer_klaviyo.store.lookups import LookupKind
from kustomer_klaviyo.store.migrate import SchemaState, migrate, schema_state
from kustomer_klaviyo.task_group import cancel_all, open_task_group

LOOP_RESTART_SECONDS = 0.5
STEADY_SECONDS = 5.0
"""A loop that ran for this long counts as working."""

SCHEDULE_SECONDS, RESCHEDULE_SECONDS = 3.0, 60.0
"""How often the recurring lookups are checked: after a change of a connection, and always."""

MIGRATE_RETRY_SECONDS = 1.0
CONNECT_SECONDS = 7.0
"""Keeps the duration of a command below ten seconds, its own start and end included."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AppContext:
    """What every command and page needs: the settings, the database, and the stored connections."""

    settings: Settings
    db: Database
    connections: Connections
    encryptor: Encryptor


@asynccontextmanager
async def open_app(
    settings: Settings, *, owner: bool = False, wait_for_database: bool = False
) -> AsyncIterator[AppContext]:
    """Open the database, migrated to the schema of this version.

    The owner (``serve``) creates what is missing, and starts and supervises an embedded server. Others use the running
    server, or start one for the duration of the block. With ``wait_for_database`` the call waits until the database
    responds; otherwise it fails within seconds. Raises ServerError, DecryptionError, DatabaseError.
    """
    async with AsyncExitStack() as stack:
        conninfo = await _open_server(settings, stack, owner=owner)
        await (_migrate(conninfo) if owner or wait_for_database else _check_schema(conninfo))
        encryptor = load_encryptor(settings.secret_key, settings.data_directory, create=owner)
        db = Database(conninfo)
        await db.open()
        stack.push_async_callback(db.close)
        yield AppContext(settings, db, Connections(db, encryptor), encryptor)


async def _open_server(settings: Settings, stack: AsyncExitStack, *, owner: bool) -> str:
    """Return the address of the database, and start the embedded server if it is needed and not running."""
    if settings.database_url is not None:
        return settings.database_url
    if not owner and (running := EmbeddedServer.running_url(settings.data_directory)) is not None:
        return running
    if not owner and not EmbeddedServer.has_data(settings.data_directory):
        raise DatabaseNotInitialised(
            f"Nothing is set up in {settings.data_directory} yet: start `kustomer-klaviyo serve`, or set "
            "KUSTOMER_KLAVIYO_DATA_DIRECTORY or DATABASE_URL to what a running one uses."
        )
    server = EmbeddedServer(settings.data_directory)
    url = await server.start()
    stack.push_async_callback(server.stop)
    supervision = asyncio.create_task(server.supervise())
    stack.push_async_callback(cancel_all, [supervision])
    return url


async def _check_schema(url: str) -> None:
    """Migrate an older database. Raises DatabaseNotInitialised for an empty one, which only the owner migrates."""
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            state = await schema_state(url)
    except TimeoutError:
        raise TimeoutError(f"no response within {CONNECT_SECONDS:.0f} seconds") from None
    if state is SchemaState.EMPTY:
        raise DatabaseNotInitialised(
            "Nothing is set up in the database that DATABASE_URL names: start `kustomer-klaviyo serve`."
        )
    if state is SchemaState.OUTDATED:
        await asyncio.to_thread(migrate, url)


async def _migrate(url: str) -> None:
    """Migrate the database as soon as it responds."""
    while True:
        try:
            await asyncio.to_thread(migrate, url)
        except UNAVAILABLE_ERRORS as error:
            log.warning("database.unavailable", where="migrate", error=str(error).strip().splitlines()[0])
            await asyncio.sleep(MIGRATE_RETRY_SECONDS)
        else:
            return


def is_disk_full(settings: Settings) -> bool:
    """Return whether the disk of the embedded database is full. The disk of an external database is not visible."""
    return settings.database_url is None and disk.is_full(settings.data_directory)


class NotReady(StrEnum):
    """Why the service cannot work. ``/ready`` responds with the code."""

    DISK_FULL = "disk_full"
    DATABASE_UNAVAILABLE = "database_unavailable"
    CONNECTIONS_NOT_LOADED = "connections_not_loaded"


class Service:
    """The running service, in one or both roles: it receives webhooks, and works for the connections."""

    def __init__(self, app: AppContext, session: aiohttp.ClientSession) -> None:
        self.app = app
        self.session = session
        self._clients = VendorClients(session)
        self.health = HealthRegistry(app.db)
        self.registry = ConnectionRegistry(app.connections, self.health)
        self.intake = Intake(app.db, self.registry)
        self.cards = CardService(app.db, self.registry)
        self._scheduler = Scheduler(app.db, self.registry, partial(self.create_worker, exclude=RECURRING_KEYS))
        self.recurring = RecurringLookups(app.db, self.registry, self._lookup_runner, self.health)
        self._stopped = asyncio.Event()

    async def run(self, *, serve_webhooks: bool, run_worker: bool) -> None:
        """Run the loops of the roles until ``stop``."""
        _tune_gc()
        async with open_task_group() as group:
            for name, loop in self._loops(serve_webhooks=serve_webhooks, run_worker=run_worker).items():
                group.start_soon(run_forever, name, loop, self.health.of())
            await self._stopped.wait()
            if run_worker:
                await self._scheduler.stop()
            if serve_webhooks:
                with suppress(*UNAVAILABLE_ERRORS):
                    await self.intake.flush()
            group.cancel_scope.cancel()

    def _loops(self, *, serve_webhooks: bool, run_worker: bool) -> dict[Loop, Callable[[], Awaitable[None]]]:
        loops: dict[Loop, Callable[[], Awaitable[None]]] = {Loop.REFRESH: self.registry.refresh_forever}
        if serve_webhooks:
            loops |= {Loop.INTAKE: self.intake.run, Loop.DEFERRED_WRITES: self.intake.flush_forever}
        if run_worker:
            loops |= {
                Loop.SCHEDULER: self._scheduler.run,
                Loop.RETENTION: self._run_retention,
                Loop.RECURRING_LOOKUPS: self._schedule_recurring,
                Loop.RECURRING_RUNS: self.recurring.run,
            }
        return loops

    def stop(self) -> None:
        """Finish what is in flight, then end."""
        self._stopped.set()

    def is_disk_full(self) -> bool:
        """Return whether the disk of the database is full."""
        return self.app.db.is_disk_full or is_disk_full(self.app.settings)

    async def health_metrics(self) -> HealthMetrics:
        """Return the health of the service, for /metrics."""
        is_full = self.is_disk_full()
        try:
            failing = await loop_failures.current(self.app.db)
            connections = await reports.health(self.app.db)
        except UNAVAILABLE_ERRORS:
            return HealthMetrics(is_full)
        return HealthMetrics(
            is_full,
            [(row["connection_id"], row["loop"], row["consecutive_failures"]) for row in failing],
            [(row["id"], webhook_problem(row) is not None) for row in connections],
        )

    async def not_ready_reason(self) -> NotReady | None:
        """Return why the service is not ready; None when it is."""
        if self.is_disk_full():
            return NotReady.DISK_FULL
        try:
            await self.app.db.fetch("SELECT 1")
        except UNAVAILABLE_ERRORS:
            return NotReady.DATABASE_UNAVAILABLE
        return None if self.registry.is_loaded else NotReady.CONNECTIONS_NOT_LOADED

    async def _schedule_recurring(self) -> None:
        """Make sure that the recurring lookups are queued, after each change of a connection and at intervals."""
        scheduled: tuple[int, float] | None = None
        while True:
            current = (self.registry.load_count, time.monotonic() // RESCHEDULE_SECONDS)
            if current != scheduled:
                await self._schedule_all(self.registry.all())
                scheduled = current
            await asyncio.sleep(SCHEDULE_SECONDS)

    async def _schedule_all(self, contexts: Sequence[ConnectionContext]) -> None:
        """Schedule all connections at once; if that fails, one by one, so that each has its own failures."""
        try:
            await schedule_recurring(self.app.db, contexts)
        except UNAVAILABLE_ERRORS:
            raise
        except Exception:  # noqa: BLE001 - it is recorded below, for the connection that causes it
            for context in contexts:
                async with self.health.of(context.connection.id).track(Loop.RECURRING_LOOKUPS):
                    await schedule_recurring(self.app.db, [context])
        else:
            ids = [context.connection.id for context in contexts]
            await self.health.record_successes(ids, Loop.RECURRING_LOOKUPS)

    async def _run_retention(self) -> None:
        await run_retention(self.app.db, self.registry, self.health)

    def _lookup_runner(self, context: ConnectionContext) -> LookupRunner:
        connection = context.connection
        budget = max(1, round(KUSTOMER_LIMIT_PER_MINUTE * context.options.kustomer_rate_share))
        kustomer = self._clients.kustomer(connection.kustomer_url, connection.secrets.kustomer_key, budget)
        return LookupRunner(self.app.db, context, kustomer, retry=self.app.settings.retry)

    def create_worker(
        self, context: ConnectionContext, *, exclude: frozenset[tuple[LookupKind, str]] = frozenset()
    ) -> ConnectionWorker:
        """Create the worker of a connection in its current version, which leaves some lookups to others."""
        connection, retry = context.connection, self.app.settings.retry
        url, account = connection.klaviyo_url, connection.klaviyo_account
        clients = [self._clients.klaviyo(url, key, account) for key in connection.secrets.klaviyo_keys]
        db, keys, health = self.app.db, ApiKeyRing(clients), self.health.of(connection.id)
        recorder = AttemptRecorder(db, connection, retry=retry, health=health)
        writer = ProfileWriter(keys, context.options)
        existing_profiles = (
            ExistingProfileFilter(db, connection.id, writer, recorder) if context.options.update_only else None
        )
        return ConnectionWorker(
            db,
            context,
            events=EventDeliverer(db, context, keys, recorder, existing_profiles=existing_profiles),
            profiles=ProfileDeliverer(
                db,
                context,
                writer=writer,
                bulk_imports=BulkImportRunner(db, connection.id, keys, recorder, health),
                recorder=recorder,
            ),
            lookups=LookupQueue(db, connection.id, self._lookup_runner(context), health, exclude=exclude),
            cards=CardRefresher(db, context, self._card_fetch(context), health),
            note=lambda: Reason.FALLBACK_KEY_IN_USE if keys.uses_fallback else None,
            health=health,
        )

    def _card_fetch(self, context: ConnectionContext) -> CardFetch:
        connection = context.connection
        url, account = connection.klaviyo_url, connection.klaviyo_account
        readers = ApiKeyRing([self._clients.reader(url, key, account) for key in connection.secrets.klaviyo_keys])
        return CardFetch(readers, NameCache(self.app.db, connection.id, readers))


def _tune_gc() -> None:
    """Exclude everything loaded at start-up from garbage collection, and collect less often.

    Events create no reference cycles, so their memory is freed at once. Searching the loaded libraries for cycles took
    a third of intake's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def run_forever(name: Loop, loop: Callable[[], Awaitable[None]], health: LoopHealth) -> None:
    """Restart a loop whenever it fails, so that an unavailable database or an unexpected error only costs time."""
    while True:
        steady = asyncio.create_task(_record_success_when_steady(name, health))
        try:
            await loop()
        except Exception as error:  # noqa: BLE001 - any error is counted, shown and retried
            wait = await health.record_failure(name, error)
        else:
            wait = 0.0
        finally:
            await cancel_all([steady])
        await asyncio.sleep(max(wait, LOOP_RESTART_SECONDS))


async def _record_success_when_steady(name: Loop, health: LoopHealth) -> None:
    await asyncio.sleep(STEADY_SECONDS)
    with suppress(*UNAVAILABLE_ERRORS):
        await health.record_success(name)
