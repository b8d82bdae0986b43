"""The simulated API's operations."""

from typing import Any

from aiohttp import web

from kustomer_klaviyo.sandbox.kustomer.documents import Document, related
from kustomer_klaviyo.sandbox.kustomer.exchange import (
    DISPATCHER,
    OPTIONS,
    ORGANISATION,
    SUPPORT,
    Refusal,
    answer,
    json_object,
    not_found,
    operated,
    page,
    shown,
)
from kustomer_klaviyo.sandbox.kustomer.organisation import Conflict
from kustomer_klaviyo.sandbox.kustomer.search import search
from kustomer_klaviyo.sandbox.kustomer.webhooks import EVENTS, MOST_WEBHOOKS, Webhook

MOST_SEARCH_PAGES = 100


def install_routes(app: web.Application) -> None:
    """Put the operations into the application."""
    for method, path, name, handler in (
        ("GET", "/v1/orgs/current", "organisation", get_organisation),
        ("GET", "/v1/users/current", "user", get_user),
        ("GET", "/v1/auth/tokens/current", "token", get_user),
        ("POST", "/v1/customers/search", "search", post_search),
        ("POST", "/v1/customers/merges", "merge", post_merge),
        ("GET", "/v1/customers", "customers", list_customers),
        ("POST", "/v1/customers", "create customer", create_customer),
        ("GET", "/v1/customers/{id}", "customer", get_customer),
        ("PUT", "/v1/customers/{id}", "update customer", update_customer),
        ("PATCH", "/v1/customers/{id}", "update customer", update_customer),
        ("DELETE", "/v1/customers/{id}", "delete customer", delete_customer),
        ("GET", "/v1/customers/{id}/conversations", "customer's conversations", list_customer_conversations),
        ("GET", "/v1/customers/{id}/merges", "customer's merges", list_merges),
        ("GET", "/v1/conversations", "conversations", list_conversations),
        ("POST", "/v1/conversations", "create conversation", create_conversation),
        ("GET", "/v1/conversations/{id}", "conversation", get_conversation),
        ("PUT", "/v1/conversations/{id}", "update conversation", update_conversation),
        ("PATCH", "/v1/conversations/{id}", "update conversation", update_conversation),
        ("DELETE", "/v1/conversations/{id}", "delete conversation", delete_conversation),
        ("GET", "/v1/conversations/{id}/messages", "messages", list_messages),
        ("GET", "/v1/satisfaction-responses/{id}", "satisfaction response", get_satisfaction_response),
        ("GET", "/v1/outbound-webhooks/events", "webhook events", list_webhook_events),
        ("GET", "/v1/outbound-webhooks", "webhooks", list_webhooks),
        ("POST", "/v1/outbound-webhooks", "create webhook", create_webhook),
        ("GET", "/v1/outbound-webhooks/{id}", "webhook", get_webhook),
        ("PUT", "/v1/outbound-webhooks/{id}", "update webhook", update_webhook),
        ("DELETE", "/v1/outbound-webhooks/{id}", "delete webhook", delete_webhook),
    ):
        app.router.add_route(method, path, operated(name, handler))


async def get_organisation(request: web.Request) -> web.Response:
    """``GET /v1/orgs/current``."""
    org = request.app[ORGANISATION]
    return answer({"data": {"type": "org", "id": org.id, "attributes": {"name": org.name, "displayName": org.name}}})


async def get_user(request: web.Request) -> web.Response:
    """``GET /v1/users/current``: the machine user behind the key."""
    key = request.headers["Authorization"].partition(" ")[2]
    roles = sorted(request.app[OPTIONS].api_keys[key])
    attributes = {"name": "api", "userType": "machine", "roles": roles}
    return answer({"data": {"type": "user", "id": request.app[ORGANISATION].id, "attributes": attributes}})


async def post_search(request: web.Request) -> web.Response:
    """``POST /v1/customers/search``."""
    org = request.app[ORGANISATION]
    if int(request.query.get("page", "1") or 1) > MOST_SEARCH_PAGES:
        raise Refusal(400, "badparam", f"Search ends after {MOST_SEARCH_PAGES} pages", parameter="page")
    held = {"customer": list(org.customers.values()), "conversation": list(org.conversations.values())}
    return page(request, search(await json_object(request), held), most=500)


async def list_customers(request: web.Request) -> web.Response:
    """``GET /v1/customers``."""
    return page(request, _present(request.app[ORGANISATION].customers))


def _present(resources: dict[str, Document]) -> list[Document]:
    return [one for one in resources.values() if not one["attributes"].get("deleted")]


async def create_customer(request: web.Request) -> web.Response:
    """``POST /v1/customers``."""
    given = await json_object(request)
    try:
        return answer({"data": request.app[ORGANISATION].add_customer(given)}, status=201)
    except Conflict as conflict:
        raise Refusal(409, "conflict", f"{conflict} must be unique", parameter=str(conflict)) from conflict


