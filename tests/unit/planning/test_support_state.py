"""The support state of a customer."""

from datetime import UTC, datetime, timedelta

from kustomer_klaviyo.facts import Conversation, ConversationObserved, CsatSubmitted
from kustomer_klaviyo.planning.support_state import SupportState, combine, support_fields

AT = datetime(2026, 3, 20, 19, tzinfo=UTC)
HOUR = timedelta(hours=1)


def observed(
    conversation_id: str, *, is_open: bool, since: datetime, created_at: datetime = AT, spam: bool = False
) -> ConversationObserved:
    return ConversationObserved(Conversation(conversation_id, "k1", spam=spam), is_open, since, created_at)


def csat(at: datetime, rating: float | None, *, score: int | None = None) -> CsatSubmitted:
    return CsatSubmitted(Conversation("c1", "k1"), at, f"r{at}", rating, score)


def test_the_latest_times_and_the_average_rating_are_sent() -> None:
    support = SupportState(AT, AT + 2 * HOUR, csat(AT + 5 * HOUR, 2.0), rating_count=2, rating_sum=7.0)
    assert support_fields(support, 1) == {
        "properties.Kustomer Open Conversations": 1,
        "properties.Kustomer Last Conversation Created": "2026-03-20 19:00:00",
        "properties.Kustomer Last Conversation Done": "2026-03-20 21:00:00",
        "properties.Kustomer Last CSAT Rating": 2,
        "properties.Kustomer Last CSAT Score": 0,
        "properties.Kustomer Last CSAT Time": "2026-03-21 00:00:00",
        "properties.Kustomer Average CSAT": 3.5,
    }


def test_a_score_without_a_rating_is_sent_without_an_average() -> None:
    fields = support_fields(SupportState(last_csat=csat(AT, None, score=1)), 0)
    assert fields["properties.Kustomer Last CSAT Score"] == 1
    assert "properties.Kustomer Average CSAT" not in fields
    assert "properties.Kustomer Last CSAT Rating" not in fields


def test_merged_customers_have_a_combined_support_state() -> None:
    first = SupportState(AT, AT + HOUR, csat(AT + HOUR, 1.0), rating_count=1, rating_sum=1.0)
    other = SupportState(AT + 3 * HOUR, None, csat(AT, 5.0), rating_count=2, rating_sum=9.0)
    both = combine([first, other])
    assert both == combine([other, first])
    assert both == SupportState(AT + 3 * HOUR, AT + HOUR, first.last_csat, rating_count=3, rating_sum=10.0)
    assert combine([]) == SupportState()
