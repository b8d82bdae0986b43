"""The number of a customer's open conversations: Kustomer's own count, corrected by later status changes."""

import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from kustomer_klaviyo.facts import Conversation, ConversationObserved, OpenCount, epoch_milliseconds
from kustomer_klaviyo.planning.support_state import count_open
from kustomer_klaviyo.store import conversations
from kustomer_klaviyo.store.conversations import ConversationRow
from kustomer_klaviyo.store.database import Database, Transaction

AT = datetime(2026, 3, 20, 19, tzinfo=UTC)
HOUR = timedelta(hours=1)


class OpenCounter:
    """Stores conversations of one customer and counts the open ones."""

    def __init__(self, tx: Transaction) -> None:
        self._tx = tx

    async def count(self, counted: OpenCount | None, *observed: ConversationObserved) -> int:
        """Return how many are open, if these are the customer's conversations."""
        await self._tx.execute("DELETE FROM conversations")
        await conversations.save(self._tx, "acme", [_row(conversation) for conversation in observed])
        counted_at = {"k1": None if counted is None else counted.counted_at}
        opened = await conversations.count_open_since(self._tx, "acme", counted_at)
        changed = await conversations.changed_since(self._tx, "acme", counted_at)
        documents = [msgspec.convert(document, ConversationObserved) for document in changed.get("k1", ())]
        return count_open(counted, opened.get("k1", 0), documents)


def _row(observed: ConversationObserved) -> ConversationRow:
    changed_at = str(epoch_milliseconds(observed.status_changed_at))
    history = observed.status_history | {changed_at: observed.is_open}
    document = msgspec.to_builtins(observed)
    return ConversationRow(observed.conversation.id, "k1", 0, observed.fingerprint, document, history)


@pytest.fixture
async def counter(database_url: str) -> AsyncIterator[OpenCounter]:
    db = Database(database_url)
    await db.open()
    async with db.transaction() as tx:
        yield OpenCounter(tx)
    await db.close()


def observed(
    conversation_id: str, *, is_open: bool, changed_at: datetime, created_at: datetime = AT, spam: bool = False
) -> ConversationObserved:
    return ConversationObserved(Conversation(conversation_id, "k1", spam=spam), is_open, changed_at, created_at)


async def test_without_a_count_by_kustomer_the_observed_open_conversations_count(counter: OpenCounter) -> None:
    known = [
        observed("a", is_open=True, changed_at=AT),
        observed("b", is_open=False, changed_at=AT),
        observed("c", is_open=True, changed_at=AT, spam=True),
    ]
    assert await counter.count(None, *known) == 1


async def test_kustomers_count_includes_conversations_that_were_never_observed(counter: OpenCounter) -> None:
    assert await counter.count(OpenCount(3, AT)) == 3


async def test_status_changes_after_the_count_correct_it(counter: OpenCounter) -> None:
    later = AT + HOUR
    assert await counter.count(OpenCount(1, AT), observed("a", is_open=True, changed_at=later, created_at=later)) == 2
    assert await counter.count(OpenCount(1, AT), observed("a", is_open=False, changed_at=later)) == 0
    assert await counter.count(OpenCount(1, AT), observed("a", is_open=False, changed_at=later, created_at=later)) == 1


async def test_a_conversation_that_was_done_at_the_count_and_reopened_later_is_not_subtracted_twice(
    counter: OpenCounter,
) -> None:
    changes = {AT: True, AT + HOUR: False, AT + 3 * HOUR: True}
    history = {str(epoch_milliseconds(at)): is_open for at, is_open in changes.items()}
    done = observed("a", is_open=False, changed_at=AT + 4 * HOUR)
    reopened = msgspec.structs.replace(done, status_history=history)
    assert await counter.count(OpenCount(1, AT + 2 * HOUR), reopened) == 1
    assert await counter.count(OpenCount(1, AT), reopened) == 0


async def test_spam_is_part_of_kustomers_count_and_of_its_correction(counter: OpenCounter) -> None:
    later = AT + HOUR
    spam = observed("a", is_open=True, changed_at=later, created_at=later, spam=True)
    assert await counter.count(OpenCount(1, AT), spam) == 2


async def test_a_newer_count_closes_conversations_whose_deletion_was_not_observed(counter: OpenCounter) -> None:
    assert await counter.count(OpenCount(0, AT + HOUR), observed("a", is_open=True, changed_at=AT)) == 0


def count_in_memory(counted: OpenCount, known: Sequence[ConversationObserved]) -> int:
    """Count with every conversation at hand."""
    corrections = [
        conversation.is_open - conversation.was_open(counted.counted_at)
        for conversation in known
        if conversation.status_changed_at > counted.counted_at
    ]
    return max(0, counted.count + sum(corrections))


async def test_the_stored_count_equals_the_count_in_memory(counter: OpenCounter) -> None:
    rng = random.Random(1)

    def moment() -> datetime:
        return AT + rng.randrange(7) * HOUR

    for _ in range(150):
        known = []
        for number in range(rng.randrange(6)):
            created_at, changed_at = sorted((moment(), moment()))
            is_open = rng.random() < 0.5
            known.append(observed(str(number), is_open=is_open, changed_at=changed_at, created_at=created_at))
        counted = OpenCount(rng.randrange(4), moment())
        assert await counter.count(counted, *known) == count_in_memory(counted, known), (counted, known)
