"""How many conversations of a customer are open: Kustomer's own count, corrected by what happened since."""

import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta

import msgspec
import psycopg
import pytest
from psycopg.rows import dict_row

from kustomer_klaviyo.facts import Conversation, ConversationSeen, Counted, milliseconds
from kustomer_klaviyo.planning.support_state import open_conversations
from kustomer_klaviyo.store import conversations
from kustomer_klaviyo.store.conversations import Seen

AT = datetime(2026, 3, 20, 19, tzinfo=UTC)
HOUR = timedelta(hours=1)


class Desk:
    """Keeps conversations of one customer, and counts them."""

    def __init__(self, connection: psycopg.AsyncConnection[dict[str, object]]) -> None:
        self._connection = connection

    async def count(self, counted: Counted | None, *known: ConversationSeen) -> int:
        """Return how many are open, when these are the customer's conversations."""
        await self._connection.execute("DELETE FROM conversations")
        await conversations.save(self._connection, "acme", [_kept(one) for one in known])
        counted_at = {"k1": None if counted is None else counted.at}
        begun = await conversations.began(self._connection, "acme", counted_at)
        turned = await conversations.turned(self._connection, "acme", counted_at)
        seen = [msgspec.convert(one, ConversationSeen) for one in turned.get("k1", ())]
        return open_conversations(counted, begun.get("k1", 0), seen)


def _kept(one: ConversationSeen) -> Seen:
    turns = one.turns | {str(milliseconds(one.since)): one.is_open}
    return Seen(one.conversation.id, "k1", 0, one.fingerprint, msgspec.to_builtins(one), turns)


@pytest.fixture
async def desk(database_url: str) -> AsyncIterator[Desk]:
    connection = await psycopg.AsyncConnection.connect(database_url, autocommit=True, row_factory=dict_row)
    async with connection:
        yield Desk(connection)


def seen(one: str, *, is_open: bool, since: datetime, opened_at: datetime = AT, spam: bool = False) -> ConversationSeen:
    return ConversationSeen(Conversation(one, "k1", spam=spam), is_open, since, opened_at)


async def test_without_a_count_by_kustomer_what_was_seen_open_is_open(desk: Desk) -> None:
    known = [
        seen("a", is_open=True, since=AT),
        seen("b", is_open=False, since=AT),
        seen("c", is_open=True, since=AT, spam=True),
    ]
    assert await desk.count(None, *known) == 1


async def test_kustomers_count_knows_of_conversations_never_seen_here(desk: Desk) -> None:
    assert await desk.count(Counted(3, AT)) == 3


async def test_what_turned_since_the_count_corrects_it(desk: Desk) -> None:
    later = AT + HOUR
    assert await desk.count(Counted(1, AT), seen("a", is_open=True, since=later, opened_at=later)) == 2
    assert await desk.count(Counted(1, AT), seen("a", is_open=False, since=later)) == 0
    assert await desk.count(Counted(1, AT), seen("a", is_open=False, since=later, opened_at=later)) == 1


async def test_what_was_done_when_kustomer_counted_and_was_opened_in_between_is_not_done_twice(desk: Desk) -> None:
    turns = {AT: True, AT + HOUR: False, AT + 3 * HOUR: True}
    turned = {str(milliseconds(at)): is_open for at, is_open in turns.items()}
    again = msgspec.structs.replace(seen("a", is_open=False, since=AT + 4 * HOUR), turns=turned)
    assert await desk.count(Counted(1, AT + 2 * HOUR), again) == 1
    assert await desk.count(Counted(1, AT), again) == 0


async def test_spam_is_in_kustomers_count_and_so_in_its_correction(desk: Desk) -> None:
    begun = seen("a", is_open=True, since=AT + HOUR, opened_at=AT + HOUR, spam=True)
    assert await desk.count(Counted(1, AT), begun) == 2


async def test_a_newer_count_closes_what_was_deleted_unseen(desk: Desk) -> None:
    assert await desk.count(Counted(0, AT + HOUR), seen("a", is_open=True, since=AT)) == 0


def simply(counted: Counted, known: Sequence[ConversationSeen]) -> int:
    """Count as one would with every conversation at hand."""
    moves = [one.is_open - one.was_open(counted.at) for one in known if one.since > counted.at]
    return max(0, counted.open + sum(moves))


async def test_reading_only_what_matters_counts_as_reading_everything(desk: Desk) -> None:
    chance = random.Random(1)

    def moment() -> datetime:
        return AT + chance.randrange(7) * HOUR

    for _ in range(150):
        known = []
        for number in range(chance.randrange(6)):
            opened_at, since = sorted((moment(), moment()))
            known.append(seen(str(number), is_open=chance.random() < 0.5, since=since, opened_at=opened_at))
        counted = Counted(chance.randrange(4), moment())
        assert await desk.count(counted, *known) == simply(counted, known), (counted, known)
