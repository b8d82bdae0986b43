"""Bulk imports of profiles: starts them, polls them until they end, and maps each error to its customer.

How imports work: developers.klaviyo.com/en/docs/use_klaviyos_bulk_profile_import_api
"""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
import structlog

from kustomer_klaviyo.backoff import MIN_WAIT_SECONDS
from kustomer_klaviyo.delivery.attempt_recorder import AttemptRecorder
from kustomer_klaviyo.delivery.bulk_import_results import BulkImportItem, chunks, identifiers_of, results_of
from kustomer_klaviyo.health.loop_health import Loop, LoopHealth
from kustomer_klaviyo.klaviyo.key_ring import ApiKeyRing
from kustomer_klaviyo.klaviyo.klaviyo_client import KlaviyoClient
from kustomer_klaviyo.klaviyo.profile_request import ProfileRequest
from kustomer_klaviyo.klaviyo.profile_wire import (
    MAX_IMPORT_PROFILES,
    BulkImportError,
    BulkImportStatus,
    read_bulk_imports,
    read_errors,
    read_id,
    read_status,
)
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused, Throttled, Unreachable
from kustomer_klaviyo.store import bulk_imports
from kustomer_klaviyo.store.bulk_imports import DueBulkImport
from kustomer_klaviyo.store.database import UNAVAILABLE_ERRORS, Database
from kustomer_klaviyo.store.delivery_attempts import DueDelivery

INITIAL_POLL_SECONDS, MAX_POLL_SECONDS, POLL_FACTOR = 0.5, 15.0, 1.5
MAX_EVENT_WAIT_SECONDS = 60.0
"""The longest time that events wait for the bulk import of their customer's profile."""

DISABLED_SECONDS = 600.0
"""How long no import is tried after Klaviyo rejected one."""

BACKOFF_SECONDS = 5.0
MAX_FAILURES = 3
CONFIRM_SECONDS, MAX_CONFIRM_TIME = 1.0, timedelta(minutes=10)
MAX_CLOCK_DIFFERENCE = timedelta(minutes=1)
MAX_DURATION = timedelta(hours=1)
"""After this time an import counts as stuck, and its writes are sent as single requests."""

MAX_ERROR_PAGES = 2 * MAX_IMPORT_PROFILES // 100
"""The most error pages to read, with a hundred errors each: Klaviyo may report a profile twice."""

