"""Random conversations, with webhooks in any order and twice: each event is sent once, for the current customer."""

import asyncio
import json
import random
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from kustomer_klaviyo.kustomer.signature import sign
from support.kustomer_documents import conversation, customer, email, event
from support.pipeline import CONNECTION_ID, Pipeline

CONVERSATIONS, SEED = 60, 20261127
START = datetime(2026, 3, 20, 8, tzinfo=UTC)
CREATED, DONE, CSAT = "created", "done", "csat"


def format_time(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class RandomConversation:
    """A random conversation: the expected events, and its webhooks."""

    def __init__(self, rng: random.Random, number: int) -> None:
        self._rng = rng
        self.id = f"c{number}"
        self.customer_ids = [f"p{number}{letter}" for letter in "abc"]
        self._now = START + timedelta(minutes=number)
        self._rev = 0
        self.customer_id = self.customer_ids[0]
        self.spam = self.deleted = False
        self._has_ids = rng.random() < 0.5
        self._attributes: dict[str, Any] = {"createdAt": format_time(self._now)} | self._status("open")
        self._level: dict[str, Any] = {}
        self.expected = Counter([(CREATED, format_time(self._now))])
        self.webhooks: list[dict[str, Any]] = []
        self._send({})
        for _ in range(rng.randint(2, 12)):
            self._now += timedelta(seconds=rng.randint(60, 90_000), milliseconds=rng.randint(0, 999))
            self._actions[rng.randrange(len(self._actions))]()

    @property
    def _actions(self) -> list[Callable[[], None]]:
        frequent = [
            self._close,
            self._reopen,
            self._offer_survey,
            self._answer_survey,
            self._comment_survey,
            self._reassign,
            self._toggle_spam,
        ]
        return [*frequent, *frequent, self._toggle_deleted, lambda: self._send({})]

    def _status(self, status: str) -> dict[str, Any]:
        return {"status": status, "modificationHistory": {"statusAt": format_time(self._now)}}

    def _send(self, changes: dict[str, Any]) -> None:
        self._rev += self._rng.choice((1, 1, 2, 5))
        flags = {"spam": self.spam, "deleted": self.deleted, "updatedAt": format_time(self._now)}
        attributes = self._attributes | flags | {"satisfactionLevel": self._level}
        document = conversation(rev=self._rev, conversation_id=self.id, customer=self.customer_id, **attributes)
        at = format_time(self._now + timedelta(milliseconds=300))
        self.webhooks.append(event(document, id=uuid.uuid4().hex, createdAt=at, changes={"attributes": changes}))

    def _close(self) -> None:
        if self._attributes["status"] == "done":
            return
        before, at = self._attributes["status"], {"createdAt": format_time(self._now)}
        self.expected[DONE, format_time(self._now)] += 1
        self._attributes |= self._status("done")
        if self._rng.random() < 0.3:  # Kustomer may fill lastDone later than the status.
            self._send({"status": {"before": before, "after": "done"}})
        self._attributes = self._attributes | {"lastDone": at, "firstDone": self._attributes.get("firstDone", at)}
        self._send({"status": {"before": before, "after": "done"}})

    def _reopen(self) -> None:
        if self._attributes["status"] == "done":
            self._attributes = self._attributes | self._status(self._rng.choice(("open", "snoozed")))
            self._send({"status": {"before": "done", "after": self._attributes["status"]}})

    def _offer_survey(self) -> None:
        named = {"formResponse": uuid.uuid4().hex} if self._has_ids else {}
        self._set_survey(
            {"status": "offered", "createdAt": format_time(self._now), "updatedAt": format_time(self._now)} | named
        )

    def _answer_survey(self) -> None:
        if self._level.get("status") == "offered":
            self.expected[CSAT, format_time(self._now)] += 1
            answer = {"status": "rated", "rating": self._rng.randint(1, 5), "updatedAt": format_time(self._now)}
            self._set_survey(self._level | answer)

    def _comment_survey(self) -> None:
        if self._level.get("status") == "rated":
            rewritten = {"createdAt": format_time(self._now)} if self._rng.random() < 0.5 else {}
            self._set_survey(self._level | {"status": "commented", "updatedAt": format_time(self._now)} | rewritten)

    def _set_survey(self, level: dict[str, Any]) -> None:
        before, self._level = self._level, level
        self._send({"satisfactionLevel": {"before": before, "after": level}})

    def _reassign(self) -> None:
        self.customer_id = self._rng.choice(self.customer_ids)
        self._send({})

    def _toggle_spam(self) -> None:
        self.spam = not self.spam
        self._send({"spam": {"before": not self.spam, "after": self.spam}})

    def _toggle_deleted(self) -> None:
        self.deleted = not self.deleted
        self._send({})


async def receive_all(
    pipeline: Pipeline,
    rng: random.Random,
    conversations: list[RandomConversation],
    *,
    shuffled: bool,
    delivers_between: bool,
) -> None:
    """Receive all webhooks, some twice, in concurrent waves; process the inbox in between."""
    queues = []
    for conversation_ in conversations:
        queue = conversation_.webhooks + rng.choices(conversation_.webhooks, k=2)
        if shuffled:
            rng.shuffle(queue)
        queues.append(queue if shuffled else list(conversation_.webhooks))
    while any(queues):
        wave = [queue.pop(0) for queue in queues for _ in range(min(len(queue), rng.randint(0, 4)))]
        bodies = [json.dumps(webhook).encode() for webhook in wave]
        intake = pipeline.service.intake
        answers = await asyncio.gather(*(intake.receive(CONNECTION_ID, sign("token", body), body) for body in bodies))
        assert {answer.status for answer in answers} <= {200}
        if delivers_between or rng.random() < 0.5:
            await pipeline.receive_webhooks()
        if delivers_between and rng.random() < 0.4:
            await pipeline.write_profiles(steps=3)
            await pipeline.deliver_events(steps=3)
    await pipeline.receive_webhooks()
    while await pipeline.sql("SELECT FROM deliveries WHERE state = 'pending'"):
        await pipeline.write_profiles()
        await pipeline.deliver_events()


def comparable_times(events: Counter[tuple[str, str]], *, shuffled: bool) -> Counter[tuple[str, str]]:
    """Drop the time of a survey answer if the webhook of its comment, which has a later time, may come first."""
    return Counter((kind, "" if shuffled and kind == CSAT else at) for kind, at in events.elements())


@pytest.mark.parametrize("delivers_between", [False, True])
@pytest.mark.parametrize("shuffled", [False, True])
async def test_each_event_is_sent_once_for_the_current_customer(
    pipeline: Pipeline, *, shuffled: bool, delivers_between: bool
) -> None:
    rng = random.Random(SEED)
    await pipeline.connect()
    lives = [RandomConversation(rng, number) for number in range(CONVERSATIONS)]
    customer_ids = [customer_id for conversation_ in lives for customer_id in conversation_.customer_ids]
    await pipeline.receive_webhooks(
        *(
            customer(customer_id=customer_id, emails=[email(f"{customer_id}@lantern.example")])
            for customer_id in customer_ids
        )
    )
    running = asyncio.create_task(pipeline.service.intake.run())
    await receive_all(pipeline, rng, lives, shuffled=shuffled, delivers_between=delivers_between)
    running.cancel()
    rows = await pipeline.deliveries()
    arrived = await pipeline.klaviyo_events()
    assert len(arrived) == sum(row["state"] == "delivered" for row in rows if row["kind"] != "profile")
    for conversation_ in lives:
        deliveries = [row for row in rows if row["conversation_id"] == conversation_.id]
        recorded = Counter((row["kind"], format_time(row["occurred_at"])) for row in deliveries)
        assert (conversation_.id, comparable_times(recorded, shuffled=shuffled)) == (
            conversation_.id,
            comparable_times(conversation_.expected, shuffled=shuffled),
        )
        if not delivers_between:
            is_sent = not (conversation_.spam or conversation_.deleted)
            assert {(conversation_.id, row["state"]) for row in deliveries} == {
                (conversation_.id, "delivered" if is_sent else "skipped")
            }
            assert {row["subject"] for row in deliveries} == {conversation_.customer_id}
