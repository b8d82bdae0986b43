"""Inbox and outbox against a dictionary: any order of receiving, processing, crashing, delivering and resending."""

import asyncio
import contextlib
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from kustomer_klaviyo.connections.context import ConnectionContext, load_context
from kustomer_klaviyo.planning.inbox_processor import process_inbox
from kustomer_klaviyo.planning.resend import resend_failed
from kustomer_klaviyo.reasons import Reason
from kustomer_klaviyo.store import delivery_attempts, inbox
from kustomer_klaviyo.store.connections import Connection, Secrets
from kustomer_klaviyo.store.database import Database, OperationalError
from kustomer_klaviyo.store.delivery_attempts import AttemptResult, DueDelivery
from kustomer_klaviyo.store.inbox import NewEvent
from kustomer_klaviyo.store.outbox import DeliveryState
from support.kustomer_documents import conversation, customer, email, event
from support.sample_ids import ADA, BO

CUSTOMERS = st.sampled_from((ADA, BO))
BEGINNING = datetime(2026, 3, 20, 18, 50, 55, tzinfo=UTC)
LATER = timedelta(hours=1)
SAVE_RESULTS = "kustomer_klaviyo.planning.inbox_processor.inbox.save_results"
ROWS = "SELECT fact_key, subject, state, reason, identifier FROM deliveries WHERE connection_id = %s"
INBOX = "SELECT event_id, state, reason FROM inbox WHERE connection_id = %s"
LET_TIME_PASS = "UPDATE deliveries SET due_at = now() WHERE connection_id = %s AND due_at > now()"


@dataclass(frozen=True)
class Received:
    """A webhook, and what it shows."""

    body: bytes
    facts: dict[str, str] = field(default_factory=dict)
    """The customer of each fact key."""
    customer: tuple[str, int, str | None] | None = None
    """Id, revision and address."""
    is_readable: bool = True


@dataclass
class Model:
    """The dictionaries."""

    conversations: dict[str, tuple[str, int, datetime | None]] = field(default_factory=dict)
    """Customer, revision, and time of the last done, by conversation, as Kustomer has them."""
    revisions: dict[str, int] = field(default_factory=dict)
    """The customers' revisions, as Kustomer has them."""
    pending: dict[str, Received] = field(default_factory=dict)
    """Events in the inbox that wait, by event id."""
    inbox: dict[str, str] = field(default_factory=dict)
    unreadable: dict[str, Received] = field(default_factory=dict)
    customers: dict[str, tuple[int, str | None]] = field(default_factory=dict)
    """Revision and address of each customer, as processed."""
    facts: dict[str, str] = field(default_factory=dict)
    """The customer of each fact, in the order of the outbox."""
    completed: dict[str, str] = field(default_factory=dict)
    """``delivered`` or ``failed`` by fact key."""
    postponed: set[str] = field(default_factory=set)

    def process(self) -> None:
        """Every pending event is processed, or fails."""
        for event_id, received in self.pending.items():
            self.inbox[event_id] = "processed" if received.is_readable else "failed"
            self.facts |= {key: subject for key, subject in received.facts.items() if key not in self.facts}
            if received.customer is not None:
                self._save_customer(*received.customer)
            if not received.is_readable:
                self.unreadable[event_id] = received
        self.pending.clear()

    def _save_customer(self, customer_id: str, rev: int, address: str | None) -> None:
        known_rev, known_address = self.customers.get(customer_id, (0, None))
        if rev <= known_rev:
            return
        self.customers[customer_id] = rev, address
        if address != known_address:
            self.postponed -= {key for key, subject in self.facts.items() if subject == customer_id}

    def resend(self) -> None:
        """Whatever failed waits again."""
        self.completed = {key: state for key, state in self.completed.items() if state == "delivered"}
        self.pending |= self.unreadable
        self.inbox |= dict.fromkeys(self.unreadable, "pending")
        self.unreadable.clear()

    def state(self, key: str) -> tuple[str, str | None]:
        """Return the state and the identifier that a fact's delivery has."""
        _, address = self.customers.get(self.facts[key], (0, None))
        state = self.completed.get(key, "unidentified" if address is None else "pending")
        return state, address


