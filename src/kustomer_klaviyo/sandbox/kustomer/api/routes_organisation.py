"""The simulated API's operations on the organisation itself: who asks, and its outbound webhooks.

Rules: developer.kustomer.com/docs/events/outbound-webhooks
"""

from aiohttp import web

from kustomer_klaviyo.sandbox.kustomer.api.access import admit
from kustomer_klaviyo.sandbox.kustomer.api.metadata import CUSTOM, metadata_resource
from kustomer_klaviyo.sandbox.kustomer.api.operation import OPTIONS, ORGANISATION, REGISTRY, Operation
from kustomer_klaviyo.sandbox.kustomer.envelope import answer, json_object, not_found, page
from kustomer_klaviyo.sandbox.kustomer.model.documents import related
from kustomer_klaviyo.sandbox.kustomer.model.webhook_registry import EVENTS, Webhook


async def get_organisation(request: web.Request) -> web.Response:
    """``GET /v1/orgs/current``."""
    org = request.app[ORGANISATION]
    return answer({"data": {"type": "org", "id": org.id, "attributes": {"name": org.name, "displayName": org.name}}})


def _roles(request: web.Request) -> list[str]:
    return sorted(admit(request.headers["Authorization"], request.app[OPTIONS].api_keys, None))


async def get_user(request: web.Request) -> web.Response:
    """``GET /v1/users/current``: the machine user behind the key."""
    org = request.app[ORGANISATION]
    attributes = {"name": "api", "userType": "machine", "roles": _roles(request)}
    relationships = {"org": related("org", org.id, "orgs")}
    user = {"type": "user", "id": org.around.agent, "attributes": attributes, "relationships": relationships}
    return answer({"data": user})


async def get_token(request: web.Request) -> web.Response:
    """``GET /v1/auth/tokens/current``: the key itself."""
    org = request.app[ORGANISATION]
    attributes = {"type": "machine", "roles": _roles(request), "expiresAt": None}
    relationships = {"org": related("org", org.id, "orgs"), "user": related("user", org.around.agent, "users")}
    token = {"type": "auth_token", "id": org.around.team, "attributes": attributes, "relationships": relationships}
    return answer({"data": token})


async def list_brands(request: web.Request) -> web.Response:
    """``GET /v1/brands``."""
    return page(request, request.app[ORGANISATION].brand_documents())


async def get_metadata(request: web.Request) -> web.Response:
    """``GET /v1/metadata/{resource}``: the organisation's own attributes of a kind of resource."""
    kind = request.match_info["resource"]
    if kind not in CUSTOM:
        raise not_found("resource")
    return answer({"data": [metadata_resource(kind)]})


async def list_webhook_events(request: web.Request) -> web.Response:
    """``GET /v1/outbound-webhooks/events``."""
    del request
    return answer({"events": list(EVENTS)})


async def list_webhooks(request: web.Request) -> web.Response:
    """``GET /v1/outbound-webhooks``."""
    return page(request, [hook.document() for hook in request.app[REGISTRY].webhooks.values()])


async def create_webhook(request: web.Request) -> web.Response:
    """``POST /v1/outbound-webhooks``: the answer holds the token that signs the deliveries."""
    org = request.app[ORGANISATION]
    hook = request.app[REGISTRY].add(org.new_id(), await json_object(request), now=org.now())
    return answer({"data": hook.document()}, status=201)


def _webhook(request: web.Request) -> Webhook:
    hook = request.app[REGISTRY].webhooks.get(request.match_info["id"])
    if hook is None:
        raise not_found("id")
    return hook


async def get_webhook(request: web.Request) -> web.Response:
    """``GET /v1/outbound-webhooks/{id}``."""
    return answer({"data": _webhook(request).document()})


async def update_webhook(request: web.Request) -> web.Response:
    """``PUT /v1/outbound-webhooks/{id}``: switched on or off, or changed; what was lost stays lost."""
    hook = _webhook(request)
    request.app[REGISTRY].update(hook, await json_object(request))
    return answer({"data": hook.document()})


async def delete_webhook(request: web.Request) -> web.Response:
    """``DELETE /v1/outbound-webhooks/{id}``."""
    del request.app[REGISTRY].webhooks[_webhook(request).id]
    return web.Response(status=204)


OPERATIONS = (
    Operation("GET", "/v1/orgs/current", None, get_organisation),
    Operation("GET", "/v1/users/current", None, get_user),
    Operation("GET", "/v1/auth/tokens/current", None, get_token),
    Operation("GET", "/v1/brands", "brand.read", list_brands),
    Operation("GET", "/v1/metadata/{resource}", "metadata.read", get_metadata),
    Operation("GET", "/v1/outbound-webhooks/events", "outbound_webhook.read", list_webhook_events),
    Operation("GET", "/v1/outbound-webhooks", "outbound_webhook.read", list_webhooks),
    Operation("POST", "/v1/outbound-webhooks", "outbound_webhook.create", create_webhook),
    Operation("GET", "/v1/outbound-webhooks/{id}", "outbound_webhook.read", get_webhook),
    Operation("PUT", "/v1/outbound-webhooks/{id}", "outbound_webhook.update", update_webhook),
    Operation("DELETE", "/v1/outbound-webhooks/{id}", "outbound_webhook.delete", delete_webhook),
)
