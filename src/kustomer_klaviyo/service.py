"""Builds the house from its settings, runs its loops, and stops them gently."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass

import aiohttp
import structlog

from kustomer_klaviyo.card.card_fetch import InsightFetch
from kustomer_klaviyo.card.card_refresh import Cards
from kustomer_klaviyo.card.card_service import CardDesk
from kustomer_klaviyo.card.name_cache import Meanings
from kustomer_klaviyo.connections.options import KUSTOMER_LIMIT_PER_MINUTE
from kustomer_klaviyo.connections.registry import Directory, Joined
from kustomer_klaviyo.delivery.attempt_recorder import Settler
from kustomer_klaviyo.delivery.bulk_import_runner import Imports
from kustomer_klaviyo.delivery.event_delivery import Deliverer
from kustomer_klaviyo.delivery.existing_profiles import Acquaintance
from kustomer_klaviyo.delivery.profile_delivery import ProfileDeliverer
from kustomer_klaviyo.delivery.profile_writer import ProfileWriter
from kustomer_klaviyo.delivery.sender import Sender
from kustomer_klaviyo.health.loop_health import Health, HealthBook, Loop
from kustomer_klaviyo.intake.receiver import Intake
from kustomer_klaviyo.klaviyo.key_ring import Keys
from kustomer_klaviyo.postgres.server import EmbeddedServer
from kustomer_klaviyo.reconcile.deleted_customers import plan_sweep
from kustomer_klaviyo.reconcile.lookup_runner import LookUp
from kustomer_klaviyo.reconcile.webhook_watch import WATCH
from kustomer_klaviyo.runtime.connection_health import HealthNumbers, webhook_problem
from kustomer_klaviyo.runtime.connection_worker import Run
from kustomer_klaviyo.runtime.retention import keep_house
from kustomer_klaviyo.runtime.scheduler import Work
from kustomer_klaviyo.runtime.vendor_clients import Clients
from kustomer_klaviyo.settings import Settings
from kustomer_klaviyo.store import disk, lookups, loop_failures, reports
from kustomer_klaviyo.store.connections import Connections
from kustomer_klaviyo.store.conninfo import NothingThere
from kustomer_klaviyo.store.database import UNREACHABLE, Database
from kustomer_klaviyo.store.encryption import Sealer, load_sealer
from kustomer_klaviyo.store.migrate import Shape, migrate, shape_of
from kustomer_klaviyo.tasks import end

LOOP_AGAIN_SECONDS = 0.5
STEADY_SECONDS = 5.0
SEE_TO_SWEEPS_SECONDS = 3.0
MIGRATE_AGAIN_SECONDS = 1.0
JOIN_SECONDS = 7.0
"""A command answers within ten seconds, its own start and end included."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class House:
    """What every part of the program stands on."""

    settings: Settings
    database: Database
    connections: Connections
    sealer: Sealer


@asynccontextmanager
async def house(settings: Settings, *, owner: bool = False, waits: bool = False) -> AsyncIterator[House]:
    """Open the database, in the shape this version needs.

    The owner (``serve``) makes what is not there yet, and starts and supervises an embedded server. Anyone else joins
    the one that runs, or starts it for as long as the block lasts. Who ``waits`` does so until the database answers;
    anyone else is told within seconds. Raises ServerError, SealError, DatabaseError.
    """
    async with AsyncExitStack() as stack:
        url = await _open_server(settings, stack, owner=owner)
        await (_migrate(url) if owner or waits else _join(url))
        sealer = load_sealer(settings.secret_key, settings.data_directory, makes=owner)
        database = Database(url)
        await database.open()
        stack.push_async_callback(database.close)
        yield House(settings, database, Connections(database, sealer), sealer)


