"""Answers to surveys that no response id names: each told once, however they are rewritten, and none lost."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from documents import CUSTOMER, conversation, event
from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.connections.rules import Rules
from kustomer_klaviyo.facts import SatisfactionAnswered
from kustomer_klaviyo.klaviyo.event_request import ExpressOptions
from kustomer_klaviyo.kustomer.interpret import interpret
from kustomer_klaviyo.kustomer.wire import decode_webhook
from kustomer_klaviyo.planning.event_planner import Telling
from kustomer_klaviyo.store.conversations import Newest
from kustomer_klaviyo.store.customers import Identifiers
from kustomer_klaviyo.store.recorded_facts import Told

NOW = datetime(2026, 3, 21, 20, 30, tzinfo=UTC)
RULES = Rules(ConnectionOptions(), ExpressOptions(org="acme"), datetime(2026, 1, 1, tzinfo=UTC))


@dataclass
class Survey:
    """A conversation whose survey anybody may write, and the webhooks that tell of it."""

    level: dict[str, Any] = field(default_factory=dict)
    rev: int = 1
    now: datetime = NOW
    sent: list[dict[str, Any]] = field(default_factory=list)

    def write(self, *, changes: bool = True, **level: Any) -> None:
        """Write upon the survey; None takes a part away."""
        before = self.level
        self.now += timedelta(seconds=1)
        self.level = {name: value for name, value in (before | level).items() if value is not None}
        self._send({"satisfactionLevel": {"op": "replace", "before": before, "after": self.level}} if changes else {})

    def pass_by(self) -> None:
        """Let something else change."""
        self.now += timedelta(seconds=1)
        self._send({"noteCount": {"op": "replace", "before": 0, "after": 1}})

    def _send(self, changed: dict[str, Any]) -> None:
        self.rev += 1
        document = conversation(rev=self.rev, satisfactionLevel=self.level)
        self.sent.append(event(document, createdAt=self.now.isoformat(), changes={"attributes": changed}))


class Kept:
    """What is kept between batches, as the tables keep it."""

    def __init__(self) -> None:
        self.told: dict[str, Told] = {}
        self.newest: Newest | None = None

    def receive(self, body: dict[str, Any]) -> None:
        """Read one webhook."""
        statement = interpret(decode_webhook(msgspec.json.encode(body)), received_at=NOW + timedelta(days=30))
        seen = statement.seen
        assert seen is not None
        if self.newest is None or self.newest.conversation.rev <= statement.rev:
            former = 0 if self.newest is None else self.newest.unanswered_rev
            unanswered = statement.rev if seen.is_unanswered else 0
            self.newest = Newest(CUSTOMER, seen.conversation, max(former, unanswered))
        one = seen.conversation.id
        people = {CUSTOMER: Identifiers("ada@lanternpost.example", None)}
        telling = Telling(RULES, {one: list(self.told.values())}, people, {one: self.newest})
        for fact in statement.facts:
            if isinstance(fact, SatisfactionAnswered):
                telling.tell(fact, "e1")
        for new in telling.new.values():
            self.told[new.key] = Told(
                new.key, new.kind, new.occurred_at, new.held, new.rev, new.state, new.subject, new.fact
            )


def told(bodies: Sequence[dict[str, Any]]) -> list[float | None]:
    """Return the ratings told of, in order."""
    kept = Kept()
    for body in bodies:
        kept.receive(body)
    return [one.fact["rating"] for one in kept.told.values() if one.fact is not None]


def at(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat()


def test_an_answer_whose_time_of_making_is_rewritten_is_told_once() -> None:
    survey = Survey()
    survey.write(status="rated", rating=5, createdAt=at(0), updatedAt=at(1))
    survey.write(createdAt=at(7), updatedAt=at(7))
    survey.write(createdAt=at(9000), updatedAt=at(9000), changes=False)
    assert told(survey.sent) == [5]


@pytest.mark.parametrize("changes", [True, False])
@pytest.mark.parametrize("rating", [2, 5])
def test_a_second_survey_without_id_and_time_is_told(rating: int, *, changes: bool) -> None:
    survey = Survey()
    survey.write(status="rated", rating=5, changes=changes)
    survey.write(status="offered", rating=None, changes=changes)
    survey.write(status="rated", rating=rating, changes=changes)
    survey.pass_by()
    assert told(survey.sent) == [5, rating]


def test_a_second_survey_told_of_only_by_its_answer_is_told_when_the_verdict_is_another() -> None:
    survey = Survey()
    survey.write(status="rated", rating=5, updatedAt=at(0), changes=False)
    survey.write(status="rated", rating=2, updatedAt=at(90_000), changes=False)
    assert told(survey.sent) == [5, 2]
    other = Survey()
    other.write(status="rated", rating=5, createdAt=at(0), changes=False)
    other.write(status="rated", rating=2, createdAt=at(60), changes=False)
    assert told(other.sent) == [5, 2]


def test_a_rating_touched_up_soon_and_a_comment_are_the_same_answer() -> None:
    survey = Survey()
    survey.write(status="rated", rating=5, updatedAt=at(0))
    survey.write(rating=4, updatedAt=at(60))
    survey.write(status="commented", updatedAt=at(7200))
    assert told(survey.sent) == [5]


def test_a_response_id_that_is_written_later_or_lost_makes_no_other_answer() -> None:
    survey = Survey()
    survey.write(status="rated", rating=5)
    survey.write(formResponse="64389a2f1e9db98fe468a88d")
    survey.write(formResponse=None)
    assert told(survey.sent) == [5]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("survey"), st.integers(1, 5), st.booleans()),
        st.tuples(st.just("touch"), st.sampled_from(["createdAt", "updatedAt", "comment", "pass"]), st.booleans()),
    ),
    max_size=12,
)


def played(steps: Sequence[tuple[Any, ...]], *, times: bool) -> tuple[Survey, list[int]]:
    """Play surveys, each answered once, and whatever touches an answer up in between; returns the answers."""
    survey, answers = Survey(), list[int]()
    for kind, what, is_seen in steps:
        moment: dict[str, Any] = {"updatedAt": survey.now.isoformat()} if times else {}
        if kind == "survey":
            survey.write(status="offered", rating=None, createdAt=survey.now.isoformat() if times else None)
            survey.write(status="rated", rating=what, **moment)
            answers.append(what)
        elif what == "pass":
            survey.pass_by()
        elif answers and what == "comment":
            survey.write(status="commented", changes=is_seen, **moment)
        elif answers and times:
            rewritten: dict[str, Any] = {what: (survey.now + timedelta(days=1)).isoformat()}
            survey.write(changes=is_seen, **rewritten)
    return survey, answers


@given(steps=STEPS, times=st.booleans(), repeat=st.integers(1, 2))
def test_however_answers_are_rewritten_each_survey_is_told_once(*, steps: Any, times: bool, repeat: int) -> None:
    survey, answers = played(steps, times=times)
    assert told([body for body in survey.sent for _ in range(repeat)]) == answers


@given(steps=STEPS, times=st.booleans(), order=st.randoms(use_true_random=False))
def test_in_whatever_order_webhooks_arrive_no_survey_is_told_twice(*, steps: Any, times: bool, order: Any) -> None:
    survey, answers = played(steps, times=times)
    bodies = survey.sent * 2
    order.shuffle(bodies)
    assert len(told(bodies)) <= len(answers)
