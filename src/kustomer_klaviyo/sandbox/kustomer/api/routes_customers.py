"""API operations on customers: read, write, merge, search.

Rules: developer.kustomer.com/api
"""

from collections.abc import Callable

from aiohttp import web

from kustomer_klaviyo.sandbox.kustomer.api.operation import Operation
from kustomer_klaviyo.sandbox.kustomer.api.organisation_state import ORGANISATION, not_deleted, visible
from kustomer_klaviyo.sandbox.kustomer.api.request_bodies import parse_customer
from kustomer_klaviyo.sandbox.kustomer.api.search import search
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.model.merging import merge
from kustomer_klaviyo.sandbox.kustomer.model.organisation import ContactConflict
from kustomer_klaviyo.sandbox.kustomer.responses import (
    KustomerRefusal,
    bad_parameter,
    json_object,
    json_response,
    not_found,
    page_number,
    page_response,
)

MAX_SEARCH_PAGES = 100
MAX_SEARCH_PAGE_SIZE = 500
CONTACT_LISTS = {"email": "emails", "phone": "phones", "externalId": "externalIds"}
"""The identifiers that a customer can be requested by, and the lists that hold them."""


async def post_search(request: web.Request) -> web.Response:
    """``POST /v1/customers/search``; Kustomer links to page 101, but rejects requests for it."""
    org = request.app[ORGANISATION]
    if page_number(request, "page", 1, 100_000) > MAX_SEARCH_PAGES:
        raise bad_parameter("page", f"A search ends after {MAX_SEARCH_PAGES} pages")
    resources = {"customer": org.customers.values(), "conversation": org.conversations.values()}
    results = search(await json_object(request), resources)
    return page_response(request, [visible(request, resource) for resource in results], max_size=MAX_SEARCH_PAGE_SIZE)


async def list_customers(request: web.Request) -> web.Response:
    """``GET /v1/customers``."""
    customers = not_deleted(request.app[ORGANISATION].customers.values())
    return page_response(request, [visible(request, customer) for customer in customers])


async def create_customer(request: web.Request) -> web.Response:
    """``POST /v1/customers``."""
    org, fields = request.app[ORGANISATION], parse_customer(await json_object(request))
    created = check_unique(lambda: org.add_customer(fields))
    return json_response({"data": visible(request, created)}, status=201)


def check_unique(write: Callable[[], Document]) -> Document:
    """Write to a customer. Raises KustomerRefusal (409) when a contact belongs to another customer."""
    try:
        return write()
    except ContactConflict as conflict:
        raise KustomerRefusal(409, "conflict", f"{conflict} must be unique") from conflict


async def get_customer(request: web.Request) -> web.Response:
    """``GET /v1/customers/{id}``, or by ``email=``, ``phone=`` or ``externalId=``."""
    return json_response({"data": visible(request, _customer(request))})


def _customer(request: web.Request) -> Document:
    org, identifier = request.app[ORGANISATION], request.match_info["id"]
    name, has_name, value = identifier.partition("=")
    if has_name and name not in CONTACT_LISTS:
        raise not_found("id")
    customer = org.owner(CONTACT_LISTS[name], value) if has_name else org.customers.get(identifier)
    if customer is None or customer["attributes"]["deleted"]:
        raise not_found(name if has_name else "id")
    return customer


async def update_customer(request: web.Request) -> web.Response:
    """``PUT /v1/customers/{id}``: lists are replaced as a whole."""
    customer, org = _customer(request), request.app[ORGANISATION]
    fields = parse_customer(await json_object(request))
    return json_response({"data": visible(request, check_unique(lambda: org.update(customer, fields)))})


async def delete_customer(request: web.Request) -> web.Response:
    """``DELETE /v1/customers/{id}``."""
    request.app[ORGANISATION].delete(_customer(request))
    return web.Response(status=204)


async def list_conversations_of_customer(request: web.Request) -> web.Response:
    """``GET /v1/customers/{id}/conversations``."""
    customer, org = _customer(request), request.app[ORGANISATION]
    ids = org.conversations_of[customer["id"]]
    conversations = [org.conversations[conversation_id] for conversation_id in ids]
    return page_response(request, not_deleted(conversations))


async def create_merge(request: web.Request) -> web.Response:
    """``POST /v1/customers/merges``: merges the source into the target."""
    body, org = await json_object(request), request.app[ORGANISATION]
    source, target = (org.customers.get(str(body.get(name))) for name in ("source", "target"))
    if source is None or source["attributes"]["deleted"]:
        raise not_found("source")
    if target is None or target["attributes"]["deleted"] or target is source:
        raise not_found("target")
    return json_response({"data": merge(org, source, target)}, status=201)


async def get_merge(request: web.Request) -> web.Response:
    """``GET /v1/customers/merges/{id}``."""
    merges = request.app[ORGANISATION].merges
    record = next((record for record in merges if record["id"] == request.match_info["id"]), None)
    if record is None:
        raise not_found("id")
    return json_response({"data": record})


async def list_merges(request: web.Request) -> web.Response:
    """``GET /v1/customers/{id}/merges``; also for customers that were merged into another."""
    customer_id, org = request.match_info["id"], request.app[ORGANISATION]
    if customer_id not in org.customers:
        raise not_found("id")
    return page_response(request, [record for record in org.merges if customer_id in _merged_ids(record)])


def _merged_ids(record: Document) -> list[str]:
    return [record["relationships"][name]["data"]["id"] for name in ("source", "target")]


OPERATIONS = (
    Operation("POST", "/v1/customers/search", "search.create", post_search),
    Operation("POST", "/v1/customers/merges", "customer_merge.create", create_merge),
    Operation("GET", "/v1/customers/merges/{id}", "customer_merge.read", get_merge),
    Operation("GET", "/v1/customers", "customer.read", list_customers),
    Operation("POST", "/v1/customers", "customer.create", create_customer),
    Operation("GET", "/v1/customers/{id}", "customer.read", get_customer),
    Operation("PUT", "/v1/customers/{id}", "customer.update", update_customer),
    Operation("PATCH", "/v1/customers/{id}", "customer.update", update_customer),
    Operation("DELETE", "/v1/customers/{id}", "customer.delete", delete_customer),
    Operation("GET", "/v1/customers/{id}/conversations", "conversation.read", list_conversations_of_customer),
    Operation("GET", "/v1/customers/{id}/merges", "customer_merge.read", list_merges),
)
