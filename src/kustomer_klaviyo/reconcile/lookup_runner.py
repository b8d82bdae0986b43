"""Asks Kustomer what no webhook told: customers not known yet, conversations worth another reading.

An answer goes into the inbox as an event like any other, so that there is one way through the house.
"""

import random
import time
from datetime import UTC, datetime, timedelta

import msgspec
import structlog

from kustomer_klaviyo.backoff import Patience, jittered
from kustomer_klaviyo.connections.clock import keep_clock
from kustomer_klaviyo.connections.registry import Joined
from kustomer_klaviyo.health.item_errors import describe, frames
from kustomer_klaviyo.kustomer.answers import is_away
from kustomer_klaviyo.kustomer.client import KustomerClient
from kustomer_klaviyo.kustomer.listings import is_document, is_list, read_merge_target
from kustomer_klaviyo.outcomes import Accepted, LockedOut, Outcome, Refused, Throttled, Unreachable, Unreadable
from kustomer_klaviyo.planning import merges_deletions
from kustomer_klaviyo.planning.customer_updates import keep_people
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.reconcile.deleted_customers import Sweep
from kustomer_klaviyo.reconcile.webhook_watch import WebhookWatch
from kustomer_klaviyo.store import customers, inbox, lookups, outbox
from kustomer_klaviyo.store.database import Database
from kustomer_klaviyo.store.inbox import NewEvent
from kustomer_klaviyo.store.lookups import DueQuestion, Kind, Question

SURVIVOR_SECONDS = 2.0
LOCKED_OUT_SECONDS = 60.0
"""A question waits no longer than this for a key or role that somebody puts right at Kustomer."""

log = structlog.get_logger()


class _Answer(msgspec.Struct):
    data: msgspec.Raw


class _Event(msgspec.Struct, rename="camel"):
    name: str
    created_at: str
    data: msgspec.Raw


