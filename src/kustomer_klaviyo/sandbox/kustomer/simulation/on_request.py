"""Carries out what the control routes ask for: single actions of people, and whole plays in the background."""

import asyncio
from collections.abc import Callable

import msgspec
from aiohttp import web

from kustomer_klaviyo.sandbox.kustomer.api.operation import DISPATCHER, ORGANISATION, SUPPORT, SURVEYS
from kustomer_klaviyo.sandbox.kustomer.envelope import Refusal, bad, not_found
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.simulation.player import Play
from kustomer_klaviyo.sandbox.kustomer.simulation.scenario import Script

Action = Callable[[], object]

PLAYS = web.AppKey("plays", list[tuple[Play, asyncio.Task[None]]])


def act(app: web.Application, conversation: Document, action: str, body: Document) -> None:
    """Play one action upon a conversation; ``note`` is an update that tells nothing new. Raises Refusal."""
    support, surveys = app[SUPPORT], app[SURVEYS]
    actions: dict[str, Action] = {
        "message": lambda: _write(app, conversation, body),
        "done": lambda: support.mark_done(conversation),
        "reopen": lambda: support.reopen(conversation),
        "snooze": lambda: support.snooze(conversation),
        "spam": lambda: support.mark_spam(conversation, spam=body.get("spam") is not False),
        "survey": lambda: surveys.offer(conversation),
        "rate": lambda: surveys.rate(conversation, _rating(body)),
        "comment": lambda: _comment(app, conversation, body),
        "give": lambda: support.give(conversation, _receiver(app, body)),
        "delete": lambda: support.delete(conversation, is_told=body.get("told") is True),
        "write-survey": lambda: surveys.write(conversation, body),
        "write": lambda: app[ORGANISATION].change(conversation, body),
        "lose-customer": lambda: app[ORGANISATION].announce_nameless(conversation),
        "note": lambda: app[ORGANISATION].change(
            conversation, {"noteCount": conversation["attributes"]["noteCount"] + 1}
        ),
    }
    if action not in actions:
        raise not_found("action")
    actions[action]()


def _write(app: web.Application, conversation: Document, body: Document) -> None:
    sender, channel, text = body.get("from", "agent"), body.get("channel"), body.get("text")
    if sender not in ("customer", "agent"):
        raise bad("from", "from must be customer or agent")
    app[SUPPORT].write(
        conversation, by_customer=sender == "customer", channel=channel and str(channel), text=text and str(text)
    )


def _receiver(app: web.Application, body: Document) -> Document:
    found = app[ORGANISATION].customers.get(str(body.get("to")))
    if found is None or found["attributes"]["deleted"]:
        raise not_found("to")
    return found


def _rating(body: Document) -> float:
    rating = body.get("rating", 5)
    if isinstance(rating, bool) or not isinstance(rating, int | float):
        raise bad("rating", "rating must be a number")
    return rating


def _comment(app: web.Application, conversation: Document, body: Document) -> None:
    if not app[SURVEYS].comment(conversation, str(body.get("text", ""))):
        raise Refusal(409, "conflict", "There is no rating to comment on")


def begin(app: web.Application, body: Document) -> None:
    """Begin a play in the background. Raises msgspec.ValidationError."""
    script = msgspec.convert(body, Script)
    dispatcher = app[DISPATCHER]
    play = Play(script, app[ORGANISATION], app[SUPPORT], app[SURVEYS], lambda: dispatcher.is_swamped)
    app[PLAYS].append((play, asyncio.create_task(play.run())))


def standing(app: web.Application) -> Document:
    """Return how far the plays have come: customers and conversations ``done`` of all, and the single actions."""
    plays = [play.progress for play, _ in app[PLAYS]]
    return {
        "running": any(progress.running for progress in plays),
        "done": sum(progress.done for progress in plays),
        "of": sum(progress.of for progress in plays),
        "actions": sum(progress.actions for progress in plays),
    }


async def end_plays(app: web.Application) -> None:
    """End every play where it stands."""
    tasks = [task for _, task in app[PLAYS]]
    app[PLAYS].clear()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
