"""Writes one connection's profiles: few as single requests, many by a bulk import whose end is polled.

All due writes of one customer are combined into one.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from kustomer_klaviyo.backoff import next_wait
from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.delivery.attempt_recorder import AttemptRecorder
from kustomer_klaviyo.delivery.bulk_import_runner import BulkImportRunner
from kustomer_klaviyo.delivery.pending_profile_write import PendingProfileWrite, group_by_customer, parse_write
from kustomer_klaviyo.delivery.profile_results import ProfileResults
from kustomer_klaviyo.delivery.profile_writer import ProfileWriter
from kustomer_klaviyo.klaviyo.profile_wire import encode_entry
from kustomer_klaviyo.store import delivery_attempts
from kustomer_klaviyo.store.database import UNAVAILABLE_ERRORS, Database
from kustomer_klaviyo.store.delivery_attempts import DueDelivery

MAX_DUE = 10_000
"""Writes loaded in one pass: as many as one bulk import takes."""

MAX_DUE_SINGLE = 500
"""The same where they are sent as single requests anyway: each query costs, and one follows every write."""

BULK_CHECK_SECONDS = 5.0
"""How often it is checked whether enough writes wait for a bulk import."""

MIN_BULK = 50
"""From this many customers, a bulk import is used; it is not meant for a few
(developers.klaviyo.com/en/docs/use_klaviyos_bulk_profile_import_api)."""

MIN_BULK_AT_RATE_LIMIT = 2
"""While the rate limit of single writes is used up, a bulk import is faster even for a few."""

BULK_FALLBACK_SECONDS = 0.01
"""The wait before writes are sent as single requests, after Klaviyo rejected their bulk import."""

PROBE_RETRY_SECONDS = 0.1

MAX_CONCURRENT = 8
"""Customers whose profiles are written concurrently as single requests."""


class ProfileDeliverer:
    """Writes one connection's profiles while its worker runs."""

    def __init__(
        self,
        db: Database,
        context: ConnectionContext,
        *,
        writer: ProfileWriter,
        bulk_imports: BulkImportRunner,
        recorder: AttemptRecorder,
    ) -> None:
        self._db = db
        self._connection_id = context.connection.id
        self._update_only = context.options.update_only
        self._writer = writer
        self._bulk_imports = bulk_imports
        self._recorder = recorder
        self._results = ProfileResults(db, context, recorder)
        self._single_until = float("-inf")
        self._identifiers: set[str] = set()
        self.in_flight: dict[str, asyncio.Task[None]] = {}

    async def run_once(self, *, on_progress: Callable[[], None]) -> float | None:
        """Write what is due. Return the seconds until the next pass (0: at once, None: when woken)."""
        wait = await self._recorder.seconds_held()
        if wait > 0:
            return wait
        busy, started_at = self.in_flight.keys() | self._recorder.blocked_subjects, datetime.now(UTC)
        if await self._recorder.circuit_breaker.is_half_open():
            probes = await self._load(MAX_DUE_SINGLE, busy)
            if probes:
                return await self._probe(probes, on_progress)
        if await self._bulk_imports.poll():
            on_progress()
        bulk_wait = await self._start_due(busy, on_progress)
        if bulk_wait is not None:
            return bulk_wait
        next_poll = await self._bulk_imports.seconds_to_next()
        if self.in_flight:
            return next_poll
        next_due = await delivery_attempts.next_due(self._db, self._connection_id, after=started_at)
        return next_wait(next_due, datetime.now(UTC), next_poll, self._recorder.seconds_to_next)

    async def finish(self) -> None:
        """Wait for the requests in flight."""
        await asyncio.gather(*self.in_flight.values())

    async def _start_due(self, busy: set[str], on_progress: Callable[[], None]) -> float | None:
        """Start what is due. Return the seconds until the next pass if a bulk import was tried, else None."""
        may_use_bulk = self._may_use_bulk()
        due = await self._due(MAX_DUE if may_use_bulk else MAX_DUE_SINGLE)
        writes = await self._without_conflicts(await self._parse([item for item in due if item.subject not in busy]))
        bulk, single = self._split_bulk_and_single(writes) if may_use_bulk else ([], writes)
        if may_use_bulk and not bulk and len(due) > MAX_DUE_SINGLE:
            self._single_until = time.monotonic() + BULK_CHECK_SECONDS
        has_started = bool(bulk) and await self._start_bulk(bulk)
        self._start_single(single, on_progress)
        if not bulk:
            return None
        return 0 if has_started else BULK_FALLBACK_SECONDS

    async def _due(self, limit: int) -> list[DueDelivery]:
        return await delivery_attempts.due_profiles(self._db, self._connection_id, limit)

    async def _load(self, limit: int, busy: set[str]) -> list[PendingProfileWrite]:
        due = [delivery for delivery in await self._due(limit) if delivery.subject not in busy]
        return await self._without_conflicts(await self._parse(due))

    async def _probe(self, writes: Sequence[PendingProfileWrite], on_progress: Callable[[], None]) -> float | None:
        """Probe Klaviyo with one write: one that was never tried, else the one whose last attempt is the oldest."""
        if not await self._recorder.circuit_breaker.may_probe(self):
            return PROBE_RETRY_SECONDS
        self._start_single([min(writes, key=lambda write: write.retry_order)], on_progress)
        return None

    async def _parse(self, due: Sequence[DueDelivery]) -> list[PendingProfileWrite]:
        """Parse the stored requests. A customer's deliveries fail if they cannot be parsed."""
        writes = []
        for deliveries in group_by_customer(due):
            try:
                writes.append(parse_write(deliveries))
            except Exception as error:  # noqa: BLE001 - it concerns only this customer
                await self._recorder.fail(deliveries, error)
        return writes

    async def _without_conflicts(self, writes: Sequence[PendingProfileWrite]) -> list[PendingProfileWrite]:
        """Leave out writes that Klaviyo could match to the profile of a write in flight, or of an earlier one."""
        taken = self._identifiers | await self._bulk_imports.identifiers_in_flight()
        free = []
        for write in writes:
            if not write.request.identifiers & taken:
                free.append(write)
            taken |= write.request.identifiers
        return free

    def _may_use_bulk(self) -> bool:
        now = time.monotonic()
        return not self._update_only and self._bulk_imports.is_available(now) and now >= self._single_until

    def _split_bulk_and_single(
        self, writes: Sequence[PendingProfileWrite]
    ) -> tuple[list[PendingProfileWrite], list[PendingProfileWrite]]:
        """Return the writes for a bulk import and the writes for single requests."""
        bulk = [write for write in writes if write.has_not_failed and write.request.is_bulk_importable]
        if len(bulk) < (MIN_BULK_AT_RATE_LIMIT if self._writer.is_at_rate_limit else MIN_BULK):
            return [], list(writes)
        subjects = {write.subject for write in bulk}
        return bulk, [write for write in writes if write.subject not in subjects]

    async def _start_bulk(self, writes: Sequence[PendingProfileWrite]) -> bool:
        """Start bulk imports. A write that cannot be encoded fails, and the others are sent in the next pass."""
        try:
            return await self._bulk_imports.start(writes)
        except UNAVAILABLE_ERRORS:
            raise
        except Exception:
            if not [write for write in writes if await self._fail_if_not_encodable(write)]:
                raise
            return True

    async def _fail_if_not_encodable(self, write: PendingProfileWrite) -> bool:
        try:
            encode_entry(write.request)
        except Exception as error:  # noqa: BLE001 - it concerns only this customer
            await self._recorder.fail(write.deliveries, error)
            return True
        return False

    def _start_single(self, writes: Sequence[PendingProfileWrite], on_progress: Callable[[], None]) -> None:
        for write in writes:
            if len(self.in_flight) >= MAX_CONCURRENT:
                break
            self._identifiers |= write.request.identifiers
            self.in_flight[write.subject] = asyncio.create_task(self._write(write, on_progress))

    async def _write(self, write: PendingProfileWrite, on_progress: Callable[[], None]) -> None:
        try:
            if await self._recorder.seconds_held() <= 0:
                started_at = datetime.now(UTC)
                result = await self._writer.write(write.request, write.profile_id)
                await self._results.save(write, result, started_at)
        except Exception as error:  # noqa: BLE001 - the other writes continue, whatever the error
            await self._recorder.fail(write.deliveries, error)
        finally:
            self._identifiers -= write.request.identifiers
            del self.in_flight[write.subject]
            self._recorder.circuit_breaker.end_probe(self)
            on_progress()
