"""The sweep: searches Kustomer at intervals for deleted and merged customers, which no webhook reports.

Search, its limit of 100 pages and deleted records: developer.kustomer.com/kustomer-api-docs/reference/search
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import msgspec
import structlog

from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.kustomer.kustomer_client import KustomerClient
from kustomer_klaviyo.kustomer.listings import CustomerPage, is_list, read_customer_page
from kustomer_klaviyo.kustomer.wire import as_time
from kustomer_klaviyo.outcomes import Accepted, Outcome, Unreadable
from kustomer_klaviyo.planning.customer_updates import save_customers
from kustomer_klaviyo.store import bookmarks, customers, lookups
from kustomer_klaviyo.store.database import Database, Transaction
from kustomer_klaviyo.store.lookups import DueLookup, Lookup, LookupKind

SWEPT_UNTIL = "swept_until"
"""The bookmark of the latest update that a completed sweep has seen."""

SWEPT_AT = "swept_at"
"""The bookmark of the time of the last completed sweep."""

CURSOR = "sweep_cursor"
"""The bookmark of the position of an unfinished sweep."""

PAGE_SIZE, MAX_PAGE = 100, 100
PAGES_PER_RUN = 5
"""The next run, which follows at once, continues with the rest."""

OVERLAP = timedelta(minutes=5)
"""Kustomer's search may not find yet what was written within this time."""

SWEEP = Lookup(LookupKind.SWEEP, "customers")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class SweepCursor:
    """The position of a sweep: a page of the search since a time. Kustomer's time strings sort like the times."""

    since: str
    newest: str
    """The latest update seen so far."""
    page: int = 1

    def after(self, customers: CustomerPage) -> "SweepCursor | None":
        """Return the next position after a page; None after the last page.

        The search restarts at the latest update of the page, because a customer who is updated meanwhile shifts the
        pages. It goes page by page only where a restart would make no progress: the page is not sorted, or all of its
        updates have the same time.
        """
        last = customers.last_updated_at or self.since
        newest = max(self.newest, last)
        if customers.count < PAGE_SIZE:
            return None
        if customers.are_sorted and last > self.since:
            return SweepCursor(last, newest)
        if self.page < MAX_PAGE:
            return replace(self, newest=newest, page=self.page + 1)
        return SweepCursor(_format(_parse(max(newest, self.since)) + timedelta(milliseconds=1)), newest)


@dataclass(slots=True)
class _Progress:
    """The result of one run of the sweep so far."""

    cursor: SweepCursor | None
    """The next position; None when the sweep is complete."""
    newest: str
    deleted: set[str]
    pages: int = 0


class Sweep:
    """The sweep of one connection."""

    def __init__(self, db: Database, context: ConnectionContext, client: KustomerClient) -> None:
        self._db = db
        self._context = context
        self._client = client

    async def run(self, lookup: DueLookup) -> Outcome | None:
        """Continue the sweep and schedule the next run. Returns the outcome of a failed request, else None."""
        if not self._context.options.sweep_interval_minutes:
            async with self._db.transaction() as tx:
                await lookups.complete(tx, self._id, lookup)
            return None
        cursor = await self._load_cursor()
        progress = _Progress(cursor, cursor.newest, set())
        failure = await self._search(progress)
        if failure is not None:
            return failure
        async with self._db.transaction() as tx:
            removed = await self._save_removed(tx, progress.deleted)
            await self._save_progress(tx, lookup, progress)
        is_complete = progress.cursor is None
        log.info("sweep.completed", connection=self._id, pages=progress.pages, deleted=removed, is_complete=is_complete)
        return None

    async def _search(self, progress: _Progress) -> Outcome | None:
        """Read the next pages. Returns the outcome of a failed request, else None."""
        while progress.cursor is not None and progress.pages < PAGES_PER_RUN:
            cursor = progress.cursor
            outcome = await self._client.search_customers(
                updated_since=cursor.since, page=cursor.page, page_size=PAGE_SIZE
            )
            if not isinstance(outcome, Accepted):
                return outcome
            if not is_list(outcome.body):
                return Unreadable("Kustomer's response to a search is not a list", outcome.status)
            customers_read = read_customer_page(outcome.body)
            progress.deleted |= set(customers_read.deleted)
            progress.newest = max(progress.newest, customers_read.last_updated_at or progress.newest)
            progress.cursor, progress.pages = cursor.after(customers_read), progress.pages + 1
        return None

    @property
    def _id(self) -> str:
        return self._context.connection.id

    async def _load_cursor(self) -> SweepCursor:
        stored = await bookmarks.get(self._db, self._id, CURSOR)
        if stored:
            return msgspec.json.decode(stored, type=SweepCursor)
        swept_until = as_time(await bookmarks.get(self._db, self._id, SWEPT_UNTIL)) or self._context.rules.since
        return SweepCursor(_format(swept_until - OVERLAP), _format(swept_until))

    async def _save_removed(self, tx: Transaction, deleted: set[str]) -> int:
        """Mark the customers that are stored and not marked yet as removed; returns their number."""
        stored = await customers.identifiers(tx, self._id, sorted(deleted))
        removed = [customer_id for customer_id, customer in stored.items() if not customer.removed]
        removals = [customers.removed_customer(customer_id) for customer_id in removed]
        await save_customers(tx, self._context, removals)
        return len(removed)

    async def _save_progress(self, tx: Transaction, lookup: DueLookup, progress: _Progress) -> None:
        due_at = datetime.now(UTC)
        if progress.cursor is None:
            await bookmarks.put(tx, self._id, SWEPT_UNTIL, progress.newest)
            await bookmarks.put(tx, self._id, CURSOR, "")
            await bookmarks.put(tx, self._id, SWEPT_AT, due_at.isoformat())
            due_at += timedelta(minutes=self._context.options.sweep_interval_minutes)
        else:
            await bookmarks.put(tx, self._id, CURSOR, msgspec.json.encode(progress.cursor).decode())
        await lookups.repeat(tx, self._id, lookup, due_at=due_at)


def _parse(text: str) -> datetime:
    return as_time(text) or datetime.now(UTC)


def _format(time: datetime) -> str:
    """Format a time as Kustomer does."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
