"""How a person's support stands."""

from datetime import UTC, datetime, timedelta

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from kustomer_klaviyo.facts import (
    Conversation,
    ConversationClosed,
    ConversationOpened,
    ConversationSeen,
    Counted,
    SatisfactionAnswered,
    milliseconds,
)
from kustomer_klaviyo.flow.support import Support, fields_of, open_conversations, together

AT = datetime(2026, 3, 20, 19, tzinfo=UTC)
HOUR = timedelta(hours=1)


def seen(one: str, *, is_open: bool, since: datetime, opened_at: datetime = AT, spam: bool = False) -> ConversationSeen:
    return ConversationSeen(Conversation(one, "k1", spam=spam), is_open, since, opened_at)


def answered(at: datetime, rating: float | None, *, score: int | None = None) -> SatisfactionAnswered:
    return SatisfactionAnswered(Conversation("c1", "k1"), at, f"r{at}", rating, score)


def test_without_a_count_by_kustomer_what_was_seen_open_is_open() -> None:
    known = [
        seen("a", is_open=True, since=AT),
        seen("b", is_open=False, since=AT),
        seen("c", is_open=True, since=AT, spam=True),
    ]
    assert open_conversations(None, known) == 1


def test_kustomers_count_knows_of_conversations_never_seen_here() -> None:
    assert open_conversations(Counted(3, AT), []) == 3


def test_what_turned_since_the_count_corrects_it() -> None:
    later = AT + HOUR
    assert open_conversations(Counted(1, AT), [seen("a", is_open=True, since=later, opened_at=later)]) == 2
    assert open_conversations(Counted(1, AT), [seen("a", is_open=False, since=later)]) == 0
    assert open_conversations(Counted(1, AT), [seen("a", is_open=False, since=later, opened_at=later)]) == 1


def test_what_was_done_when_kustomer_counted_and_was_opened_in_between_is_not_done_twice() -> None:
    turns = {AT: True, AT + HOUR: False, AT + 3 * HOUR: True, AT + 4 * HOUR: False}
    turned = {str(milliseconds(at)): is_open for at, is_open in turns.items()}
    again = msgspec.structs.replace(seen("a", is_open=False, since=AT + 4 * HOUR), turns=turned)
    assert open_conversations(Counted(1, AT + 2 * HOUR), [again]) == 1
    assert open_conversations(Counted(1, AT), [again]) == 0


def test_spam_is_in_kustomers_count_and_so_in_its_correction() -> None:
    assert (
        open_conversations(Counted(1, AT), [seen("a", is_open=True, since=AT + HOUR, opened_at=AT + HOUR, spam=True)])
        == 2
    )


def test_a_newer_count_closes_what_was_deleted_unseen() -> None:
    assert open_conversations(Counted(0, AT + HOUR), [seen("a", is_open=True, since=AT)]) == 0


moments = st.integers(0, 6).map(lambda hours: AT + hours * HOUR)


@given(
    st.none() | st.builds(Counted, st.integers(0, 5), moments),
    st.lists(st.builds(lambda is_open, since: seen("x", is_open=is_open, since=since), st.booleans(), moments)),
)
def test_the_count_is_never_negative(counted: Counted | None, known: list[ConversationSeen]) -> None:
    assert open_conversations(counted, known) >= 0


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
