"""The actions on a conversation that the control API offers."""

from collections.abc import Callable

from aiohttp import web

from kustomer_klaviyo.sandbox.kustomer.api.organisation_state import ORGANISATION, SUPPORT_TEAM, SURVEYS
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.responses import KustomerRefusal, bad_parameter, not_found

Action = Callable[[], object]


def run_action(app: web.Application, conversation: Document, action: str, body: Document) -> None:
    """Run one action on a conversation. Raises KustomerRefusal."""
    org, team, surveys = app[ORGANISATION], app[SUPPORT_TEAM], app[SURVEYS]
    actions: dict[str, Action] = {
        "message": lambda: _send_message(app, conversation, body),
        "done": lambda: team.mark_done(conversation),
        "reopen": lambda: team.reopen(conversation),
        "snooze": lambda: team.snooze(conversation),
        "spam": lambda: team.mark_spam(conversation, spam=body.get("spam") is not False),
        "survey": lambda: surveys.offer(conversation),
        "rate": lambda: surveys.rate(conversation, _rating(body)),
        "comment": lambda: _comment(app, conversation, body),
        "move": lambda: team.move(conversation, _target_customer(app, body)),
        "delete": lambda: team.delete(conversation, announce=body.get("announce") is True),
        "write-survey": lambda: surveys.write_raw(conversation, body),
        "update": lambda: org.update(conversation, body),
        "update-without-customer": lambda: org.announce_without_customer(conversation),
        "background-update": lambda: org.update(
            conversation, {"noteCount": conversation["attributes"]["noteCount"] + 1}
        ),
    }
    if action not in actions:
        raise not_found("action")
    actions[action]()


def _send_message(app: web.Application, conversation: Document, body: Document) -> None:
    sender, channel, text = body.get("from", "agent"), body.get("channel"), body.get("text")
    if sender not in ("customer", "agent"):
        raise bad_parameter("from", "from must be customer or agent")
    app[SUPPORT_TEAM].send_message(
        conversation, by_customer=sender == "customer", channel=channel and str(channel), text=text and str(text)
    )


def _target_customer(app: web.Application, body: Document) -> Document:
    customer = app[ORGANISATION].customers.get(str(body.get("customer")))
    if customer is None or customer["attributes"]["deleted"]:
        raise not_found("customer")
    return customer


def _rating(body: Document) -> float:
    rating = body.get("rating", 5)
    if isinstance(rating, bool) or not isinstance(rating, int | float):
        raise bad_parameter("rating", "rating must be a number")
    return rating


def _comment(app: web.Application, conversation: Document, body: Document) -> None:
    if not app[SURVEYS].comment(conversation, str(body.get("text", ""))):
        raise KustomerRefusal(409, "conflict", "There is no rating to comment on")