START, POLL = "start", "poll"
"""Keys of the backoff: ``START``, or ``POLL`` with the import's id, while a result could not be stored."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class UnconfirmedImport:
    """An import whose start got no response: it may be running."""

    started_at: datetime
    items: tuple[BulkImportItem, ...]


class BulkImportRunner:
    """One connection's bulk imports while its worker runs."""

    def __init__(
        self,
        db: Database,
        connection_id: str,
        keys: ApiKeyRing[KlaviyoClient],
        recorder: AttemptRecorder,
        health: LoopHealth,
    ) -> None:
        self._db = db
        self._health = health
        self._backoff = health.item_backoff(Loop.PROFILES)
        self._connection_id = connection_id
        self._keys = keys
        self._recorder = recorder
        self._disabled_until = float("-inf")
        self._failures = 0
        self._unconfirmed: UnconfirmedImport | None = None
        self._confirm_attempts, self._confirm_at = 0, 0.0
        self._identifiers: dict[str, set[str]] | None = None

    async def identifiers_in_flight(self) -> set[str]:
        """Return the identifiers that are being imported, or may be: no newer write may overtake them."""
        if self._identifiers is None:
            self._identifiers = {}
            for row in await bulk_imports.pending_requests(self._db, self._connection_id):
                identifiers = self._identifiers.setdefault(row["bulk_import_id"], set())
                # A request that cannot be parsed any more blocks nobody; it fails when the import ends.
                with suppress(Exception):
                    identifiers.update(msgspec.convert(row["request"], ProfileRequest).identifiers)
        unconfirmed = set[str]() if self._unconfirmed is None else identifiers_of(self._unconfirmed.items)
        return unconfirmed.union(*self._identifiers.values())

    def is_available(self, now: float) -> bool:
        """Return whether an import may be started, at a monotonic time."""
        return now >= self._disabled_until and self._unconfirmed is None and START not in self._backoff.blocked()

    async def start(self, items: Sequence[BulkImportItem]) -> bool:
        """Start imports of these writes. Return False when Klaviyo accepts none, so that they are sent one by one.

        An unavailable endpoint concerns imports only: events and single writes have their own responses.
        """
        for chunk, entries in chunks(items):
            started_at = datetime.now(UTC)
            # With the active key only: if it lacks the scope, single imports still work with it.
            outcome = await self._keys.active.start_bulk_import(entries)
            bulk_import_id = read_id(outcome.body) if isinstance(outcome, Accepted) else None
            if bulk_import_id is None:
                await self._handle_failed_start(outcome, started_at, chunk)
                return False
            self._failures = 0
            await self._save_started_guarded(bulk_import_id, started_at, chunk)
        return True

    async def _handle_failed_start(
        self, outcome: Outcome, started_at: datetime, items: Sequence[BulkImportItem]
    ) -> None:
        if isinstance(outcome, Unreachable):
            self._unconfirmed = UnconfirmedImport(started_at, tuple(items))
        if isinstance(outcome, Unreachable | Throttled):
            self._back_off(outcome)
        elif isinstance(outcome, Accepted | Refused) or _is_endpoint_denied(outcome):
            log.warning("bulk_import.rejected", connection=self._connection_id, status=outcome.status)
            self._disabled_until = time.monotonic() + DISABLED_SECONDS
        else:
            await self._recorder.record_outcome(outcome, started_at)

    def _back_off(self, outcome: Unreachable | Throttled) -> None:
        """Wait before the next import, and longer after repeated failures."""
        self._failures += 1
        wait = DISABLED_SECONDS if self._failures >= MAX_FAILURES else BACKOFF_SECONDS * self._failures
        self._disabled_until = time.monotonic() + max(wait, outcome.retry_after or 0.0)

    async def _save_started_guarded(
        self, bulk_import_id: str, started_at: datetime, items: Sequence[BulkImportItem]
    ) -> None:
        """Save a started import. If that fails, no other starts for a while."""
        try:
            await self._save_started(bulk_import_id, items)
        except Exception:
            self._backoff.record_failures([START])
            self._unconfirmed = UnconfirmedImport(started_at, tuple(items))
            raise
        self._backoff.clear([START])

    async def _save_started(self, bulk_import_id: str, items: Sequence[BulkImportItem]) -> None:
        now = datetime.now(UTC)
        async with self._db.transaction() as tx:
            await bulk_imports.insert(
                tx,
                self._connection_id,
                bulk_import_id,
                [fact_key for item in items for fact_key in item.fact_keys],
                next_poll_at=now + timedelta(seconds=INITIAL_POLL_SECONDS),
                events_wait_until=now + timedelta(seconds=MAX_EVENT_WAIT_SECONDS),
            )
        if self._identifiers is not None:
            self._identifiers[bulk_import_id] = identifiers_of(items)
        log.info("bulk_import.started", connection=self._connection_id, profiles=len(items))

    async def _confirm(self) -> None:
        """Find out whether an unconfirmed import is running, and save it if so."""
        unconfirmed = self._unconfirmed
        if unconfirmed is None or time.monotonic() < self._confirm_at:
            return
        self._confirm_attempts += 1
        wait = min(MAX_POLL_SECONDS, CONFIRM_SECONDS * POLL_FACTOR**self._confirm_attempts)
        self._confirm_at = time.monotonic() + wait
        outcome = await self._keys.call(lambda client: client.recent_bulk_imports())
        if not isinstance(outcome, Accepted):
            if datetime.now(UTC) - unconfirmed.started_at > MAX_CONFIRM_TIME:
                self._unconfirmed = None
            return
        known_ids = await bulk_imports.ids(self._db, self._connection_id)
        earliest = unconfirmed.started_at - MAX_CLOCK_DIFFERENCE
        for listed in read_bulk_imports(outcome.body):
            is_same = listed.profile_count == len(unconfirmed.items) and listed.created_at > earliest
            if is_same and listed.id not in known_ids:
                await self._save_started(listed.id, unconfirmed.items)
                break
        self._unconfirmed, self._confirm_attempts, self._confirm_at = None, 0, 0.0

    async def seconds_to_next(self) -> float | None:
        """Return the seconds until the next poll; None when no import is running."""
        if self._unconfirmed is not None:
            return max(MIN_WAIT_SECONDS, self._confirm_at - time.monotonic())
        next_poll_at = await bulk_imports.next_due(self._db, self._connection_id)
        shortest = MIN_WAIT_SECONDS if self._backoff.seconds_to_next() is None else CONFIRM_SECONDS
        return None if next_poll_at is None else max(shortest, (next_poll_at - datetime.now(UTC)).total_seconds())

    async def poll(self) -> bool:
        """Poll the imports that are due; returns whether any has ended."""
        await self._confirm()
        has_ended = False
        for due_import in await bulk_imports.due(self._db, self._connection_id):
            if (POLL, due_import.bulk_import_id) not in self._backoff.blocked():
                has_ended |= await self._poll_guarded(due_import)
        return has_ended

    async def _poll_guarded(self, due_import: DueBulkImport) -> bool:
        """Poll one import. An error concerns only this import, which is not polled again at once."""
        key = (POLL, due_import.bulk_import_id)
        try:
            has_ended = await self._poll_import(due_import)
        except UNAVAILABLE_ERRORS:
            self._backoff.record_failures([key])
            raise
        except Exception as error:  # noqa: BLE001 - the other imports continue
            await self._health.record_item_failure(Loop.PROFILES, [key], error)
            return False
        self._backoff.clear([key])
        return has_ended

    async def _poll_import(self, due_import: DueBulkImport) -> bool:
        started_at = datetime.now(UTC)
        is_late = started_at - due_import.submitted_at > MAX_DURATION
        outcome = await self._keys.call(lambda client: client.bulk_import(due_import.bulk_import_id))
        match outcome:
            case Accepted(body=body):
                return await self._handle_status(due_import, outcome, read_status(body), is_late=is_late)
            case Refused() | LockedOut(status=403 | 404 | 405 | 410):
                # A key that may start imports but not poll them is used without imports.
                self._disabled_until = time.monotonic() + DISABLED_SECONDS
                return await self._give_up(due_import, outcome)
            case LockedOut():
                await self._recorder.record_outcome(outcome, started_at)
        if is_late:
            return await self._give_up(due_import, outcome)
        await self._reschedule(due_import)
        return False

    async def _give_up(self, due_import: DueBulkImport, outcome: Outcome) -> bool:
        """Stop polling an import. Whatever its result, its writes are sent as single requests."""
        log.warning("bulk_import.timed_out", connection=self._connection_id)
        await self._complete(due_import, outcome, [], failed_count=0, is_cancelled=True)
        return True

    async def _handle_status(
        self, due_import: DueBulkImport, outcome: Outcome, status: BulkImportStatus, *, is_late: bool
    ) -> bool:
        """Act on the status of an import; returns whether it has ended."""
        if not status.is_over and is_late:
            return await self._give_up(due_import, outcome)
        errors = await self._read_errors(due_import) if status.is_over and status.failed_count != 0 else []
        if not status.is_over or (errors is None and not is_late):
            await self._reschedule(due_import)
            return False
        failed_count = status.failed_count or 0
        await self._complete(
            due_import, outcome, errors or [], failed_count=failed_count, is_cancelled=status.was_cancelled
        )
        return True

    async def _reschedule(self, due_import: DueBulkImport) -> None:
        wait = min(MAX_POLL_SECONDS, INITIAL_POLL_SECONDS * POLL_FACTOR**due_import.poll_count)
        next_poll_at = datetime.now(UTC) + timedelta(seconds=wait)
        await bulk_imports.reschedule(
            self._db, self._connection_id, due_import.bulk_import_id, next_poll_at=next_poll_at
        )

    async def _read_errors(self, due_import: DueBulkImport) -> list[BulkImportError] | None:
        """Read all errors of an import; None when Klaviyo does not return them now."""
        errors: list[BulkImportError] = []
        cursor: str | None = None
        cursors: set[str | None] = set()
        while cursor not in cursors and len(cursors) < MAX_ERROR_PAGES:
            cursors.add(cursor)
            outcome = await self._read_error_page(due_import.bulk_import_id, cursor)
            if not isinstance(outcome, Accepted):
                return None
            page, cursor = read_errors(outcome.body)
            errors += page
        return errors

    async def _read_error_page(self, bulk_import_id: str, cursor: str | None) -> Outcome:
        return await self._keys.call(lambda client: client.bulk_import_errors(bulk_import_id, cursor))

    async def _complete(
        self,
        due_import: DueBulkImport,
        outcome: Outcome,
        errors: Sequence[BulkImportError],
        *,
        failed_count: int,
        is_cancelled: bool,
    ) -> None:
        """Record the results of an import's deliveries and delete the import."""
        bulk_import_id = due_import.bulk_import_id
        rows = await bulk_imports.deliveries(self._db, self._connection_id, bulk_import_id)
        deliveries = [DueDelivery(**row) for row in rows]
        results = results_of(
            deliveries,
            errors,
            status=outcome.status,
            failed_count=failed_count,
            is_cancelled=is_cancelled,
            now=datetime.now(UTC),
        )
        await self._recorder.record_results(deliveries, results)
        async with self._db.transaction() as tx:
            await bulk_imports.delete(tx, self._connection_id, bulk_import_id)
        if self._identifiers is not None:
            self._identifiers.pop(bulk_import_id, None)
        log.info(
            "bulk_import.completed",
            connection=self._connection_id,
            deliveries=len(deliveries),
            failed=failed_count,
        )


def _is_endpoint_denied(outcome: Outcome) -> bool:
    """Return whether only this endpoint is denied, so that single imports are used instead."""
    return isinstance(outcome, LockedOut) and outcome.status in (403, 404, 405)