async def get_customer(request: web.Request) -> web.Response:
    """``GET /v1/customers/{id}``, also by ``email=``, ``phone=`` or ``externalId=``."""
    return answer({"data": shown(request, _customer(request))})


def _customer(request: web.Request) -> Document:
    org, wanted = request.app[ORGANISATION], request.match_info["id"]
    name, is_named, value = wanted.partition("=")
    if not is_named:
        found = org.customers.get(wanted)
    elif name == "email":
        found = org.customers.get(org.by_email.get(value.lower(), ""))
    elif name == "phone":
        found = next((one for one in _present(org.customers) if value in _phones(one)), None)
    else:
        found = next((one for one in _present(org.customers) if one["attributes"].get(name) == value), None)
    if found is None or found["attributes"].get("deleted"):
        raise not_found(name if is_named else "id")
    return found


def _phones(customer: Document) -> list[Any]:
    return [entry["phone"] for entry in customer["attributes"]["phones"]]


async def update_customer(request: web.Request) -> web.Response:
    """``PUT /v1/customers/{id}``."""
    customer, org = _customer(request), request.app[ORGANISATION]
    try:
        org.change(customer, await json_object(request))
    except Conflict as conflict:
        raise Refusal(409, "conflict", f"{conflict} must be unique", parameter=str(conflict)) from conflict
    return answer({"data": customer})


async def delete_customer(request: web.Request) -> web.Response:
    """``DELETE /v1/customers/{id}``."""
    request.app[ORGANISATION].delete(_customer(request))
    return web.Response(status=204)


async def list_customer_conversations(request: web.Request) -> web.Response:
    """``GET /v1/customers/{id}/conversations``."""
    customer, org = _customer(request), request.app[ORGANISATION]
    owned = [
        one for one in _present(org.conversations) if one["relationships"]["customer"]["data"]["id"] == customer["id"]
    ]
    return page(request, owned)


async def post_merge(request: web.Request) -> web.Response:
    """``POST /v1/customers/merges``: the source ends in the target."""
    body, org = await json_object(request), request.app[ORGANISATION]
    source, target = (org.customers.get(str(body.get(name))) for name in ("source", "target"))
    if source is None or target is None:
        raise not_found("source" if source is None else "target")
    return answer({"data": merge(request.app, source, target)}, status=201)


def merge(app: web.Application, source: Document, target: Document) -> Document:
    """Unite two customers: contacts join, conversations move, the source is gone without an event."""
    org = app[ORGANISATION]
    contacts = {
        name: [*target["attributes"][name], *source["attributes"][name]] for name in ("emails", "phones", "socials")
    }
    org.delete(source)
    org.change(target, contacts)
    for conversation in org.conversations.values():
        if conversation["relationships"]["customer"]["data"]["id"] == source["id"]:
            moved = conversation["relationships"] | {"customer": related("customer", target["id"], "customers")}
            conversation["relationships"] = moved
    record: Document = {
        "type": "customer_merge",
        "id": org.new_id(),
        "attributes": {"status": "complete", "createdAt": org.now(), "updatedAt": org.now()},
        "relationships": {
            "source": related("customer", source["id"], "customers"),
            "target": related("customer", target["id"], "customers"),
        },
    }
    org.merges.append(record)
    return record


async def list_merges(request: web.Request) -> web.Response:
    """``GET /v1/customers/{id}/merges``, of merged customers too."""
    wanted, org = request.match_info["id"], request.app[ORGANISATION]
    if wanted not in org.customers:
        raise not_found("id")
    ends = ("source", "target")
    found = [one for one in org.merges if wanted in [one["relationships"][end]["data"]["id"] for end in ends]]
    return page(request, found)


async def list_conversations(request: web.Request) -> web.Response:
    """``GET /v1/conversations``."""
    return page(request, _present(request.app[ORGANISATION].conversations), most=1000)


async def create_conversation(request: web.Request) -> web.Response:
    """``POST /v1/conversations``."""
    given, org = await json_object(request), request.app[ORGANISATION]
    customer = org.customers.get(str(given.pop("customer", "")))
    if customer is None:
        raise Refusal(400, "badparam", "customer is required", parameter="customer")
    subject = given.pop("name", None)
    conversation = request.app[SUPPORT].open_conversation(customer, subject=subject, given=given)
    return answer({"data": conversation}, status=201)


async def get_conversation(request: web.Request) -> web.Response:
    """``GET /v1/conversations/{id}``; several ids, parted by commas, give a list."""
    org, wanted = request.app[ORGANISATION], request.match_info["id"].split(",")
    found = [org.conversations[one] for one in wanted if one in org.conversations]
    found = [one for one in found if not one["attributes"].get("deleted")]
    if len(wanted) > 1:
        return answer({"data": found})
    if not found:
        raise not_found("id")
    return answer({"data": found[0]})


