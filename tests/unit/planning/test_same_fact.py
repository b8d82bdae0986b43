"""Survey answers without a response id: each is recorded once, however it is rewritten, and none is lost."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.connections.options import ConnectionOptions
from kustomer_klaviyo.connections.rules import ConnectionRules
from kustomer_klaviyo.facts import CsatSubmitted
from kustomer_klaviyo.klaviyo.event_request import EventSettings
from kustomer_klaviyo.kustomer.interpret import interpret
from kustomer_klaviyo.kustomer.wire import decode_webhook
from kustomer_klaviyo.planning.event_planner import EventPlanner
from kustomer_klaviyo.store.conversations import NewestObservation
from kustomer_klaviyo.store.customers import Identifiers
from kustomer_klaviyo.store.recorded_facts import RecordedFact
from support.kustomer_documents import CUSTOMER, conversation, event

NOW = datetime(2026, 3, 21, 20, 30, tzinfo=UTC)
RULES = ConnectionRules(ConnectionOptions(), EventSettings(org="acme"), datetime(2026, 1, 1, tzinfo=UTC))


@dataclass
class Survey:
    """A conversation with a survey that any tool may edit, and its webhooks."""

    level: dict[str, Any] = field(default_factory=dict)
    rev: int = 1
    now: datetime = NOW
    sent: list[dict[str, Any]] = field(default_factory=list)

    def write(self, *, changes: bool = True, **level: Any) -> None:
        """Edit the survey; None removes a value."""
        before = self.level
        self.now += timedelta(seconds=1)
        self.level = {name: value for name, value in (before | level).items() if value is not None}
        self._send({"satisfactionLevel": {"op": "replace", "before": before, "after": self.level}} if changes else {})

    def touch_conversation(self) -> None:
        """Change something else."""
        self.now += timedelta(seconds=1)
        self._send({"noteCount": {"op": "replace", "before": 0, "after": 1}})

    def _send(self, changed: dict[str, Any]) -> None:
        self.rev += 1
        document = conversation(rev=self.rev, satisfactionLevel=self.level)
        self.sent.append(event(document, createdAt=self.now.isoformat(), changes={"attributes": changed}))


class Recorded:
    """What the tables store between batches."""

    def __init__(self) -> None:
        self.facts: dict[str, RecordedFact] = {}
        self.newest: NewestObservation | None = None

    def receive(self, body: dict[str, Any]) -> None:
        """Process one webhook."""
        observation = interpret(decode_webhook(msgspec.json.encode(body)), received_at=NOW + timedelta(days=30))
        observed = observation.conversation
        assert observed is not None
        if self.newest is None or self.newest.conversation.rev <= observation.rev:
            former = 0 if self.newest is None else self.newest.unanswered_rev
            unanswered = observation.rev if observed.is_unanswered else 0
            self.newest = NewestObservation(CUSTOMER, observed.conversation, max(former, unanswered))
        conversation_id = observed.conversation.id
        customers = {CUSTOMER: Identifiers("ada@lanternpost.example", None)}
        planner = EventPlanner(
            RULES, {conversation_id: list(self.facts.values())}, customers, {conversation_id: self.newest}
        )
        for fact in observation.facts:
            if isinstance(fact, CsatSubmitted):
                planner.plan(fact, "e1")
        for delivery in planner.new_deliveries.values():
            self.facts[delivery.fact_key] = RecordedFact(
                delivery.fact_key,
                delivery.kind,
                delivery.occurred_at,
                delivery.releasable,
                delivery.rev,
                delivery.state,
                delivery.subject,
                delivery.fact,
            )


def recorded_ratings(bodies: Sequence[dict[str, Any]]) -> list[float | None]:
    """Return the recorded ratings, in order."""
    recorded = Recorded()
    for body in bodies:
        recorded.receive(body)
    return [fact.fact["rating"] for fact in recorded.facts.values() if fact.fact is not None]


def at(seconds: float) -> str:
    return (NOW + timedelta(seconds=seconds)).isoformat()


def test_an_answer_with_a_rewritten_creation_time_is_recorded_once() -> None:
    survey = Survey()
    survey.write(status="rated", rating=5, createdAt=at(0), updatedAt=at(1))
    survey.write(createdAt=at(7), updatedAt=at(7))
    survey.write(createdAt=at(9000), updatedAt=at(9000), changes=False)
    assert recorded_ratings(survey.sent) == [5]


@pytest.mark.parametrize("changes", [True, False])
@pytest.mark.parametrize("rating", [2, 5])
def test_a_second_survey_without_id_and_time_is_recorded(rating: int, *, changes: bool) -> None:
    survey = Survey()
    survey.write(status="rated", rating=5, changes=changes)
    survey.write(status="offered", rating=None, changes=changes)
    survey.write(status="rated", rating=rating, changes=changes)
    survey.touch_conversation()
    assert recorded_ratings(survey.sent) == [5, rating]


def test_a_second_answer_without_other_evidence_is_recorded_if_the_rating_differs() -> None:
    survey = Survey()
    survey.write(status="rated", rating=5, updatedAt=at(0), changes=False)
    survey.write(status="rated", rating=2, updatedAt=at(90_000), changes=False)
    assert recorded_ratings(survey.sent) == [5, 2]
    other = Survey()
    other.write(status="rated", rating=5, createdAt=at(0), changes=False)
    other.write(status="rated", rating=2, createdAt=at(60), changes=False)
    assert recorded_ratings(other.sent) == [5, 2]


def test_a_rating_changed_soon_and_a_comment_are_the_same_answer() -> None:
    survey = Survey()
    survey.write(status="rated", rating=5, updatedAt=at(0))
    survey.write(rating=4, updatedAt=at(60))
    survey.write(status="commented", updatedAt=at(7200))
    assert recorded_ratings(survey.sent) == [5]


def test_a_response_id_added_later_or_lost_is_the_same_answer() -> None:
    survey = Survey()
    survey.write(status="rated", rating=5)
    survey.write(formResponse="64389a2f1e9db98fe468a88d")
    survey.write(formResponse=None)
    assert recorded_ratings(survey.sent) == [5]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("survey"), st.integers(1, 5), st.booleans()),
        st.tuples(st.just("touch"), st.sampled_from(["createdAt", "updatedAt", "comment", "pass"]), st.booleans()),
    ),
    max_size=12,
)


def play(steps: Sequence[tuple[Any, ...]], *, times: bool) -> tuple[Survey, list[int]]:
    """Play surveys, each answered once, with edits in between; returns the answers."""
    survey, answers = Survey(), list[int]()
    for kind, value, is_in_changes in steps:
        moment: dict[str, Any] = {"updatedAt": survey.now.isoformat()} if times else {}
        if kind == "survey":
            survey.write(status="offered", rating=None, createdAt=survey.now.isoformat() if times else None)
            survey.write(status="rated", rating=value, **moment)
            answers.append(value)
        elif value == "pass":
            survey.touch_conversation()
        elif answers and value == "comment":
            survey.write(status="commented", changes=is_in_changes, **moment)
        elif answers and times:
            rewritten: dict[str, Any] = {value: (survey.now + timedelta(days=1)).isoformat()}
            survey.write(changes=is_in_changes, **rewritten)
    return survey, answers


@given(steps=STEPS, times=st.booleans(), repeat=st.integers(1, 2))
def test_each_survey_is_recorded_once_however_it_is_rewritten(*, steps: Any, times: bool, repeat: int) -> None:
    survey, answers = play(steps, times=times)
    assert recorded_ratings([body for body in survey.sent for _ in range(repeat)]) == answers


@given(steps=STEPS, times=st.booleans(), order=st.randoms(use_true_random=False))
def test_no_survey_is_recorded_twice_in_any_webhook_order(*, steps: Any, times: bool, order: Any) -> None:
    survey, answers = play(steps, times=times)
    bodies = survey.sent * 2
    order.shuffle(bodies)
    assert len(recorded_ratings(bodies)) <= len(answers)
