"""Searches Kustomer now and then for customers who were deleted or merged, since no webhook tells of it.

Search, its 100 pages and its deleted records: developer.kustomer.com/kustomer-api-docs/reference/search
"""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import msgspec
import structlog
from psycopg import AsyncConnection
from psycopg.rows import DictRow

from kustomer_klaviyo.connections.registry import Joined
from kustomer_klaviyo.kustomer.client import KustomerClient
from kustomer_klaviyo.kustomer.listings import FoundCustomers, is_list, read_found_customers
from kustomer_klaviyo.kustomer.wire import as_time
from kustomer_klaviyo.outcomes import Accepted, Outcome, Unreadable
from kustomer_klaviyo.planning.customer_updates import keep_people
from kustomer_klaviyo.store import bookmarks, customers, lookups
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.lookups import DueQuestion, Kind, Question

BOOKMARK = "customers swept"
SWEPT_AT = "customers swept at"
"""When a sweep last ended."""

PLACE = "customers being swept"
"""How far an unfinished sweep has come."""

PAGE_SIZE, LAST_PAGE = 100, 100
PAGES_A_GO = 5
"""The rest is left for the next go, which follows at once."""

OVERLAP = timedelta(minutes=5)
"""What was written a moment ago may not be found yet."""

SWEEP = Question(Kind.SWEEP, "customers")

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sweep goes on: the page of a search since a time. Kustomer's texts of times sort as the times do."""

    since: str
    newest: str
    """The latest update met so far."""
    page: int = 1

    def after(self, found: FoundCustomers) -> "Place | None":
        """Return where to go on after a page; None when it was the last.

        From the latest update on the page rather than to the next page, since a customer updated meanwhile moves all
        others up; page by page only where that leads nowhere: where the order is none, or one moment fills a page.
        """
        last = found.last_updated_at or self.since
        newest = max(self.newest, last)
        if found.count < PAGE_SIZE:
            return None
        if found.are_sorted and last > self.since:
            return Place(last, newest)
        if self.page < LAST_PAGE:
            return replace(self, newest=newest, page=self.page + 1)
        return Place(_written(_moment(max(newest, self.since)) + timedelta(milliseconds=1)), newest)


class Sweep:
    """One connection's search for those who are gone."""

    def __init__(self, database: Database, joined: Joined, client: KustomerClient) -> None:
        self._database = database
        self._joined = joined
        self._client = client

    async def go(self, question: DueQuestion) -> Outcome | None:
        """Search on from the bookmark, and plan the next search; returns what went wrong, if anything did."""
        if not self._joined.options.sweep_minutes:
            async with self._database.transaction() as connection:
                await lookups.answered(connection, self._id, question)
            return None
        start = await self._place()
        place: Place | None = start
        gone, pages, newest = set[str](), 0, start.newest
        while place is not None and pages < PAGES_A_GO:
            outcome = await self._client.search_customers(
                updated_since=place.since, page=place.page, page_size=PAGE_SIZE
            )
            if not isinstance(outcome, Accepted):
                return outcome
            if not is_list(outcome.body):
                return Unreadable("Kustomer's answer to a search is no list", outcome.status)
            found = read_found_customers(outcome.body)
            gone |= set(found.deleted)
            newest = max(newest, found.last_updated_at or newest)
            place, pages = place.after(found), pages + 1
        async with self._database.transaction() as connection:
            lost = await self._lose(connection, gone)
            await self._mark(connection, question, place, newest)
        log.info("customers.swept", connection=self._id, pages=pages, gone=lost, is_done=place is None)
        return None

    @property
    def _id(self) -> str:
        return self._joined.connection.id

    async def _place(self) -> Place:
        kept = await bookmarks.get(self._database, self._id, PLACE)
        if kept:
            return msgspec.json.decode(kept, type=Place)
        mark = await bookmarks.get(self._database, self._id, BOOKMARK)
        at = as_time(mark) or self._joined.rules.horizon
        return Place(_written(at - OVERLAP), _written(at))

    async def _lose(self, connection: AsyncConnection[DictRow], gone: set[str]) -> int:
        known = await customers.identified(connection, self._id, sorted(gone))
        lost = [one for one, person in known.items() if not person.gone]
        await keep_people(connection, self._joined, [customers.vanished(one) for one in lost])
        return len(lost)

    async def _mark(
        self, connection: AsyncConnection[DictRow], question: DueQuestion, place: Place | None, newest: str
    ) -> None:
        now = datetime.now(UTC)
        if place is None:
            await bookmarks.put(connection, self._id, BOOKMARK, newest)
            await bookmarks.put(connection, self._id, PLACE, "")
            await bookmarks.put(connection, self._id, SWEPT_AT, now.isoformat())
            now += timedelta(minutes=self._joined.options.sweep_minutes)
        else:
            await bookmarks.put(connection, self._id, PLACE, msgspec.json.encode(place).decode())
        await lookups.again(connection, self._id, question, due_at=now)


async def plan_sweep(database: Database, joined: Joined) -> None:
    """See to it that a connection has its question after customers who are gone, at the interval set now."""
    connection_id, minutes = joined.connection.id, joined.options.sweep_minutes
    if not minutes:
        return
    async with database.transaction() as connection:
        await lookups.ask(connection, connection_id, [SWEEP])
        await lookups.plan(connection, connection_id, SWEEP, last=SWEPT_AT, seconds=minutes * 60)


def _moment(text: str) -> datetime:
    return as_time(text) or datetime.now(UTC)


def _written(at: datetime) -> str:
    """Return a time as Kustomer writes it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
