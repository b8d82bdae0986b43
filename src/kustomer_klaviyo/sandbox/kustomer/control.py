"""The sandbox's own routes: what people do is played here, and what really happened is told. No key is asked for."""

import asyncio
from typing import Any

import msgspec
from aiohttp import web

from kustomer_klaviyo.sandbox.faults import CONTROL_PREFIX
from kustomer_klaviyo.sandbox.kustomer.documents import Document
from kustomer_klaviyo.sandbox.kustomer.exchange import (
    DISPATCHER,
    ORGANISATION,
    SUPPORT,
    TRAFFIC,
    Refusal,
    answer,
    json_object,
    not_found,
    refuse,
)
from kustomer_klaviyo.sandbox.kustomer.organisation import Conflict
from kustomer_klaviyo.sandbox.kustomer.play import Play, Script
from kustomer_klaviyo.sandbox.kustomer.routes import merge
from kustomer_klaviyo.sandbox.kustomer.truth import expected

PLAYS = web.AppKey("plays", list[tuple[Play, asyncio.Task[None]]])


class NewConversation(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A conversation to be begun."""

    customer: str
    subject: str | None = None
    channel: str | None = None
    status: str | None = None
    spam: bool = False
    imported_at: str | None = None
    created_at: str | None = None
    brand: str | None = None


def install_control(app: web.Application) -> None:
    """Put the control routes into the application."""
    app[PLAYS] = []
    for method, path, handler in (
        ("POST", "/customers", _add_customer),
        ("PUT", "/customers/{id}", _change_customer),
        ("DELETE", "/customers/{id}", _delete_customer),
        ("POST", "/customers/{id}/merge", _merge_customer),
        ("POST", "/conversations", _open_conversation),
        ("POST", "/conversations/{id}/{action}", _act),
        ("POST", "/play", _play),
        ("GET", "/play", _progress),
        ("GET", "/expected", _expected),
        ("GET", "/state", _state),
    ):
        app.router.add_route(method, CONTROL_PREFIX + path, _in_form(handler))


def _in_form(handler: Any) -> Any:
    async def handle(request: web.Request) -> web.Response:
        try:
            response: web.Response = await handler(request)
        except Refusal as refusal:
            return refuse(refusal)
        except Conflict as conflict:
            return refuse(Refusal(409, "conflict", f"{conflict} must be unique"))
        except msgspec.ValidationError as error:
            return refuse(Refusal(400, "badparam", str(error)))
        return response

    return handle


def _contacts(given: Document) -> Document:
    """Let ``email`` and ``phone`` stand for lists of one."""
    for short, long, kind in (("email", "emails", "home"), ("phone", "phones", "mobile")):
        value = given.pop(short, None)
        if value is not None:
            given[long] = [{"type": kind, short: value, "verified": False}]
    return given


async def _add_customer(request: web.Request) -> web.Response:
    given = _contacts(await json_object(request))
    return answer(request.app[ORGANISATION].add_customer(given), status=201)


def _customer(request: web.Request) -> Document:
    found = request.app[ORGANISATION].customers.get(request.match_info["id"])
    if found is None:
        raise not_found("id")
    return found


async def _change_customer(request: web.Request) -> web.Response:
    customer = _customer(request)
    request.app[ORGANISATION].change(customer, _contacts(await json_object(request)))
    return answer(customer)


async def _delete_customer(request: web.Request) -> web.Response:
    request.app[ORGANISATION].delete(_customer(request))
    return web.Response(status=204)


async def _merge_customer(request: web.Request) -> web.Response:
    target = request.app[ORGANISATION].customers.get(str((await json_object(request)).get("into")))
    if target is None:
        raise not_found("into")
    return answer(merge(request.app, _customer(request), target), status=201)


async def _open_conversation(request: web.Request) -> web.Response:
    wanted = msgspec.convert(await json_object(request), NewConversation)
    customer = request.app[ORGANISATION].customers.get(wanted.customer)
    if customer is None:
        raise not_found("customer")
    given: Document = {
        name: value
        for name, value in (
            ("status", wanted.status),
            ("spam", wanted.spam or None),
            ("importedAt", wanted.imported_at),
            ("createdAt", wanted.created_at),
        )
        if value is not None
    }
    conversation = request.app[SUPPORT].open_conversation(
        customer, subject=wanted.subject, channel=wanted.channel, given=given, brand=wanted.brand
    )
    return answer(conversation, status=201)


async def _act(request: web.Request) -> web.Response:
    """Play one action: message, done, reopen, spam, survey, rate, comment, note (an update that tells nothing new)."""
    org, support = request.app[ORGANISATION], request.app[SUPPORT]
    conversation = org.conversations.get(request.match_info["id"])
    if conversation is None:
        raise not_found("id")
    body = await json_object(request) if request.can_read_body else {}
    match request.match_info["action"]:
        case "message":
            support.write(conversation, by_customer=body.get("from") == "customer", channel=body.get("channel"))
        case "done":
            support.mark_done(conversation)
        case "reopen":
            support.reopen(conversation)
        case "spam":
            support.mark_spam(conversation, spam=body.get("spam") is not False)
        case "survey":
            support.offer_survey(conversation)
        case "rate":
            support.rate(conversation, int(body.get("rating", 5)))
        case "comment":
            support.comment(conversation, str(body.get("text", "")))
        case "note":
            org.change(conversation, {"noteCount": conversation["attributes"]["noteCount"] + 1})
        case _:
            raise not_found("action")
    return answer(conversation)


async def _play(request: web.Request) -> web.Response:
    script = msgspec.convert(await json_object(request) if request.can_read_body else {}, Script)
    play = Play(script, request.app[ORGANISATION], request.app[SUPPORT])
    request.app[PLAYS].append((play, asyncio.create_task(play.run())))
    return answer(_standing(request), status=202)


async def _progress(request: web.Request) -> web.Response:
    return answer(_standing(request))


def _standing(request: web.Request) -> Document:
    plays = [play.progress for play, _ in request.app[PLAYS]]
    return {
        "running": any(progress.running for progress in plays),
        "done": sum(progress.done for progress in plays),
        "of": sum(progress.of for progress in plays),
    }


async def _expected(request: web.Request) -> web.Response:
    return answer(expected(request.app[ORGANISATION]))


async def _state(request: web.Request) -> web.Response:
    org, dispatcher = request.app[ORGANISATION], request.app[DISPATCHER]
    return answer(
        {
            "customers": len(org.customers),
            "conversations": len(org.conversations),
            "webhooks": [{"id": w.id, "url": w.url, "enabled": w.enabled} for w in dispatcher.webhooks.values()],
            "deliveries": dict(dispatcher.counts.items()),
            "requests": dict(request.app[TRAFFIC].items()),
        }
    )
