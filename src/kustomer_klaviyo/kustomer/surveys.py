"""What a conversation's satisfaction survey says, and its mirror on the customer. Pure.

States and answers: help.kustomer.com/en_us/view-satisfaction-surveys-S1_kAtucU
"""

from datetime import datetime
from typing import Any

from kustomer_klaviyo.facts import Conversation, ConversationHinted, SatisfactionAnswered, milliseconds
from kustomer_klaviyo.kustomer.times import Times
from kustomer_klaviyo.kustomer.wire import Envelope, as_id, as_number, as_object, changed

ANSWERED = ("rated", "commented")
"""Survey states that hold an answer."""

UNANSWERED = ("scheduled", "offered", "unresponded", "canceled")


def answer_of(level: Any, conversation: Conversation, event: Envelope, times: Times) -> SatisfactionAnswered | None:
    """State the answer that a survey holds; None when it holds none."""
    survey = as_object(level)
    if survey.get("status") not in (*ANSWERED, None):
        return None
    rating, score = as_number(survey.get("rating")), as_number(survey.get("score"))
    if rating is None and score is None:
        return None
    return SatisfactionAnswered(
        conversation,
        at=times.read(_first_answer(survey, event).get("updatedAt"), "satisfactionLevel.updatedAt") or times.seen_at,
        response=as_id(survey.get("formResponse")),
        rating=rating,
        score=None if score is None else int(score > 0),
        made_at=_made_at(survey, times),
        is_turning=_is_turning(event),
    )


def is_unanswered(level: Any) -> bool:
    """Say whether a survey that no response id names waits for its answer, or did in vain."""
    survey = as_object(level)
    return survey.get("status") in UNANSWERED and as_id(survey.get("formResponse")) is None


def hint_of(level: Any, times: Times) -> ConversationHinted | None:
    """Tell of an answered survey mirrored on the customer: a second signal should the conversation's own be lost."""
    survey = as_object(level)
    conversation_id = as_id(survey.get("conversation"))
    if conversation_id is None or survey.get("status") not in ANSWERED:
        return None
    at = times.read(survey.get("updatedAt"), "satisfactionLevel.updatedAt") or times.seen_at
    response = as_id(survey.get("formResponse")) or f"~{milliseconds(at)}"
    return ConversationHinted(conversation_id, key=f"satisfaction:{conversation_id}:{response}", at=at)


def _first_answer(survey: dict[str, Any], event: Envelope) -> dict[str, Any]:
    """Return the survey as it was when it was answered: a comment's webhook may come first, and tells of before."""
    if survey.get("status") != "commented":
        return survey
    before = as_object(changed(event.changes, "satisfactionLevel").get("before"))
    was_answered = before.get("status") in ANSWERED and before.get("formResponse") == survey.get("formResponse")
    return before if was_answered else survey


def _is_turning(event: Envelope) -> bool:
    """Say whether the webhook shows a survey being answered that was not before."""
    change = changed(event.changes, "satisfactionLevel")
    return bool(change) and not _holds_answer(as_object(change.get("before")))


def _holds_answer(survey: dict[str, Any]) -> bool:
    has_value = as_number(survey.get("rating")) is not None or as_number(survey.get("score")) is not None
    return survey.get("status") in (*ANSWERED, None) and has_value


def _made_at(survey: dict[str, Any], times: Times) -> datetime | None:
    return times.read(survey.get("createdAt"), "satisfactionLevel.createdAt") or times.read(
        survey.get("sentAt"), "satisfactionLevel.sentAt"
    )