async def _open_server(settings: Settings, stack: AsyncExitStack, *, owner: bool) -> str:
    if settings.database_url is not None:
        return settings.database_url
    if not owner and (running := EmbeddedServer.running_url(settings.data_directory)) is not None:
        return running
    if not owner and not EmbeddedServer.has_data(settings.data_directory):
        raise NothingThere(
            f"Nothing is set up in {settings.data_directory} yet: start `kustomer-klaviyo serve`, or set "
            "KUSTOMER_KLAVIYO_DATA or DATABASE_URL to what a running one uses."
        )
    server = EmbeddedServer(settings.data_directory)
    url = await server.start()
    stack.push_async_callback(server.stop)
    supervision = asyncio.create_task(server.supervise())
    stack.push_async_callback(end, [supervision])
    return url


async def _join(url: str) -> None:
    """Find the database in the shape needed, or bring an older one to it; a new one is `serve`'s to fill."""
    try:
        async with asyncio.timeout(JOIN_SECONDS):
            shape = await shape_of(url)
    except TimeoutError:
        raise TimeoutError(f"nothing heard for {JOIN_SECONDS:.0f} seconds") from None
    if shape is Shape.EMPTY:
        raise NothingThere("Nothing is set up in the database that DATABASE_URL names: start `kustomer-klaviyo serve`.")
    if shape is Shape.OLDER:
        await asyncio.to_thread(migrate, url)


async def _migrate(url: str) -> None:
    """Bring the database to the shape needed, as soon as it answers."""
    while True:
        try:
            await asyncio.to_thread(migrate, url)
        except UNREACHABLE as error:
            log.warning("database.away", error=str(error).strip().splitlines()[0])
            await asyncio.sleep(MIGRATE_AGAIN_SECONDS)
        else:
            return


def lacks_space(settings: Settings) -> bool:
    """Say whether the disk of the embedded database is full; another database's is not ours to see."""
    return settings.database_url is None and disk.is_full(settings.data_directory)


