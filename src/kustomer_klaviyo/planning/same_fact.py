"""Whether a fact and one that was told are the same, where no key alone can say so. Pure.

A closing may be known approximately first and exactly later. An answer to a survey that the vendor does not name is
known by when it came about: between two surveys of a conversation there is always one that is not answered (yet).
"""

from datetime import timedelta

import msgspec

from kustomer_klaviyo.facts import ConversationClosed, Fact, SatisfactionAnswered
from kustomer_klaviyo.kustomer.interpret import SAME_CLOSING
from kustomer_klaviyo.store.recorded_facts import Told

TOUCHED_UP = timedelta(hours=1)
"""So long after it a customer may think better of a rating: later, and without anything to tell by, it is another."""


def is_same(fact: Fact, told: Told, *, unanswered_rev: int) -> bool:
    """Say whether a fact was told before.

    ``unanswered_rev`` is the latest revision at which a survey of the conversation was seen unanswered.
    """
    if fact.key == told.key:
        return True
    match fact:
        case ConversationClosed():
            return _is_same_closing(fact, told)
        case SatisfactionAnswered() if told.fact is not None:
            before = msgspec.convert(told.fact, SatisfactionAnswered)
            return _is_same_answer(fact, before, unanswered_rev)
        case _:
            return False


def _is_same_closing(fact: ConversationClosed, told: Told) -> bool:
    told_approximately = ":~" in told.key
    if told_approximately == fact.approximate:
        return False
    return abs(told.occurred_at - fact.at) <= SAME_CLOSING


def _is_same_answer(fact: SatisfactionAnswered, told: SatisfactionAnswered, unanswered_rev: int) -> bool:
    if fact.response and told.response:
        return False
    rev, told_rev = fact.conversation.rev, told.conversation.rev
    if fact.is_turning and told.is_turning:
        return rev == told_rev if rev or told_rev else fact.at == told.at
    if fact.is_turning:
        return rev <= told_rev and not rev < unanswered_rev <= told_rev
    if told.is_turning and rev < told_rev:
        return False
    if min(rev, told_rev) < unanswered_rev <= max(rev, told_rev):
        return False
    return _is_same_verdict(fact, told)


def _is_same_verdict(fact: SatisfactionAnswered, told: SatisfactionAnswered) -> bool:
    """Compare what was answered: times may be rewritten, and ratings touched up."""
    if (fact.rating, fact.score) == (told.rating, told.score):
        return True
    if fact.made_at is not None and told.made_at is not None:
        return fact.made_at == told.made_at
    return abs(fact.at - told.at) <= TOUCHED_UP