class InboxOutboxMachine(RuleBasedStateMachine):
    """Runs each step on the database and in the model."""

    sent = Bundle("sent")
    """Webhooks that were received and may come again."""

    def __init__(self, runner: asyncio.Runner, db: Database) -> None:
        super().__init__()
        self._runner, self._db = runner, db
        self._id = f"model_{uuid.uuid4().hex}"
        self._model = Model()
        self._context = _context(self._id)

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._runner.run(work)

    def _receive(self, received: Received, *, is_processed: bool = False) -> Received:
        event_id = uuid.uuid4().hex
        self._model.pending[event_id] = received
        self._model.inbox[event_id] = "pending"
        self._run(self._store(NewEvent(self._id, event_id, "kustomer.x.update", None, None, received.body, _now())))
        if is_processed:
            self._process()
        return received

    async def _store(self, new: NewEvent) -> None:
        async with self._db.transaction() as tx:
            await inbox.insert(tx, [new])
            await inbox.insert(tx, [new])

    @rule(target=sent, customer_id=CUSTOMERS, is_processed=st.booleans())
    def open_conversation(self, customer_id: str, *, is_processed: bool) -> Received:
        conversation_id = uuid.uuid4().hex[:24]
        self._model.conversations[conversation_id] = customer_id, 1, None
        return self._receive(self._conversation(conversation_id), is_processed=is_processed)

    @precondition(lambda self: self._model.conversations)
    @rule(target=sent, data=st.data(), is_done=st.booleans(), is_processed=st.booleans())
    def update_conversation(self, data: st.DataObject, *, is_done: bool, is_processed: bool) -> Received:
        conversation_id = data.draw(st.sampled_from(sorted(self._model.conversations)))
        customer_id, rev, done_at = self._model.conversations[conversation_id]
        done_at = BEGINNING + rev * LATER if is_done else done_at
        self._model.conversations[conversation_id] = customer_id, rev + 1, done_at
        return self._receive(self._conversation(conversation_id), is_processed=is_processed)

    def _conversation(self, conversation_id: str) -> Received:
        customer_id, rev, done_at = self._model.conversations[conversation_id]
        facts = {f"created:{conversation_id}": customer_id}
        attributes: dict[str, Any] = {}
        if done_at is not None:
            facts[f"done:{conversation_id}:{round(done_at.timestamp() * 1000)}"] = customer_id
            time = done_at.isoformat()
            attributes = {"lastDone": {"createdAt": time}, "status": "done", "modificationHistory": {"statusAt": time}}
        document = conversation(rev=rev, conversation_id=conversation_id, customer=customer_id, **attributes)
        return Received(msgspec.json.encode(event(document)), facts)

    @rule(target=sent, customer_id=CUSTOMERS, has_email=st.booleans(), is_processed=st.booleans())
    def update_customer(self, customer_id: str, *, has_email: bool, is_processed: bool) -> Received:
        rev = self._model.revisions[customer_id] = self._model.revisions.get(customer_id, 0) + 1
        address = f"{rev}@{customer_id[-1]}.lantern.example" if has_email else None
        emails = [] if address is None else [email(address)]
        document = customer(rev=rev, customer_id=customer_id, emails=emails)
        received = Received(msgspec.json.encode(event(document)), customer=(customer_id, rev, address))
        return self._receive(received, is_processed=is_processed)

    @rule(target=sent)
    def receive_unreadable(self) -> Received:
        return self._receive(Received(b"{", is_readable=False))

    @rule(received=sent)
    def receive_again(self, received: Received) -> None:
        """The same or an older document, as a later event."""
        self._receive(received)

    @rule()
    def process(self) -> None:
        self._process()

    def _process(self) -> None:
        while self._run(process_inbox(self._db, self._context)).events:
            pass
        self._model.process()

    @rule()
    def crash_while_processing(self) -> None:
        with patch(SAVE_RESULTS, side_effect=OperationalError), contextlib.suppress(OperationalError):
            self._run(process_inbox(self._db, self._context))

    @rule(data=st.data(), state=st.sampled_from((DeliveryState.DELIVERED, DeliveryState.FAILED, DeliveryState.PENDING)))
    def deliver(self, data: st.DataObject, state: DeliveryState) -> None:
        """One request ends: accepted, refused, or to be tried again later."""
        due = self._run(delivery_attempts.due_events(self._db, self._id, 100))
        assert [delivery.fact_key for delivery in due] == self._due()
        if not due:
            return
        delivery = data.draw(st.sampled_from(due), label="delivery")
        self._run(self._record(delivery, state))
        if state is DeliveryState.PENDING:
            self._model.postponed.add(delivery.fact_key)
        else:
            self._model.completed[delivery.fact_key] = state

    def _due(self) -> list[str]:
        """Nothing of a customer is due after a delivery that waits for a later time."""
        due, blocked = [], set()
        for key, subject in self._model.facts.items():
            is_pending = self._model.state(key)[0] == "pending"
            if is_pending and key in self._model.postponed:
                blocked.add(subject)
            elif is_pending and subject not in blocked:
                due.append(key)
        return due

    async def _record(self, delivery: DueDelivery, state: DeliveryState) -> None:
        reason = None if state is DeliveryState.DELIVERED else Reason.REJECTED
        due_at = _now() + LATER if state is DeliveryState.PENDING else None
        async with self._db.transaction() as tx:
            await delivery_attempts.record_results(
                tx, self._id, [AttemptResult(delivery.fact_key, state, reason, due_at)]
            )

    @rule()
    def let_time_pass(self) -> None:
        self._run(self._db.execute(LET_TIME_PASS, (self._id,)))
        self._model.postponed.clear()

    @rule()
    def resend(self) -> None:
        self._run(resend_failed(self._db, self._context))
        self._model.resend()

    @invariant()
    def every_fact_is_recorded_once(self) -> None:
        rows = self._run(self._db.fetch(ROWS, (self._id,)))
        assert sorted(row["fact_key"] for row in rows) == sorted(self._model.facts)
        for row in rows:
            state, address = self._model.state(row["fact_key"])
            assert (row["subject"], row["state"]) == (self._model.facts[row["fact_key"]], state), row
            assert row["reason"] is not None or state in ("pending", "delivered"), row
            assert row["identifier"] == address or state != "pending", row

    @invariant()
    def every_event_is_pending_processed_or_failed_with_a_reason(self) -> None:
        rows = self._run(self._db.fetch(INBOX, (self._id,)))
        assert {row["event_id"]: row["state"] for row in rows} == self._model.inbox
        assert all(row["reason"] for row in rows if row["state"] == "failed")


