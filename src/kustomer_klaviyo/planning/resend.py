"""Sends again what was set aside, because an admin says so."""

from dataclasses import dataclass

from kustomer_klaviyo.connections.registry import Joined
from kustomer_klaviyo.planning.customer_updates import read_fact
from kustomer_klaviyo.planning.event_planner import as_now, standing
from kustomer_klaviyo.planning.profile_planner import owe_profiles
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.store import conversations, customers, inbox, lookups, outbox, refused_values
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.lookups import Kind, Question

MOST_AT_ONCE = 1000


@dataclass(frozen=True, slots=True)
class SentAgain:
    """What goes on its way again."""

    deliveries: int
    events: int


async def send_again(database: Database, joined: Joined, *, key: str | None = None) -> SentAgain:
    """Put failed deliveries (one, or all) and events that were not understood back in the line."""
    moved, batch = await _write_again(database, joined, key=key), 1
    while batch:
        batch = await _restate_some(database, joined, key=key)
        moved += batch
    async with database.transaction() as connection:
        events = 0 if key is not None else await inbox.replay_failed(connection, joined.connection.id)
        if key is None:
            await lookups.ask_failed(connection, joined.connection.id)
        await connection.execute("SELECT pg_notify('work', %s)", (joined.connection.id,))
    return SentAgain(moved, events)


async def _write_again(database: Database, joined: Joined, *, key: str | None) -> int:
    """Owe the whole profile anew where a write was set aside."""
    connection_id = joined.connection.id
    async with database.transaction() as connection:
        concerned = await outbox.failed_profiles(connection, connection_id, key)
        await refused_values.forget(connection, connection_id, concerned)
        await customers.doubt(connection, connection_id, {one: {} for one in concerned})
        return await owe_profiles(connection, joined, concerned)


async def _restate_some(database: Database, joined: Joined, *, key: str | None) -> int:
    """Judge failed deliveries anew, by what is known of their customers now; a vanished one is asked for again."""
    connection_id = joined.connection.id
    async with database.transaction() as connection:
        rows = await outbox.failed(connection, connection_id, key, MOST_AT_ONCE)
        read = [(row, fact) for row in rows if (fact := read_fact(row)) is not None]
        rows, facts = [row for row, _ in read], [fact for _, fact in read]
        newest = await conversations.newest(connection, connection_id, [fact.conversation.id for fact in facts])
        facts = [as_now(fact, newest.get(fact.conversation.id)) for fact in facts]
        subjects = [fact.conversation.customer_id or "" for fact in facts]
        await refused_values.forget(connection, connection_id, sorted(set(subjects)))
        known = await customers.identified(connection, connection_id, sorted(set(subjects)))
        news, questions = [], {}
        for row, fact, subject in zip(rows, facts, subjects, strict=True):
            person = known.get(subject)
            if person is not None and person.gone:
                person = None
            owed = standing(fact, person, joined.rules)
            if owed.reason == Reason.LOOKING_UP:
                questions[subject] = Question(Kind.CUSTOMER, subject)
            news.append(owed.restated(row["key"], fact))
        if news:
            await outbox.restate(connection, connection_id, news)
            await customers.forget_gone(connection, connection_id, sorted(questions))
            await lookups.ask(connection, connection_id, list(questions.values()))
    return sum(new.state != outbox.State.FAILED for new in news)
