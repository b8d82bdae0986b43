"""Reads a conversation's satisfaction survey, and its copy on the customer. Pure.

Statuses and answers: help.kustomer.com/en_us/view-satisfaction-surveys-S1_kAtucU
"""

from datetime import datetime
from typing import Any

from kustomer_klaviyo.facts import Conversation, CsatSubmitted, RefetchHint, epoch_milliseconds
from kustomer_klaviyo.jsonapi import as_object
from kustomer_klaviyo.kustomer.times import TimeReader
from kustomer_klaviyo.kustomer.wire import Envelope, as_id, as_number, read_change

ANSWERED = ("rated", "commented")
"""Survey statuses with an answer."""

UNANSWERED = ("scheduled", "offered", "unresponded", "canceled")


def read_csat(level: Any, conversation: Conversation, event: Envelope, reader: TimeReader) -> CsatSubmitted | None:
    """Return the answer of a survey; None if it has none."""
    survey = as_object(level)
    if survey.get("status") not in (*ANSWERED, None):
        return None
    rating, score = as_number(survey.get("rating")), as_number(survey.get("score"))
    if rating is None and score is None:
        return None
    answered_at = reader.read(_first_answer(survey, event).get("updatedAt"), "satisfactionLevel.updatedAt")
    return CsatSubmitted(
        conversation,
        occurred_at=answered_at or reader.observed_at,
        response_id=as_id(survey.get("formResponse")),
        rating=rating,
        score=None if score is None else int(score > 0),
        survey_created_at=_survey_created_at(survey, reader),
        is_newly_answered=_is_newly_answered(event),
    )


def is_unanswered(level: Any) -> bool:
    """Return whether a survey without a response id has no answer."""
    survey = as_object(level)
    return survey.get("status") in UNANSWERED and as_id(survey.get("formResponse")) is None


def read_refetch_hint(level: Any, reader: TimeReader) -> RefetchHint | None:
    """Return a hint at an answered survey that is copied to the customer: the conversation's webhook may be lost."""
    survey = as_object(level)
    conversation_id = as_id(survey.get("conversation"))
    if conversation_id is None or survey.get("status") not in ANSWERED:
        return None
    answered_at = reader.read(survey.get("updatedAt"), "satisfactionLevel.updatedAt") or reader.observed_at
    response = as_id(survey.get("formResponse")) or f"~{epoch_milliseconds(answered_at)}"
    return RefetchHint(conversation_id, f"csat:{conversation_id}:{response}", answered_at)


def _first_answer(survey: dict[str, Any], event: Envelope) -> dict[str, Any]:
    """Return the survey as first answered: the webhook of a later comment may come first, with the earlier state."""
    if survey.get("status") != "commented":
        return survey
    before = as_object(read_change(event.changes, "satisfactionLevel").get("before"))
    was_answered = before.get("status") in ANSWERED and before.get("formResponse") == survey.get("formResponse")
    return before if was_answered else survey


def _is_newly_answered(event: Envelope) -> bool:
    """Return whether the webhook shows the survey changing from unanswered to answered."""
    change = read_change(event.changes, "satisfactionLevel")
    return bool(change) and not _has_answer(as_object(change.get("before")))


def _has_answer(survey: dict[str, Any]) -> bool:
    has_value = as_number(survey.get("rating")) is not None or as_number(survey.get("score")) is not None
    return survey.get("status") in (*ANSWERED, None) and has_value


def _survey_created_at(survey: dict[str, Any], reader: TimeReader) -> datetime | None:
    return reader.read(survey.get("createdAt"), "satisfactionLevel.createdAt") or reader.read(
        survey.get("sentAt"), "satisfactionLevel.sentAt"
    )
