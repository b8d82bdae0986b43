"""API operations on the organisation: current user and token, brands, metadata, outbound webhooks.

Rules: developer.kustomer.com/docs/events/outbound-webhooks
"""

from aiohttp import web

from kustomer_klaviyo.sandbox.kustomer.api.key_roles import check_key
from kustomer_klaviyo.sandbox.kustomer.api.metadata import CUSTOM_ATTRIBUTES, metadata_resource
from kustomer_klaviyo.sandbox.kustomer.api.operation import Operation
from kustomer_klaviyo.sandbox.kustomer.api.organisation_state import OPTIONS, ORGANISATION, REGISTRY
from kustomer_klaviyo.sandbox.kustomer.model.documents import relationship
from kustomer_klaviyo.sandbox.kustomer.model.webhook_registry import EVENTS, OutboundWebhook
from kustomer_klaviyo.sandbox.kustomer.responses import json_object, json_response, not_found, page_response


async def get_organisation(request: web.Request) -> web.Response:
    """``GET /v1/orgs/current``."""
    org = request.app[ORGANISATION]
    return json_response(
        {"data": {"type": "org", "id": org.id, "attributes": {"name": org.name, "displayName": org.name}}}
    )


def _roles(request: web.Request) -> list[str]:
    return sorted(check_key(request.headers["Authorization"], request.app[OPTIONS].api_keys, None))


async def get_user(request: web.Request) -> web.Response:
    """``GET /v1/users/current``: the machine user that the key belongs to."""
    org = request.app[ORGANISATION]
    attributes = {"name": "api", "userType": "machine", "roles": _roles(request)}
    relationships = {"org": relationship("org", org.id, "orgs")}
    user = {"type": "user", "id": org.references.agent, "attributes": attributes, "relationships": relationships}
    return json_response({"data": user})


async def get_token(request: web.Request) -> web.Response:
    """``GET /v1/auth/tokens/current``: the key itself."""
    org = request.app[ORGANISATION]
    attributes = {"type": "machine", "roles": _roles(request), "expiresAt": None}
    relationships = {
        "org": relationship("org", org.id, "orgs"),
        "user": relationship("user", org.references.agent, "users"),
    }
    token = {"type": "auth_token", "id": org.references.team, "attributes": attributes, "relationships": relationships}
    return json_response({"data": token})


async def list_brands(request: web.Request) -> web.Response:
    """``GET /v1/brands``."""
    return page_response(request, request.app[ORGANISATION].brand_documents())


async def get_metadata(request: web.Request) -> web.Response:
    """``GET /v1/metadata/{resource}``: the attribute definitions for a kind of resource."""
    kind = request.match_info["resource"]
    if kind not in CUSTOM_ATTRIBUTES:
        raise not_found("resource")
    return json_response({"data": [metadata_resource(kind)]})


async def list_webhook_events(request: web.Request) -> web.Response:
    """``GET /v1/outbound-webhooks/events``."""
    del request
    return json_response({"events": list(EVENTS)})


async def list_webhooks(request: web.Request) -> web.Response:
    """``GET /v1/outbound-webhooks``."""
    return page_response(request, [webhook.document() for webhook in request.app[REGISTRY].webhooks.values()])


async def create_webhook(request: web.Request) -> web.Response:
    """``POST /v1/outbound-webhooks``: the response has the token that signs deliveries."""
    org = request.app[ORGANISATION]
    webhook = request.app[REGISTRY].add(org.new_id(), await json_object(request), now=org.now())
    return json_response({"data": webhook.document()}, status=201)


def _webhook(request: web.Request) -> OutboundWebhook:
    webhook = request.app[REGISTRY].webhooks.get(request.match_info["id"])
    if webhook is None:
        raise not_found("id")
    return webhook


async def get_webhook(request: web.Request) -> web.Response:
    """``GET /v1/outbound-webhooks/{id}``."""
    return json_response({"data": _webhook(request).document()})


async def update_webhook(request: web.Request) -> web.Response:
    """``PUT /v1/outbound-webhooks/{id}``: events lost while it was disabled are not sent later."""
    webhook = _webhook(request)
    request.app[REGISTRY].update(webhook, await json_object(request))
    return json_response({"data": webhook.document()})


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
