"""Conversations lived at random, their webhooks in any order and twice: each happening once, for whom it is now."""

import asyncio
import json
import random
import uuid
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from documents import conversation, customer, email, event
from kustomer_klaviyo.kustomer.signature import sign
from line import NAME, Line

CONVERSATIONS, SEED = 60, 20261127
BEGAN = datetime(2026, 3, 20, 8, tzinfo=UTC)
CREATED, DONE, CSAT = "opened", "closed", "satisfaction"


def written(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Lived:
    """One conversation: how it really went, and the webhooks that tell of it."""

    def __init__(self, chance: random.Random, number: int) -> None:
        self._chance = chance
        self.id = f"c{number}"
        self.people = [f"p{number}{one}" for one in "abc"]
        self._now = BEGAN + timedelta(minutes=number)
        self._rev = 0
        self.owner = self.people[0]
        self.spam = self.deleted = False
        self._has_ids = chance.random() < 0.5
        self._attributes: dict[str, Any] = {"createdAt": written(self._now)} | self._status("open")
        self._level: dict[str, Any] = {}
        self.happened = Counter([(CREATED, written(self._now))])
        self.webhooks: list[dict[str, Any]] = []
        self._send({})
        for _ in range(chance.randint(2, 12)):
            self._now += timedelta(seconds=chance.randint(60, 90_000), milliseconds=chance.randint(0, 999))
            self._turns[chance.randrange(len(self._turns))]()

    @property
    def _turns(self) -> list[Callable[[], None]]:
        often = [self._close, self._reopen, self._survey, self._answer, self._comment, self._give, self._mark]
        return [*often, *often, self._delete, lambda: self._send({})]

    def _status(self, status: str) -> dict[str, Any]:
        return {"status": status, "modificationHistory": {"statusAt": written(self._now)}}

    def _send(self, changes: dict[str, Any]) -> None:
        self._rev += self._chance.choice((1, 1, 2, 5))
        flags = {"spam": self.spam, "deleted": self.deleted, "updatedAt": written(self._now)}
        attributes = self._attributes | flags | {"satisfactionLevel": self._level}
        document = conversation(rev=self._rev, conversation_id=self.id, customer=self.owner, **attributes)
        at = written(self._now + timedelta(milliseconds=300))
        self.webhooks.append(event(document, id=uuid.uuid4().hex, createdAt=at, changes={"attributes": changes}))

    def _close(self) -> None:
        if self._attributes["status"] == "done":
            return
        before, at = self._attributes["status"], {"createdAt": written(self._now)}
        self.happened[DONE, written(self._now)] += 1
        self._attributes |= self._status("done")
        if self._chance.random() < 0.3:  # Kustomer may fill lastDone later than the status.
            self._send({"status": {"before": before, "after": "done"}})
        self._attributes = self._attributes | {"lastDone": at, "firstDone": self._attributes.get("firstDone", at)}
        self._send({"status": {"before": before, "after": "done"}})

    def _reopen(self) -> None:
        if self._attributes["status"] == "done":
            self._attributes = self._attributes | self._status(self._chance.choice(("open", "snoozed")))
            self._send({"status": {"before": "done", "after": self._attributes["status"]}})

    def _survey(self) -> None:
        named = {"formResponse": uuid.uuid4().hex} if self._has_ids else {}
        self._rate({"status": "offered", "createdAt": written(self._now), "updatedAt": written(self._now)} | named)

    def _answer(self) -> None:
        if self._level.get("status") == "offered":
            self.happened[CSAT, written(self._now)] += 1
            answer = {"status": "rated", "rating": self._chance.randint(1, 5), "updatedAt": written(self._now)}
            self._rate(self._level | answer)

    def _comment(self) -> None:
        if self._level.get("status") == "rated":
            rewritten = {"createdAt": written(self._now)} if self._chance.random() < 0.5 else {}
            self._rate(self._level | {"status": "commented", "updatedAt": written(self._now)} | rewritten)

    def _rate(self, level: dict[str, Any]) -> None:
        before, self._level = self._level, level
        self._send({"satisfactionLevel": {"before": before, "after": level}})

    def _give(self) -> None:
        self.owner = self._chance.choice(self.people)
        self._send({})

    def _mark(self) -> None:
        self.spam = not self.spam
        self._send({"spam": {"before": not self.spam, "after": self.spam}})

    def _delete(self) -> None:
        self.deleted = not self.deleted
        self._send({})


async def bring(line: Line, chance: random.Random, lives: list[Lived], *, shuffled: bool, sent_meanwhile: bool) -> None:
    """Bring the webhooks of all, some twice, in waves that arrive at once; what was received is processed between."""
    queues = []
    for lived in lives:
        queue = lived.webhooks + chance.choices(lived.webhooks, k=2)
        if shuffled:
            chance.shuffle(queue)
        queues.append(queue if shuffled else list(lived.webhooks))
    while any(queues):
        wave = [queue.pop(0) for queue in queues for _ in range(min(len(queue), chance.randint(0, 4)))]
        bodies = [json.dumps(one).encode() for one in wave]
        intake = line.service.intake
        answers = await asyncio.gather(*(intake.receive(NAME, sign("token", body), body) for body in bodies))
        assert {answer.status for answer in answers} <= {200}
        if sent_meanwhile or chance.random() < 0.5:
            await line.receive()
        if sent_meanwhile and chance.random() < 0.4:
            await line.write(turns=3)
            await line.deliver(turns=3)
    await line.receive()
    while await line.sql("SELECT FROM deliveries WHERE state = 'waiting'"):
        await line.write()
        await line.deliver()


def timed(happened: Counter[tuple[str, str]], *, shuffled: bool) -> Counter[tuple[str, str]]:
    """Leave out when a survey was answered where its comment may be met first, which has the time of the comment."""
    return Counter((kind, "" if shuffled and kind == CSAT else at) for kind, at in happened.elements())


@pytest.mark.parametrize("sent_meanwhile", [False, True])
@pytest.mark.parametrize("shuffled", [False, True])
async def test_each_happening_is_told_once_of_whom_it_is_now(
    line: Line, *, shuffled: bool, sent_meanwhile: bool
) -> None:
    chance = random.Random(SEED)
    await line.connect()
    lives = [Lived(chance, number) for number in range(CONVERSATIONS)]
    people = [one for lived in lives for one in lived.people]
    await line.receive(*(customer(customer_id=one, emails=[email(f"{one}@lantern.example")]) for one in people))
    running = asyncio.create_task(line.service.intake.run())
    await bring(line, chance, lives, shuffled=shuffled, sent_meanwhile=sent_meanwhile)
    running.cancel()
    rows = await line.told()
    arrived = await line.arrived()
    assert len(arrived) == sum(row["state"] == "delivered" for row in rows if row["kind"] != "profile")
    for lived in lives:
        mine = [row for row in rows if row["conversation_id"] == lived.id]
        told = Counter((row["kind"], written(row["occurred_at"])) for row in mine)
        assert (lived.id, timed(told, shuffled=shuffled)) == (lived.id, timed(lived.happened, shuffled=shuffled))
        if not sent_meanwhile:
            is_sent = not (lived.spam or lived.deleted)
            assert {(lived.id, row["state"]) for row in mine} == {(lived.id, "delivered" if is_sent else "skipped")}
            assert {row["subject"] for row in mine} == {lived.owner}
