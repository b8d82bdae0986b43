"""The sandbox's own routes: what people do is played here, and what really happened is told. No key is asked for."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from kustomer_klaviyo.sandbox.faults import CONTROL_PREFIX
from kustomer_klaviyo.sandbox.kustomer.api.operation import (
    APPS,
    COMMANDS,
    DISPATCHER,
    ORGANISATION,
    REGISTRY,
    SUPPORT,
    TRAFFIC,
)
from kustomer_klaviyo.sandbox.kustomer.api.request_bodies import CONTACTS, given_conversation, given_customer
from kustomer_klaviyo.sandbox.kustomer.envelope import Refusal, answer, bad, json_object, not_found, refuse
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.model.merging import merge
from kustomer_klaviyo.sandbox.kustomer.model.organisation import Conflict
from kustomer_klaviyo.sandbox.kustomer.simulation.expected_events import expected, expected_people
from kustomer_klaviyo.sandbox.kustomer.simulation.on_request import act, begin, end_plays, standing
from kustomer_klaviyo.sandbox.malform import KINDS


class NewConversation(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A conversation to be begun."""

    customer: str
    subject: str | None = None
    channel: str | None = None
    status: str | None = None
    spam: bool | None = None
    imported_at: str | None = None
    created_at: str | None = None
    brand: str | None = None

    def attributes(self) -> Document:
        """Return the attributes it begins with. Raises Refusal."""
        named = {
            "name": self.subject,
            "status": self.status,
            "spam": self.spam,
            "importedAt": self.imported_at,
            "createdAt": self.created_at,
        }
        return given_conversation({name: value for name, value in named.items() if value is not None})


def install_control(app: web.Application) -> None:
    """Put the control routes into the application."""
    for method, path, handler in (
        ("POST", "/customers", _add_customer),
        ("PUT", "/customers/{id}", _change_customer),
        ("DELETE", "/customers/{id}", _delete_customer),
        ("POST", "/customers/{id}/merge", _merge_customer),
        ("POST", "/conversations", _open_conversation),
        ("POST", "/conversations/{id}/{action}", _act),
        ("POST", "/malform", _malform_webhooks),
        ("POST", "/play", _play),
        ("GET", "/play", _progress),
        ("GET", "/expected", _expected),
        ("GET", "/expected-customers", _expected_people),
        ("GET", "/state", _state),
        ("GET", "/secrets", _secrets),
        ("POST", "/reset", _reset),
    ):
        app.router.add_route(method, CONTROL_PREFIX + path, _in_form(handler))


def _in_form(handler: Callable[[web.Request], Awaitable[web.Response]]) -> Callable[..., Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except Refusal as refusal:
            return refuse(refusal)
        except Conflict as conflict:
            return refuse(Refusal(409, "conflict", f"{conflict} must be unique"))
        except msgspec.ValidationError as error:
            return refuse(Refusal(400, "badparam", str(error)))

    return handle


async def _body(request: web.Request) -> Document:
    return await json_object(request) if request.can_read_body else {}


def _person(body: Document) -> Document:
    """Let ``email`` and ``phone`` stand for lists of one, and mere text for a contact."""
    for short, long in (("email", "emails"), ("phone", "phones")):
        if body.get(short) is not None:
            body[long] = [body.pop(short)]
    for name, (part, _) in CONTACTS.items():
        if isinstance(body.get(name), list):
            body[name] = [{part: entry} if isinstance(entry, str) else entry for entry in body[name]]
    return given_customer(body)


def _customer(request: web.Request, wanted: Any, parameter: str = "id") -> Document:
    found = request.app[ORGANISATION].customers.get(str(wanted))
    if found is None or found["attributes"]["deleted"]:
        raise not_found(parameter)
    return found


async def _add_customer(request: web.Request) -> web.Response:
    return answer(request.app[ORGANISATION].add_customer(_person(await _body(request))), status=201)


async def _change_customer(request: web.Request) -> web.Response:
    customer = _customer(request, request.match_info["id"])
    return answer(request.app[ORGANISATION].change(customer, _person(await _body(request))))


async def _delete_customer(request: web.Request) -> web.Response:
    request.app[ORGANISATION].delete(_customer(request, request.match_info["id"]))
    return web.Response(status=204)


async def _merge_customer(request: web.Request) -> web.Response:
    target = _customer(request, (await _body(request)).get("into"), "into")
    source = _customer(request, request.match_info["id"])
    if source is target:
        raise bad("into", "A customer is not merged into itself")
    return answer(merge(request.app[ORGANISATION], source, target), status=201)


async def _open_conversation(request: web.Request) -> web.Response:
    wanted = msgspec.convert(await _body(request), NewConversation)
    customer = _customer(request, wanted.customer, "customer")
    conversation = request.app[SUPPORT].open_conversation(
        customer, channel=wanted.channel, given=wanted.attributes(), brand=wanted.brand
    )
    return answer(conversation, status=201)


async def _act(request: web.Request) -> web.Response:
    conversation = request.app[ORGANISATION].conversations.get(request.match_info["id"])
    if conversation is None or conversation["attributes"].get("deleted"):
        raise not_found("id")
    act(request.app, conversation, request.match_info["action"], await _body(request))
    return answer(conversation)


class Malform(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How the bodies of the next webhooks are spoilt; null ends it."""

    malform: str | None = None
    times: int = 1


async def _malform_webhooks(request: web.Request) -> web.Response:
    wanted = msgspec.convert(await _body(request), Malform)
    if wanted.malform is not None and wanted.malform not in KINDS:
        raise bad("malform", f"malform must be one of {', '.join(KINDS)}")
    request.app[DISPATCHER].malform(wanted.malform, wanted.times)
    return web.Response(status=204)


async def _play(request: web.Request) -> web.Response:
    begin(request.app, await _body(request))
    return answer(standing(request.app), status=202)


async def _progress(request: web.Request) -> web.Response:
    return answer(standing(request.app))


async def _expected(request: web.Request) -> web.Response:
    return answer(expected(request.app[ORGANISATION]))


async def _expected_people(request: web.Request) -> web.Response:
    return answer(expected_people(request.app[ORGANISATION]))


async def _state(request: web.Request) -> web.Response:
    org, traffic = request.app[ORGANISATION], request.app[TRAFFIC]
    hooks = request.app[REGISTRY].webhooks.values()
    counts = dict.fromkeys(("sent", "acknowledged", "failed_attempts", "lost", "pending"), 0)
    return answer(
        {
            "customers": sum(not one["attributes"]["deleted"] for one in org.customers.values()),
            "conversations": sum(not one["attributes"].get("deleted") for one in org.conversations.values()),
            "webhooks": [{"id": hook.id, "url": hook.url, "enabled": hook.enabled} for hook in hooks],
            "deliveries": counts | dict(request.app[DISPATCHER].counts),
            "requests": {name: n for name, n in traffic.items() if not name.startswith("status ")},
            "answers": {name.removeprefix("status "): n for name, n in traffic.items() if name.startswith("status ")},
        }
    )


async def _secrets(request: web.Request) -> web.Response:
    """Tell the settings of apps as Kustomer keeps them, secrets included: what no API shows."""
    return answer(request.app[APPS].values)


async def _reset(request: web.Request) -> web.Response:
    """Begin anew: plays end, people, webhooks and counts are gone; the organisation keeps its id."""
    app = request.app
    await end_plays(app)
    app[REGISTRY].webhooks.clear()
    app[DISPATCHER].forget()
    app[ORGANISATION].forget()
    app[APPS].forget()
    app[COMMANDS].forget()
    app[TRAFFIC].clear()
    return web.Response(status=204)
