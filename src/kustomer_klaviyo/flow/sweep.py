"""Searches Kustomer now and then for customers who were deleted or merged, since no webhook tells of it.

Search, its 100 pages and its deleted records: developer.kustomer.com/kustomer-api-docs/reference/search
"""

from datetime import UTC, datetime, timedelta

import structlog

from kustomer_klaviyo.flow.directory import Joined
from kustomer_klaviyo.flow.keeping import keep_people
from kustomer_klaviyo.kustomer.client import KustomerClient
from kustomer_klaviyo.kustomer.listings import read_found_customers
from kustomer_klaviyo.kustomer.wire import as_time
from kustomer_klaviyo.outcomes import Accepted, Outcome
from kustomer_klaviyo.store import bookmarks, lookups, people
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.lookups import DueQuestion, Kind, Question

BOOKMARK = "customers swept"
PAGE_SIZE, MOST_PAGES = 100, 20
"""Pages of one go; the rest is left for the next, which follows at once."""

OVERLAP = timedelta(minutes=5)
"""What was written a moment ago may not be found yet."""

SWEEP = Question(Kind.SWEEP, "customers")

log = structlog.get_logger()


class Sweep:
    """One connection's search for those who are gone."""

    def __init__(self, database: Database, joined: Joined, client: KustomerClient) -> None:
        self._database = database
        self._joined = joined
        self._client = client

    async def go(self, question: DueQuestion) -> Outcome | None:
        """Search on from the bookmark, and plan the next search; returns what went wrong, if anything did."""
        minutes, connection_id = self._joined.options.sweep_minutes, self._joined.connection.id
        since = await self._since()
        newest, gone, page, is_full = since, set[str](), 1, True
        while is_full and page <= MOST_PAGES:
            outcome = await self._client.search_customers(updated_since=since, page=page, page_size=PAGE_SIZE)
            if not isinstance(outcome, Accepted):
                return outcome
            found = read_found_customers(outcome.body)
            gone |= set(found.deleted)
            newest = max(newest, found.last_updated_at or newest)
            is_full, page = found.count >= PAGE_SIZE, page + 1
        # With nothing but one moment on all pages, the bookmark must still move on.
        is_stuck = is_full and newest == since
        pause = timedelta(0) if is_full and not is_stuck else timedelta(minutes=minutes)
        async with self._database.transaction() as connection:
            known = await people.identified(connection, connection_id, sorted(gone))
            lost = [one for one, person in known.items() if not person.gone]
            await keep_people(connection, self._joined, [people.vanished(one) for one in lost])
            await bookmarks.put(connection, connection_id, BOOKMARK, _moved(newest) if is_stuck else newest)
            await lookups.again(connection, connection_id, question, due_at=datetime.now(UTC) + pause)
        log.info("customers.swept", connection=connection_id, pages=page - 1, gone=len(lost))
        return None

    async def _since(self) -> str:
        mark = await bookmarks.get(self._database, self._joined.connection.id, BOOKMARK)
        at = as_time(mark) or self._joined.rules.horizon
        return _written(at - OVERLAP)


def _moved(mark: str) -> str:
    at = as_time(mark)
    return mark if at is None else _written(at + OVERLAP + timedelta(milliseconds=1))


def _written(at: datetime) -> str:
    """Return a time as Kustomer writes it, so that texts sort as their times do."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
