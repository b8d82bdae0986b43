"""What noise taught the door, written down now and then: how much there was, newer revisions, cards to be fetched."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import structlog

from kustomer_klaviyo.intake.dedup import Advance, Pair
from kustomer_klaviyo.store import cards, conversations, counters, customers, lookups
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.lookups import Kind, Question

MOST_TRIES = 60
"""So often an advance is tried of what still waits to be processed, or is locked."""

MOST_AWAITED = 4096

Object = tuple[Kind, Pair]
"""A customer or a conversation of a connection."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Note:
    """An advance that is not written down yet."""

    advance: Advance
    tries: int = 0

    def is_contradicted_by(self, rev: int, fingerprint: str) -> bool:
        """Say whether what is kept differs, although it is no older than what the door went by."""
        return fingerprint != self.advance.sighting.fingerprint and rev >= self.advance.since


class Notes:
    """The notes of one process. What is lost of them in a crash costs no event."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._tallies: Counter[Pair] = Counter()
        self._awaited: set[Pair] = set()
        self._advances: dict[Object, _Note] = {}

    def count(self, connection_id: str, name: str) -> None:
        """Count something."""
        self._tallies[connection_id, name] += 1

    def expect_agent(self, customer: Pair) -> None:
        """Have a card fetched before an agent looks."""
        if len(self._awaited) < MOST_AWAITED:
            self._awaited.add(customer)

    def advanced(self, advance: Advance) -> None:
        """Take note of an advance; several of one object, unchanged between them, are one."""
        key = (advance.kind, advance.sighting.pair)
        before = self._advances.get(key)
        if before is not None and before.advance.sighting.fingerprint == advance.sighting.fingerprint:
            advance = replace(advance, since=min(advance.since, before.advance.since))
        self._advances[key] = _Note(advance)

    async def write(self) -> None:
        """Write down what was noted, whichever part of it fails; that part is kept for the next time, and raises."""
        failed: Exception | None = None
        for part in (self._write_counts, self._write_advances, self._write_wishes):
            try:
                await part()
            except Exception as error:  # noqa: BLE001 - raised when the other parts had their turn
                failed = error
        if failed is not None:
            raise failed

    async def _write_counts(self) -> None:
        counts, self._tallies = self._tallies, Counter()
        try:
            if counts:
                await counters.add(self._database, counts)
        except Exception:
            self._tallies.update(counts)
            raise

    async def _write_advances(self) -> None:
        advances, self._advances = self._advances, {}
        try:
            for kind in (Kind.CUSTOMER, Kind.CONVERSATION):
                await self._raise(kind, {key: note for key, note in advances.items() if key[0] is kind})
        except Exception:
            self._advances = advances | self._advances
            raise

    async def _write_wishes(self) -> None:
        """Have cards fetched; a wish that fails is not worth another try."""
        awaited, self._awaited = self._awaited, set()
        if awaited:
            await cards.wish_ahead(self._database, awaited)

    async def _raise(self, kind: Kind, notes: Mapping[Object, _Note]) -> None:
        """Raise the revisions of what is kept unchanged; read by API what is kept otherwise than the door knew it.

        Another process may have received what lies between, or this one before it was restarted: what was dropped here
        as nothing new may be a change back.
        """
        if not notes:
            return
        store = customers if kind is Kind.CUSTOMER else conversations
        rows = [
            (*pair, note.advance.sighting.rev, note.advance.sighting.fingerprint) for (_, pair), note in notes.items()
        ]
        locked = await store.advance(self._database, rows)
        async with self._database.transaction() as tx:
            kept = await store.known(tx, [pair for _, pair in notes])
            for key, note in notes.items():
                pair = key[1]
                rev, fingerprint = kept.get(pair, (-1, ""))
                if rev >= note.advance.sighting.rev:
                    continue
                if pair in kept and pair not in locked and note.is_contradicted_by(rev, fingerprint):
                    log.info("object.read_again", connection=pair[0], kind=kind, id=pair[1])
                    await lookups.ask(tx, pair[0], [Question(kind, pair[1])])
                elif note.tries < MOST_TRIES:
                    self._advances.setdefault(key, replace(note, tries=note.tries + 1))