def _now() -> datetime:
    return datetime.now(UTC)


def _context(connection_id: str) -> ConnectionContext:
    return load_context(
        Connection(
            version=1,
            id=connection_id,
            organisation="sandbox",
            kustomer_url="http://127.0.0.1:1",
            klaviyo_url="http://127.0.0.1:1",
            secrets=Secrets("key", ("key",), ("token",)),
            since=datetime(2026, 1, 1, tzinfo=UTC),
            options={"profiles": "none", "support_state": False},
        )
    )


def test_inbox_and_outbox_are_like_a_dictionary(database_url: str) -> None:
    with asyncio.Runner() as runner:
        db = Database(database_url, pool_size=2)
        runner.run(db.open())

        class Machine(InboxOutboxMachine):
            def __init__(self) -> None:
                super().__init__(runner, db)

        run_state_machine_as_test(Machine, settings=settings(max_examples=25, stateful_step_count=25))
        runner.run(db.close())


def test_an_event_waits_for_its_customer_in_the_database_and_in_the_model(database_url: str) -> None:
    with asyncio.Runner() as runner:
        db = Database(database_url, pool_size=2)
        runner.run(db.open())
        machine = InboxOutboxMachine(runner, db)
        machine.open_conversation(customer_id=ADA, is_processed=True)
        for has_email in (True, False, True):
            machine.update_customer(customer_id=ADA, has_email=has_email, is_processed=True)
            machine.every_fact_is_recorded_once()
            machine.every_event_is_pending_processed_or_failed_with_a_reason()
        runner.run(db.close())
