"""How a person's support stands."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.facts import (
    Conversation,
    ConversationClosed,
    ConversationOpened,
    ConversationSeen,
    SatisfactionAnswered,
)
from kustomer_klaviyo.flow.support import Support, fields_of, together

AT = datetime(2026, 3, 20, 19, tzinfo=UTC)
HOUR = timedelta(hours=1)


def seen(one: str, *, is_open: bool, since: datetime, opened_at: datetime = AT, spam: bool = False) -> ConversationSeen:
    return ConversationSeen(Conversation(one, "k1", spam=spam), is_open, since, opened_at)


def answered(at: datetime, rating: float | None, *, score: int | None = None) -> SatisfactionAnswered:
    return SatisfactionAnswered(Conversation("c1", "k1"), at, f"r{at}", rating, score)


def test_the_latest_of_everything_is_told_and_the_average_of_the_ratings() -> None:
    support = Support()
    facts: list[ConversationOpened | ConversationClosed | SatisfactionAnswered] = [
        ConversationOpened(Conversation("c1", "k1"), AT),
        ConversationClosed(Conversation("c1", "k1"), AT + 2 * HOUR),
        ConversationClosed(Conversation("c2", "k1"), AT + HOUR),
        answered(AT + 5 * HOUR, 2.0),
        answered(AT + 4 * HOUR, 5.0),
    ]
    for fact in facts:
        support = support.after(fact)
    assert fields_of(support, 1) == {
        "properties.Kustomer Open Conversations": 1,
        "properties.Kustomer Last Conversation Created": "2026-03-20 19:00:00",
        "properties.Kustomer Last Conversation Done": "2026-03-20 21:00:00",
        "properties.Kustomer Last CSAT Rating": 2,
        "properties.Kustomer Last CSAT Score": 0,
        "properties.Kustomer Last CSAT Time": "2026-03-21 00:00:00",
        "properties.Kustomer Average CSAT": 3.5,
    }


def test_a_score_without_a_rating_is_told_and_counts_in_no_average() -> None:
    fields = fields_of(Support().after(answered(AT, None, score=1)), 0)
    assert fields["properties.Kustomer Last CSAT Score"] == 1
    assert "properties.Kustomer Average CSAT" not in fields
    assert "properties.Kustomer Last CSAT Rating" not in fields


@given(st.permutations([answered(AT + n * HOUR, float(n % 5 + 1)) for n in range(6)]), st.integers(0, 6))
def test_parts_put_together_tell_the_same_as_all_told_in_any_order(
    answers: list[SatisfactionAnswered], middle: int
) -> None:
    parts = [Support(), Support()]
    for number, answer in enumerate(answers):
        parts[number < middle] = parts[number < middle].after(answer)
    whole = Support()
    for answer in sorted(answers, key=lambda one: one.at):
        whole = whole.after(answer)
    assert fields_of(together(parts), 0) == fields_of(whole, 0)
