"""Control API of the simulated organisation: actions, simulations, expected events, state. It needs no key."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from kustomer_klaviyo.sandbox.corruptions import CORRUPTIONS
from kustomer_klaviyo.sandbox.faults import CONTROL_PREFIX
from kustomer_klaviyo.sandbox.kustomer.api.organisation_state import (
    APPS,
    COMMANDS,
    DISPATCHER,
    ORGANISATION,
    REGISTRY,
    REQUEST_COUNTS,
    RESPONSE_COUNTS,
    SUPPORT_TEAM,
    not_deleted,
)
from kustomer_klaviyo.sandbox.kustomer.api.request_bodies import (
    CONTACT_LISTS,
    parse_conversation,
    parse_customer,
)
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.model.merging import merge
from kustomer_klaviyo.sandbox.kustomer.model.organisation import ContactConflict
from kustomer_klaviyo.sandbox.kustomer.responses import (
    KustomerRefusal,
    bad_parameter,
    error_response,
    json_object,
    json_response,
    not_found,
)
from kustomer_klaviyo.sandbox.kustomer.simulation.conversation_actions import run_action
from kustomer_klaviyo.sandbox.kustomer.simulation.expected_events import expected_customers, expected_events
from kustomer_klaviyo.sandbox.kustomer.simulation.simulation_runs import progress, start_simulation, stop_simulations


class NewConversation(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A conversation to create."""

    customer: str
    subject: str | None = None
    channel: str | None = None
    status: str | None = None
    spam: bool | None = None
    imported_at: str | None = None
    created_at: str | None = None
    brand: str | None = None

    def attributes(self) -> Document:
        """Return the initial attributes. Raises KustomerRefusal."""
        fields = {
            "name": self.subject,
            "status": self.status,
            "spam": self.spam,
            "importedAt": self.imported_at,
            "createdAt": self.created_at,
        }
        return parse_conversation({name: value for name, value in fields.items() if value is not None})


def install_control(app: web.Application) -> None:
    """Add the control routes to the application."""
    for method, path, handler in (
        ("POST", "/customers", _add_customer),
        ("PUT", "/customers/{id}", _update_customer),
        ("DELETE", "/customers/{id}", _delete_customer),
        ("POST", "/customers/{id}/merge", _merge_customer),
        ("POST", "/conversations", _open_conversation),
        ("POST", "/conversations/{id}/{action}", _post_action),
        ("POST", "/corrupt-webhooks", _corrupt_webhooks),
        ("POST", "/simulation", _post_simulation),
        ("GET", "/simulation", _get_progress),
        ("GET", "/expected-events", _list_expected_events),
        ("GET", "/expected-customers", _list_expected_customers),
        ("GET", "/state", _get_state),
        ("GET", "/app-settings", _get_app_settings),
        ("POST", "/reset", _reset),
    ):
        app.router.add_route(method, CONTROL_PREFIX + path, _with_errors(handler))