def _conversation(request: web.Request) -> Document:
    found = request.app[ORGANISATION].conversations.get(request.match_info["id"])
    if found is None or found["attributes"].get("deleted"):
        raise not_found("id")
    return found


async def update_conversation(request: web.Request) -> web.Response:
    """``PUT /v1/conversations/{id}``; a change of status is what people do."""
    conversation, given = _conversation(request), await json_object(request)
    status = given.pop("status", None)
    if status == "done":
        request.app[SUPPORT].mark_done(conversation)
    elif status == "open":
        request.app[SUPPORT].reopen(conversation)
    if given:
        request.app[ORGANISATION].change(conversation, given)
    return answer({"data": conversation})


async def delete_conversation(request: web.Request) -> web.Response:
    """``DELETE /v1/conversations/{id}``."""
    request.app[ORGANISATION].delete(_conversation(request))
    return web.Response(status=204)


async def list_messages(request: web.Request) -> web.Response:
    """``GET /v1/conversations/{id}/messages``."""
    conversation = _conversation(request)
    messages = request.app[ORGANISATION].messages.values()
    return page(
        request, [one for one in messages if one["relationships"]["conversation"]["data"]["id"] == conversation["id"]]
    )


async def get_satisfaction_response(request: web.Request) -> web.Response:
    """``GET /v1/satisfaction-responses/{id}``: a survey as it stands on its conversation."""
    for conversation in request.app[ORGANISATION].conversations.values():
        level = conversation["attributes"]["satisfactionLevel"]
        if level.get("formResponse") == request.match_info["id"]:
            relations = {"conversation": related("conversation", conversation["id"], "conversations")}
            one = {"type": "satisfaction_response", "id": level["formResponse"], "attributes": level}
            return answer({"data": one | {"relationships": relations}})
    raise not_found("id")


async def list_webhook_events(request: web.Request) -> web.Response:
    """``GET /v1/outbound-webhooks/events``."""
    del request
    return answer({"events": list(EVENTS)})


def _webhook_resource(hook: Webhook) -> Document:
    attributes = {
        "name": hook.name,
        "url": hook.url,
        "events": list(hook.events),
        "headers": hook.headers,
        "enabled": hook.enabled,
        "token": hook.token,
        "createdAt": hook.created_at,
    }
    return {"type": "outbound_webhook", "id": hook.id, "attributes": attributes}


async def list_webhooks(request: web.Request) -> web.Response:
    """``GET /v1/outbound-webhooks``."""
    return page(request, [_webhook_resource(hook) for hook in request.app[DISPATCHER].webhooks.values()])


async def create_webhook(request: web.Request) -> web.Response:
    """``POST /v1/outbound-webhooks``: the answer holds the token that signs the deliveries."""
    body, org, dispatcher = await json_object(request), request.app[ORGANISATION], request.app[DISPATCHER]
    events = body.get("events")
    if not isinstance(events, list) or not events or not set(events) <= set(EVENTS):
        raise Refusal(400, "badparam", "events must name subscribable events", parameter="events")
    url = body.get("url")
    if not isinstance(url, str) or not url.startswith(("https://", "http://")) or len(url) > 255:
        raise Refusal(400, "badparam", "url must be a web address of at most 255 characters", parameter="url")
    name = body.get("name")
    if not isinstance(name, str) or not 1 <= len(name) <= 255:
        raise Refusal(400, "badparam", "name must have 1 to 255 characters", parameter="name")
    if len(dispatcher.webhooks) >= MOST_WEBHOOKS:
        raise Refusal(400, "limit", f"At most {MOST_WEBHOOKS} outbound webhooks")
    hook = Webhook(org.new_id(), name, url, tuple(events), org.now(), body.get("headers") or [])
    hook.enabled = body.get("enabled") is not False
    dispatcher.webhooks[hook.id] = hook
    return answer({"data": _webhook_resource(hook)}, status=201)


def _webhook(request: web.Request) -> Webhook:
    hook = request.app[DISPATCHER].webhooks.get(request.match_info["id"])
    if hook is None:
        raise not_found("id")
    return hook


async def get_webhook(request: web.Request) -> web.Response:
    """``GET /v1/outbound-webhooks/{id}``."""
    return answer({"data": _webhook_resource(_webhook(request))})


async def update_webhook(request: web.Request) -> web.Response:
    """``PUT /v1/outbound-webhooks/{id}``: switched on or off."""
    hook, body = _webhook(request), await json_object(request)
    if isinstance(body.get("enabled"), bool):
        hook.enabled, hook.used_up = body["enabled"], 0
    return answer({"data": _webhook_resource(hook)})


async def delete_webhook(request: web.Request) -> web.Response:
    """``DELETE /v1/outbound-webhooks/{id}``."""
    del request.app[DISPATCHER].webhooks[_webhook(request).id]
    return web.Response(status=204)
