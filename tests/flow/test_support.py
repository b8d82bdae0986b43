"""How a person's support stands."""

from datetime import UTC, datetime, timedelta

from kustomer_klaviyo.facts import Conversation, ConversationSeen, SatisfactionAnswered
from kustomer_klaviyo.planning.support_state import Support, fields_of, together

AT = datetime(2026, 3, 20, 19, tzinfo=UTC)
HOUR = timedelta(hours=1)


def seen(one: str, *, is_open: bool, since: datetime, opened_at: datetime = AT, spam: bool = False) -> ConversationSeen:
    return ConversationSeen(Conversation(one, "k1", spam=spam), is_open, since, opened_at)


def answered(at: datetime, rating: float | None, *, score: int | None = None) -> SatisfactionAnswered:
    return SatisfactionAnswered(Conversation("c1", "k1"), at, f"r{at}", rating, score)


def test_the_latest_of_everything_is_told_and_the_average_of_the_ratings() -> None:
    support = Support(AT, AT + 2 * HOUR, answered(AT + 5 * HOUR, 2.0), ratings=2, ratings_sum=7.0)
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
    fields = fields_of(Support(answer=answered(AT, None, score=1)), 0)
    assert fields["properties.Kustomer Last CSAT Score"] == 1
    assert "properties.Kustomer Average CSAT" not in fields
    assert "properties.Kustomer Last CSAT Rating" not in fields


def test_of_several_customers_who_are_one_the_latest_of_each_is_told() -> None:
    one = Support(AT, AT + HOUR, answered(AT + HOUR, 1.0), ratings=1, ratings_sum=1.0)
    other = Support(AT + 3 * HOUR, None, answered(AT, 5.0), ratings=2, ratings_sum=9.0)
    both = together([one, other])
    assert both == together([other, one])
    assert both == Support(AT + 3 * HOUR, AT + HOUR, one.answer, ratings=3, ratings_sum=10.0)
    assert together([]) == Support()
