"""How a person's support stands, as properties of their profile: what a segment asks before mail is sent. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from kustomer_klaviyo.facts import ConversationSeen, Counted, SatisfactionAnswered
from kustomer_klaviyo.klaviyo.event_request import verdict
from kustomer_klaviyo.klaviyo.profile_request import PROPERTY, Fields, date

OPEN_CONVERSATIONS = f"{PROPERTY}Kustomer Open Conversations"
LAST_CREATED = f"{PROPERTY}Kustomer Last Conversation Created"
LAST_DONE = f"{PROPERTY}Kustomer Last Conversation Done"
LAST_RATING = f"{PROPERTY}Kustomer Last CSAT Rating"
LAST_SCORE = f"{PROPERTY}Kustomer Last CSAT Score"
LAST_ANSWERED = f"{PROPERTY}Kustomer Last CSAT Time"
AVERAGE_RATING = f"{PROPERTY}Kustomer Average CSAT"


STATE = (
    OPEN_CONVERSATIONS, LAST_CREATED, LAST_DONE, LAST_RATING, LAST_SCORE, LAST_ANSWERED, AVERAGE_RATING,
)  # fmt: skip
"""All properties of the support state."""


@dataclass(frozen=True, slots=True)
class Support:
    """What was told of one customer so far."""

    created_at: datetime | None = None
    done_at: datetime | None = None
    answer: SatisfactionAnswered | None = None
    """The latest."""
    ratings: int = 0
    ratings_sum: float = 0.0


def together(parts: Sequence[Support]) -> Support:
    """Return how the support of several customers stands who are one person."""
    answers = [part.answer for part in parts if part.answer is not None]
    return Support(
        max((part.created_at for part in parts if part.created_at), default=None),
        max((part.done_at for part in parts if part.done_at), default=None),
        max(answers, key=lambda answer: answer.at, default=None),
        sum(part.ratings for part in parts),
        sum(part.ratings_sum for part in parts),
    )


def open_conversations(counted: Counted | None, begun: int, turned: Sequence[ConversationSeen]) -> int:
    """Count the conversations that are not done: as Kustomer counts them, corrected by what happened since it did.

    ``begun`` are those that are open and began since (all open ones, where Kustomer does not count); ``turned`` those
    that were there already and turned since.

    Kustomer's own count knows of conversations that we never saw, and no longer of deleted ones; but the webhook that
    brings it may be late or lost, and one that brings the same number again is not kept. It has spam in it, so that
    its correction must, too. Where Kustomer does not count, what we saw is all there is.
    """
    if counted is None:
        return begun
    return max(0, counted.open + begun + sum(one.is_open - one.was_open(counted.at) for one in turned))


def fields_of(support: Support, open_now: int) -> Fields:
    """Return the properties; dates as Klaviyo compares them."""
    fields: Fields = {OPEN_CONVERSATIONS: open_now}
    for name, at in ((LAST_CREATED, support.created_at), (LAST_DONE, support.done_at)):
        if at is not None:
            fields[name] = date(at)
    if support.answer is not None:
        rating, score = verdict(support.answer)
        fields[LAST_ANSWERED] = date(support.answer.at)
        fields |= {name: value for name, value in ((LAST_RATING, rating), (LAST_SCORE, score)) if value is not None}
    if support.ratings:
        fields[AVERAGE_RATING] = round(support.ratings_sum / support.ratings, 2)
    return fields
