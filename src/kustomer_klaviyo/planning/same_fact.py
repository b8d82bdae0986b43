"""Decides whether a fact and a recorded one are the same when their keys differ. Pure.

When a conversation was done may be known approximately first and exactly later. A survey answer without a response id
is identified by the surveys around it: between two surveys of a conversation there is always an unanswered one.
"""

from datetime import timedelta

import msgspec

from kustomer_klaviyo.facts import ConversationDone, CsatSubmitted, Fact, is_approximate_key
from kustomer_klaviyo.kustomer.interpret import SAME_DONE_WINDOW
from kustomer_klaviyo.store.recorded_facts import RecordedFact

RATING_CHANGE_WINDOW = timedelta(hours=1)
"""A customer may change a rating within this time; a later one, without other evidence, is another answer."""


def is_same_fact(fact: Fact, recorded: RecordedFact, *, unanswered_rev: int) -> bool:
    """Return whether a fact is the recorded one.

    ``unanswered_rev`` is the latest revision of the conversation that shows an unanswered survey.
    """
    if fact.fact_key == recorded.fact_key:
        return True
    match fact:
        case ConversationDone():
            return _is_same_done(fact, recorded)
        case CsatSubmitted() if recorded.fact is not None:
            return _is_same_answer(fact, msgspec.convert(recorded.fact, CsatSubmitted), unanswered_rev)
        case _:
            return False


def _is_same_done(fact: ConversationDone, recorded: RecordedFact) -> bool:
    if is_approximate_key(recorded.fact_key) == fact.approximate:
        return False
    return abs(recorded.occurred_at - fact.occurred_at) <= SAME_DONE_WINDOW


def _is_same_answer(fact: CsatSubmitted, recorded: CsatSubmitted, unanswered_rev: int) -> bool:
    if fact.response_id and recorded.response_id:
        return False
    rev, recorded_rev = fact.conversation.rev, recorded.conversation.rev
    if fact.is_newly_answered and recorded.is_newly_answered:
        return rev == recorded_rev if rev or recorded_rev else fact.occurred_at == recorded.occurred_at
    if fact.is_newly_answered:
        return rev <= recorded_rev and not rev < unanswered_rev <= recorded_rev
    if recorded.is_newly_answered and rev < recorded_rev:
        return False
    if min(rev, recorded_rev) < unanswered_rev <= max(rev, recorded_rev):
        return False
    return _has_same_rating(fact, recorded)


def _has_same_rating(fact: CsatSubmitted, recorded: CsatSubmitted) -> bool:
    """Compare ratings and times: times may be rewritten, and ratings changed."""
    if (fact.rating, fact.score) == (recorded.rating, recorded.score):
        return True
    if fact.survey_created_at is not None and recorded.survey_created_at is not None:
        return fact.survey_created_at == recorded.survey_created_at
    return abs(fact.occurred_at - recorded.occurred_at) <= RATING_CHANGE_WINDOW