class Service:
    """The running program: the door, the work, or both."""

    def __init__(self, home: House, session: aiohttp.ClientSession) -> None:
        self.home = home
        self.session = session
        self._clients = Clients(session)
        self.health = HealthBook(home.database)
        self.directory = Directory(home.connections, self.health)
        self.intake = Intake(home.database, self.directory)
        self.cards = CardDesk(home.database, self.directory)
        self._work = Work(home.database, self.directory, self.start_run)
        self._stopped = asyncio.Event()

    async def run(self, *, door: bool, work: bool) -> None:
        """Run the chosen loops until ``stop``."""
        _spare_the_collector()
        loops: dict[Loop, Callable[[], Awaitable[None]]] = {Loop.REFRESH: self.directory.keep_fresh}
        if door:
            loops |= {Loop.INTAKE: self.intake.run, Loop.COUNTERS: self.intake.keep_notes}
        if work:
            loops |= {
                Loop.SCHEDULER: self._work.run,
                Loop.RETENTION: self._keep_house,
                Loop.SWEEPS: self._keep_sweeping,
            }
        tasks = [asyncio.create_task(keep(name, loop, self.health.of())) for name, loop in loops.items()]
        await self._stopped.wait()
        if work:
            await self._work.stop()
        if door:
            with suppress(*UNREACHABLE):
                await self.intake.write_notes()
        await end(tasks)

    def stop(self) -> None:
        """Finish what is in flight and end."""
        self._stopped.set()

    def lacks_space(self) -> bool:
        """Say whether the disk of the database is full."""
        return self.home.database.is_disk_full or lacks_space(self.home.settings)

    async def health_numbers(self) -> HealthNumbers:
        """Return how the service fares, for a monitor."""
        is_full = self.lacks_space()
        try:
            failing = await loop_failures.failing(self.home.database)
            lanes = await reports.lanes(self.home.database)
        except UNREACHABLE:
            return HealthNumbers(is_full)
        return HealthNumbers(
            is_full,
            [(one["connection_id"], one["loop"], one["failures"]) for one in failing],
            [(row["id"], webhook_problem(row) is not None) for row in lanes],
        )

    async def why_not_ready(self) -> str | None:
        """Return why no work can be done: the database, its disk, the connections not read; None when it can."""
        database = self.home.database
        if self.lacks_space():
            return "the disk is full"
        try:
            await database.fetch("SELECT 1")
        except UNREACHABLE:
            return "the database is away"
        return None if self.directory.is_known else "the connections are not read yet"

    async def _keep_sweeping(self) -> None:
        """See to it that every connection has its question after customers who are gone."""
        while True:
            for joined in self.directory.all():
                async with self.health.of(joined.connection.id).watching(Loop.SWEEPS):
                    await plan_sweep(self.home.database, joined)
                    await self._see_to_webhook(joined)
            await asyncio.sleep(SEE_TO_SWEEPS_SECONDS)

    async def _see_to_webhook(self, joined: Joined) -> None:
        if joined.connection.webhook_id is not None:
            async with self.home.database.transaction() as db:
                await lookups.ask(db, joined.connection.id, [WATCH])

    async def _keep_house(self) -> None:
        await keep_house(self.home.database, self.directory, self.health)

    def start_run(self, joined: Joined) -> Run:
        """Make a run for a connection, as it is saved now."""
        connection, patience = joined.connection, self.home.settings.patience
        url, account = connection.klaviyo_url, connection.klaviyo_account
        clients = [self._clients.klaviyo(url, key, account) for key in connection.secrets.klaviyo_keys]
        budget = max(1, round(KUSTOMER_LIMIT_PER_MINUTE * joined.options.kustomer_share))
        kustomer = self._clients.kustomer(connection.kustomer_url, connection.secrets.kustomer_key, budget)
        database, sender, health = self.home.database, Sender(clients), self.health.of(connection.id)
        settler = Settler(database, connection, patience=patience, health=health)
        writer = ProfileWriter(sender, joined.options)
        acquaintance = Acquaintance(database, connection.id, writer, settler) if joined.options.update_only else None
        return Run(
            self.home.database,
            joined,
            deliverer=Deliverer(database, joined, sender, settler, acquaintance=acquaintance),
            profiles=ProfileDeliverer(
                database,
                joined,
                writer=writer,
                imports=Imports(database, connection.id, sender, settler, health),
                settler=settler,
            ),
            look_up=LookUp(database, joined, kustomer, patience=patience),
            cards=Cards(database, joined, self._insight_fetch(joined), health),
            note=lambda: sender.note,
            health=health,
        )

    def _insight_fetch(self, joined: Joined) -> InsightFetch:
        connection = joined.connection
        url, account = connection.klaviyo_url, connection.klaviyo_account
        readers = Keys([self._clients.reader(url, key, account) for key in connection.secrets.klaviyo_keys])
        meanings = Meanings(self.home.database, connection.id, readers)
        return InsightFetch(readers, meanings)


def _spare_the_collector() -> None:
    """Let the garbage collector pass over what was loaded at the start, and come less often.

    Events make no cycles, so that what they leave is freed at once; looking for cycles among the loaded libraries over
    and over was a third of the door's time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


async def keep(name: Loop, loop: Callable[[], Awaitable[None]], health: Health) -> None:
    """Run a loop again whenever it fails: a database that is away, or a fault of ours, costs a while, not more."""
    while True:
        steady = asyncio.create_task(_call_it_steady(name, health))
        try:
            await loop()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is counted, shown and tried again
            wait = await health.failed(name, error)
        else:
            wait = 0.0
        finally:
            await end([steady])
        await asyncio.sleep(max(wait, LOOP_AGAIN_SECONDS))


async def _call_it_steady(name: Loop, health: Health) -> None:
    """Take a loop that ran for a while for one that works."""
    await asyncio.sleep(STEADY_SECONDS)
    with suppress(*UNREACHABLE):
        await health.succeeded(name)
