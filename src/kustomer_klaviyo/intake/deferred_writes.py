"""Writes that can wait: counters, newer revisions of unchanged entities, and requests to prefetch cards."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import structlog

from kustomer_klaviyo.intake.dedup import Entity, Key, RevisionBump
from kustomer_klaviyo.store import cards, conversations, counters, customers, lookups
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.lookups import Lookup, LookupKind

MAX_ATTEMPTS = 60
"""Attempts to write a revision while the entity's row is locked, or its event still waits to be processed."""

MAX_PREFETCHES = 4096

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _PendingBump:
    """A revision bump that is not written yet."""

    bump: RevisionBump
    attempts: int = 0

    def is_contradicted_by(self, rev: int, fingerprint: str) -> bool:
        """Return whether the stored version differs, although it is no older than the cached one."""
        return fingerprint != self.bump.version.fingerprint and rev >= self.bump.known_rev


class DeferredWrites:
    """The deferred writes of one process. A crash loses them, but no event."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._counts: Counter[Key] = Counter()
        self._prefetches: set[Key] = set()
        self._bumps: dict[Entity, _PendingBump] = {}

    def count(self, connection_id: str, name: str) -> None:
        """Increment a counter."""
        self._counts[connection_id, name] += 1

    def request_prefetch(self, customer: Key) -> None:
        """Request that a customer's card is fetched before an agent opens it."""
        if len(self._prefetches) < MAX_PREFETCHES:
            self._prefetches.add(customer)

    def bump_revision(self, bump: RevisionBump) -> None:
        """Record a newer revision. Several bumps of one entity with the same fingerprint become one."""
        entity = bump.version.entity
        previous = self._bumps.get(entity)
        if previous is not None and previous.bump.version.fingerprint == bump.version.fingerprint:
            bump = replace(bump, known_rev=min(bump.known_rev, previous.bump.known_rev))
        self._bumps[entity] = _PendingBump(bump)

    async def flush(self) -> None:
        """Write everything. A part that fails is kept for the next flush, and its error is raised at the end."""
        failure: Exception | None = None
        for flush_part in (self._flush_counts, self._flush_bumps, self._flush_prefetches):
            try:
                await flush_part()
            except Exception as error:  # noqa: BLE001 - raised after the other parts
                failure = error
        if failure is not None:
            raise failure

    async def _flush_counts(self) -> None:
        counts, self._counts = self._counts, Counter()
        try:
            if counts:
                await counters.increment(self._db, counts)
        except Exception:
            self._counts.update(counts)
            raise

    async def _flush_bumps(self) -> None:
        bumps, self._bumps = self._bumps, {}
        try:
            for kind in (LookupKind.CUSTOMER, LookupKind.CONVERSATION):
                await self._write_revisions(
                    kind, {key: bump for (bump_kind, key), bump in bumps.items() if bump_kind is kind}
                )
        except Exception:
            self._bumps = bumps | self._bumps
            raise

    async def _flush_prefetches(self) -> None:
        """Request the cards. A request that fails is not worth a second attempt."""
        customer_keys, self._prefetches = self._prefetches, set()
        if customer_keys:
            await cards.request_prefetch(self._db, customer_keys)

    async def _write_revisions(self, kind: LookupKind, bumps: Mapping[Key, _PendingBump]) -> None:
        """Bump the stored revisions of unchanged entities; refetch an entity that is stored with other values.

        The stored version may differ from the cached one: another process stored a change, or this one did before a
        restart. An event that was dropped as a duplicate may then have been a change back.
        """
        if not bumps:
            return
        store = customers if kind is LookupKind.CUSTOMER else conversations
        versions = [(key, pending.bump.version) for key, pending in bumps.items()]
        locked = await store.bump_revisions(
            self._db, [(*key, version.rev, version.fingerprint) for key, version in versions]
        )
        async with self._db.transaction() as tx:
            stored = await store.versions(tx, list(bumps))
            for key, pending in bumps.items():
                rev, fingerprint = stored.get(key, (-1, ""))
                if rev >= pending.bump.version.rev:
                    continue
                if key in stored and key not in locked and pending.is_contradicted_by(rev, fingerprint):
                    connection_id, entity_id = key
                    log.info("entity.refetched", connection=connection_id, kind=kind, id=entity_id)
                    await lookups.enqueue(tx, connection_id, [Lookup(kind, entity_id)])
                elif pending.attempts < MAX_ATTEMPTS:
                    self._bumps.setdefault((kind, key), replace(pending, attempts=pending.attempts + 1))