def _with_errors(handler: Callable[[web.Request], Awaitable[web.Response]]) -> Callable[..., Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            return await handler(request)
        except KustomerRefusal as refusal:
            return error_response(refusal)
        except ContactConflict as conflict:
            return error_response(KustomerRefusal(409, "conflict", f"{conflict} must be unique"))
        except msgspec.ValidationError as error:
            return error_response(KustomerRefusal(400, "badparam", str(error)))

    return handle


async def _body(request: web.Request) -> Document:
    return await json_object(request) if request.can_read_body else {}


def _customer_fields(body: Document) -> Document:
    """Parse a customer in short form: ``email`` and ``phone`` in place of lists, texts in place of contacts."""
    for short, list_name in (("email", "emails"), ("phone", "phones")):
        if body.get(short) is not None:
            body[list_name] = [body.pop(short)]
    for name, (value_key, _) in CONTACT_LISTS.items():
        if isinstance(body.get(name), list):
            body[name] = [{value_key: entry} if isinstance(entry, str) else entry for entry in body[name]]
    return parse_customer(body)


def _customer(request: web.Request, customer_id: Any, parameter: str = "id") -> Document:
    customer = request.app[ORGANISATION].customers.get(str(customer_id))
    if customer is None or customer["attributes"]["deleted"]:
        raise not_found(parameter)
    return customer


async def _add_customer(request: web.Request) -> web.Response:
    return json_response(request.app[ORGANISATION].add_customer(_customer_fields(await _body(request))), status=201)


async def _update_customer(request: web.Request) -> web.Response:
    customer = _customer(request, request.match_info["id"])
    return json_response(request.app[ORGANISATION].update(customer, _customer_fields(await _body(request))))


async def _delete_customer(request: web.Request) -> web.Response:
    request.app[ORGANISATION].delete(_customer(request, request.match_info["id"]))
    return web.Response(status=204)


async def _merge_customer(request: web.Request) -> web.Response:
    target = _customer(request, (await _body(request)).get("into"), "into")
    source = _customer(request, request.match_info["id"])
    if source is target:
        raise bad_parameter("into", "A customer cannot be merged into itself")
    return json_response(merge(request.app[ORGANISATION], source, target), status=201)


async def _open_conversation(request: web.Request) -> web.Response:
    new = msgspec.convert(await _body(request), NewConversation)
    customer = _customer(request, new.customer, "customer")
    conversation = request.app[SUPPORT_TEAM].open_conversation(
        customer, channel=new.channel, fields=new.attributes(), brand=new.brand
    )
    return json_response(conversation, status=201)


async def _post_action(request: web.Request) -> web.Response:
    conversation = request.app[ORGANISATION].conversations.get(request.match_info["id"])
    if conversation is None or conversation["attributes"].get("deleted"):
        raise not_found("id")
    run_action(request.app, conversation, request.match_info["action"], await _body(request))
    return json_response(conversation)


class WebhookCorruption(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How the bodies of the next webhooks are corrupted; null stops it."""

    corruption: str | None = None
    times: int = 1


async def _corrupt_webhooks(request: web.Request) -> web.Response:
    body = msgspec.convert(await _body(request), WebhookCorruption)
    if body.corruption is not None and body.corruption not in CORRUPTIONS:
        raise bad_parameter("corruption", f"corruption must be one of {', '.join(CORRUPTIONS)}")
    request.app[DISPATCHER].corrupt_next(body.corruption, body.times)
    return web.Response(status=204)


async def _post_simulation(request: web.Request) -> web.Response:
    start_simulation(request.app, await _body(request))
    return json_response(progress(request.app), status=202)


async def _get_progress(request: web.Request) -> web.Response:
    return json_response(progress(request.app))


async def _list_expected_events(request: web.Request) -> web.Response:
    return json_response(expected_events(request.app[ORGANISATION]))


async def _list_expected_customers(request: web.Request) -> web.Response:
    return json_response(expected_customers(request.app[ORGANISATION]))


async def _get_state(request: web.Request) -> web.Response:
    app, org = request.app, request.app[ORGANISATION]
    requests, responses = app[REQUEST_COUNTS], app[RESPONSE_COUNTS]
    webhooks = app[REGISTRY].webhooks.values()
    counts = dict.fromkeys(("sent", "acknowledged", "failed_attempts", "lost", "pending"), 0)
    return json_response(
        {
            "customers": len(not_deleted(org.customers.values())),
            "conversations": len(not_deleted(org.conversations.values())),
            "webhooks": [{"id": webhook.id, "url": webhook.url, "enabled": webhook.enabled} for webhook in webhooks],
            "deliveries": counts | dict(app[DISPATCHER].counts),
            "requests": dict(requests),
            "responses": dict(responses),
        }
    )


async def _get_app_settings(request: web.Request) -> web.Response:
    """Return the settings of apps including secrets, which the API never returns."""
    return json_response(request.app[APPS].values)


async def _reset(request: web.Request) -> web.Response:
    """Stop simulations, and remove all data, webhooks and counts. The organisation keeps its id."""
    app = request.app
    await stop_simulations(app)
    app[REGISTRY].webhooks.clear()
    app[DISPATCHER].reset()
    app[ORGANISATION].reset()
    app[APPS].reset()
    app[COMMANDS].reset()
    app[REQUEST_COUNTS].clear()
    app[RESPONSE_COUNTS].clear()
    return web.Response(status=204)
