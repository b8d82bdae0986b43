"""A customer's support state as profile properties, for segments that decide who gets a campaign. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kustomer_klaviyo.facts import ConversationObserved, CsatSubmitted, OpenCount
from kustomer_klaviyo.klaviyo.event_request import rating_and_score
from kustomer_klaviyo.klaviyo.profile_request import PROPERTY, Fields, date_property

OPEN_CONVERSATIONS = f"{PROPERTY}Kustomer Open Conversations"
LAST_CREATED = f"{PROPERTY}Kustomer Last Conversation Created"
LAST_DONE = f"{PROPERTY}Kustomer Last Conversation Done"
LAST_RATING = f"{PROPERTY}Kustomer Last CSAT Rating"
LAST_SCORE = f"{PROPERTY}Kustomer Last CSAT Score"
LAST_ANSWERED = f"{PROPERTY}Kustomer Last CSAT Time"
AVERAGE_RATING = f"{PROPERTY}Kustomer Average CSAT"


SUPPORT_PROPERTIES = (
    OPEN_CONVERSATIONS, LAST_CREATED, LAST_DONE, LAST_RATING, LAST_SCORE, LAST_ANSWERED, AVERAGE_RATING,
)  # fmt: skip
"""All properties of the support state."""


@dataclass(frozen=True, slots=True)
class SupportState:
    """A summary of one customer's recorded facts."""

    created_at: datetime | None = None
    done_at: datetime | None = None
    last_csat: CsatSubmitted | None = None
    rating_count: int = 0
    rating_sum: float = 0.0


def combine(states: Sequence[SupportState]) -> SupportState:
    """Return the support state of several merged customers."""
    answers = [state.last_csat for state in states if state.last_csat is not None]
    return SupportState(
        max((state.created_at for state in states if state.created_at), default=None),
        max((state.done_at for state in states if state.done_at), default=None),
        max(answers, key=lambda answer: answer.occurred_at, default=None),
        sum(state.rating_count for state in states),
        sum(state.rating_sum for state in states),
    )


def count_open(open_count: OpenCount | None, opened_since: int, changed_since: Sequence[ConversationObserved]) -> int:
    """Return the number of open conversations: Kustomer's own count, corrected by later changes.

    ``opened_since`` is the number of open conversations created after the count, or of all open ones if Kustomer has
    no count; ``changed_since`` holds the older conversations whose status changed after the count.

    Kustomer's count includes conversations that were never received, and excludes deleted ones. But its webhook may be
    late or lost, and a repeated number is not stored. It includes spam, so the correction does too.
    """
    if open_count is None:
        return opened_since
    change = sum(conversation.is_open - conversation.was_open(open_count.counted_at) for conversation in changed_since)
    return max(0, open_count.count + opened_since + change)


def support_fields(state: SupportState, open_conversations: int) -> Fields:
    """Return the profile properties, with dates in Klaviyo's format."""
    fields: Fields = {OPEN_CONVERSATIONS: open_conversations}
    for name, at in ((LAST_CREATED, state.created_at), (LAST_DONE, state.done_at)):
        if at is not None:
            fields[name] = date_property(at)
    if state.last_csat is not None:
        rating, score = rating_and_score(state.last_csat)
        fields[LAST_ANSWERED] = date_property(state.last_csat.occurred_at)
        fields |= {name: value for name, value in ((LAST_RATING, rating), (LAST_SCORE, score)) if value is not None}
    if state.rating_count:
        fields[AVERAGE_RATING] = round(state.rating_sum / state.rating_count, 2)
    return fields