class LookUp:
    """Puts one connection's questions to Kustomer."""

    def __init__(self, database: Database, joined: Joined, client: KustomerClient, *, patience: Patience) -> None:
        self._database = database
        self._patience = patience
        self._joined = joined
        self._client = client
        self._sweep = Sweep(database, joined, client)
        self._watch = WebhookWatch(database, joined, client)

    async def answer(self, question: DueQuestion) -> None:
        """Ask one question and act on the answer; without one it is asked again later."""
        await self._answer(question)
        await keep_clock(self._database, self._id, self._client)

    async def _answer(self, question: DueQuestion) -> None:
        if question.kind is Kind.WEBHOOK:
            await self._watch.look(question)
            return
        if question.kind is Kind.SWEEP:
            outcome = await self._sweep.go(question)
            if outcome is not None:
                await self._ask_later(question, outcome)
            return
        if question.answered:
            await self._settle(question, None)
            return
        outcome = _checked(await self._ask(question), question)
        match outcome:
            case Accepted(body=body) if question.kind is Kind.MERGE:
                await self._settle_departure(question, read_merge_target(body, question.id))
            case Accepted(body=body):
                await self._settle(question, body)
            case Refused(status=404) if question.kind is Kind.MERGE:
                await self._settle_departure(question, None)
            case Refused(status=404):
                await self._settle_missing(question)
            case Refused() | Unreadable() if question.tries + 1 >= self._patience.tries:
                await self._fail(question, outcome)
            case _:
                await self._ask_later(question, outcome)

    async def failed(self, question: DueQuestion, error: Exception) -> None:
        """Set a question aside that led to an error of ours; a search that is made for ever is made again later."""
        fault = describe(error)
        log.error(
            "lookup.failed", connection=self._id, kind=question.kind, id=question.id, error=fault.kind, at=frames(error)
        )
        if question.kind not in lookups.FOR_EVER:
            await self._give_up(question, fault.sentence, fault.traceback)
            return
        wait = jittered(self._patience.first_wait, self._patience.longest_wait, question.tries, random.random)
        due_at = datetime.now(UTC) + timedelta(seconds=wait)
        await lookups.later(self._database, self._id, question, due_at=due_at, note=fault.sentence)

    def room(self, most: int) -> int:
        """Return how many questions may be under way at once: one while Kustomer is away, to find out whether it is."""
        return self._client.outage.room(time.monotonic(), most)

    @property
    def seconds_held(self) -> float:
        """For how long nothing is to be asked, since Kustomer did not answer."""
        return max(0.01, self._client.outage.wait(time.monotonic()))

    async def _ask(self, question: DueQuestion) -> Outcome:
        read = {
            Kind.CUSTOMER: self._client.customer,
            Kind.CONVERSATION: self._client.conversation,
            Kind.MERGE: self._client.merges,
        }[question.kind]
        outcome = await read(question.id)
        log.info(
            "lookup.asked", connection=self._id, kind=question.kind, id=question.id, outcome=type(outcome).__name__
        )
        return outcome

    @property
    def _id(self) -> str:
        return self._joined.connection.id

    async def _settle(self, question: DueQuestion, body: bytes | None) -> None:
        async with self._database.transaction() as connection:
            if body is not None:
                await inbox.land(connection, [_as_event(self._id, question, body)])
            await lookups.answered(connection, self._id, question)

    async def _settle_missing(self, question: DueQuestion) -> None:
        async with self._database.transaction() as connection:
            if question.kind is Kind.CUSTOMER:
                await keep_people(connection, self._joined, [customers.vanished(question.id)])
            await lookups.answered(connection, self._id, question)

    async def _settle_departure(self, question: DueQuestion, target: str | None) -> None:
        """Act on what became of a customer who is gone; a survivor who is not known yet is asked for first."""
        async with self._database.transaction() as connection:
            if target is None:
                await merges_deletions.deleted(connection, self._joined, question.id)
            elif not await customers.identified(connection, self._id, [target]):
                await lookups.ask(connection, self._id, [Question(Kind.CUSTOMER, target)])
                soon = datetime.now(UTC) + timedelta(seconds=SURVIVOR_SECONDS)
                await lookups.again(connection, self._id, question, due_at=soon)
                return
            else:
                await merges_deletions.merged(connection, self._joined, source=question.id, target=target)
            await lookups.answered(connection, self._id, question)

    async def _fail(self, question: DueQuestion, outcome: Refused | Unreadable) -> None:
        said = f"asked {question.tries + 1} times: {outcome.detail}"
        log.warning("lookup.failed", connection=self._id, kind=question.kind, id=question.id, said=said)
        await self._give_up(question, said)

    async def _give_up(self, question: DueQuestion, reason: str, error: str | None = None) -> None:
        """Ask no more until an admin says so, or an event asks the same; what waited for the answer fails with it."""
        async with self._database.transaction() as connection:
            await lookups.failed(connection, self._id, question, reason=reason, error=error)
            if question.kind is Kind.CUSTOMER:
                await outbox.fail_unidentified(
                    connection, self._id, question.id, waiting_for=Reason.LOOKING_UP, reason=Reason.NOT_READ
                )

    async def _ask_later(self, question: DueQuestion, outcome: Outcome) -> None:
        is_outage = self._client.outage.failures > 1 and is_away(outcome) and not isinstance(outcome, LockedOut)
        # While Kustomer is away no question is to blame, and none is to be late afterwards.
        longest = self._patience.longest_wait
        if is_outage or isinstance(outcome, LockedOut):
            longest = min(longest, self._patience.longest_probe_wait if is_outage else LOCKED_OUT_SECONDS)
        wait = jittered(self._patience.first_wait, longest, question.tries, random.random)
        due_at = datetime.now(UTC) + timedelta(seconds=wait)
        await lookups.later(self._database, self._id, question, due_at=due_at, note=_why(outcome), counts=not is_outage)


def _checked(outcome: Outcome, question: DueQuestion) -> Outcome:
    """Take an answer for one only if it is about what was asked."""
    if not isinstance(outcome, Accepted):
        return outcome
    is_merges, body = question.kind is Kind.MERGE, outcome.body
    is_right = is_list(body) if is_merges else is_document(body, question.kind, question.id)
    said = f"Kustomer's answer is not about the {question.kind} that was asked for"
    return outcome if is_right else Unreadable(said, outcome.status)


def _as_event(connection_id: str, question: DueQuestion, body: bytes) -> NewEvent:
    now = datetime.now(UTC)
    data = msgspec.json.decode(body, type=_Answer).data
    event = _Event(name=f"kustomer.{question.kind}.update", created_at=now.isoformat(), data=data)
    is_customer = question.kind is Kind.CUSTOMER
    return NewEvent(
        connection_id=connection_id,
        event_id=f"read-{question.kind}-{question.id}-{round(now.timestamp() * 1000)}",
        name=f"kustomer.{question.kind}.read",
        conversation_id=None if is_customer else question.id,
        customer_id=question.id if is_customer else None,
        body=msgspec.json.encode(event),
        received_at=now,
    )


def _why(outcome: Outcome) -> str:
    match outcome:
        case LockedOut(status=status, detail=detail):
            return f"Kustomer does not let us in ({status}: {detail}); put in a working key with `connect`"
        case Refused(detail=detail) | Throttled(detail=detail) | Unreachable(detail=detail):
            return detail
        case Accepted():
            return ""
