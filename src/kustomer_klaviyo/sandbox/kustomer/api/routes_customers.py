"""The simulated API's operations on customers: reading, writing, merging, searching.

Rules: developer.kustomer.com/api
"""

from collections.abc import Callable

from aiohttp import web

from kustomer_klaviyo.sandbox.kustomer.api.operation import ORGANISATION, Operation, present, shown
from kustomer_klaviyo.sandbox.kustomer.api.request_bodies import given_customer
from kustomer_klaviyo.sandbox.kustomer.api.search import search
from kustomer_klaviyo.sandbox.kustomer.envelope import Refusal, answer, bad, json_object, not_found, page, page_number
from kustomer_klaviyo.sandbox.kustomer.model.documents import Document
from kustomer_klaviyo.sandbox.kustomer.model.merging import merge
from kustomer_klaviyo.sandbox.kustomer.model.organisation import Conflict

MOST_SEARCH_PAGES = 100
LARGEST_SEARCH_PAGE = 500
OWNERS = {"email": "emails", "phone": "phones", "externalId": "externalIds"}
"""By what a customer can be asked for, and the list in which it stands."""


async def post_search(request: web.Request) -> web.Response:
    """``POST /v1/customers/search``: it offers a page 101, and refuses it."""
    org = request.app[ORGANISATION]
    if page_number(request, "page", 1, 100_000) > MOST_SEARCH_PAGES:
        raise bad("page", f"A search ends after {MOST_SEARCH_PAGES} pages")
    held = {"customer": org.customers.values(), "conversation": org.conversations.values()}
    found = search(await json_object(request), held)
    return page(request, [shown(request, one) for one in found], most=LARGEST_SEARCH_PAGE)


async def list_customers(request: web.Request) -> web.Response:
    """``GET /v1/customers``."""
    return page(request, [shown(request, one) for one in present(request.app[ORGANISATION].customers)])


async def create_customer(request: web.Request) -> web.Response:
    """``POST /v1/customers``."""
    org, given = request.app[ORGANISATION], given_customer(await json_object(request))
    created = unique(lambda: org.add_customer(given))
    return answer({"data": shown(request, created)}, status=201)


def unique(write: Callable[[], Document]) -> Document:
    """Write to a customer. Raises Refusal (409) where a contact belongs to another."""
    try:
        return write()
    except Conflict as conflict:
        raise Refusal(409, "conflict", f"{conflict} must be unique") from conflict


async def get_customer(request: web.Request) -> web.Response:
    """``GET /v1/customers/{id}``, also by ``email=``, ``phone=`` or ``externalId=``."""
    return answer({"data": shown(request, _customer(request))})


def _customer(request: web.Request) -> Document:
    org, wanted = request.app[ORGANISATION], request.match_info["id"]
    name, is_named, value = wanted.partition("=")
    if is_named and name not in OWNERS:
        raise not_found("id")
    found = org.owner(OWNERS[name], value) if is_named else org.customers.get(wanted)
    if found is None or found["attributes"]["deleted"]:
        raise not_found(name if is_named else "id")
    return found


async def update_customer(request: web.Request) -> web.Response:
    """``PUT /v1/customers/{id}``: lists are replaced as a whole."""
    customer, org = _customer(request), request.app[ORGANISATION]
    given = given_customer(await json_object(request))
    return answer({"data": shown(request, unique(lambda: org.change(customer, given)))})


async def delete_customer(request: web.Request) -> web.Response:
    """``DELETE /v1/customers/{id}``."""
    request.app[ORGANISATION].delete(_customer(request))
    return web.Response(status=204)


async def list_conversations_of_customer(request: web.Request) -> web.Response:
    """``GET /v1/customers/{id}/conversations``."""
    customer, org = _customer(request), request.app[ORGANISATION]
    owned = [org.conversations[one] for one in org.conversations_of[customer["id"]]]
    return page(request, [one for one in owned if not one["attributes"].get("deleted")])


async def create_merge(request: web.Request) -> web.Response:
    """``POST /v1/customers/merges``: the source ends in the target."""
    body, org = await json_object(request), request.app[ORGANISATION]
    source, target = (org.customers.get(str(body.get(name))) for name in ("source", "target"))
    if source is None or source["attributes"]["deleted"]:
        raise not_found("source")
    if target is None or target["attributes"]["deleted"] or target is source:
        raise not_found("target")
    return answer({"data": merge(org, source, target)}, status=201)


async def get_merge(request: web.Request) -> web.Response:
    """``GET /v1/customers/merges/{id}``."""
    merges = request.app[ORGANISATION].merges
    found = next((one for one in merges if one["id"] == request.match_info["id"]), None)
    if found is None:
        raise not_found("id")
    return answer({"data": found})


async def list_merges(request: web.Request) -> web.Response:
    """``GET /v1/customers/{id}/merges``, of merged customers too."""
    wanted, org = request.match_info["id"], request.app[ORGANISATION]
    if wanted not in org.customers:
        raise not_found("id")
    return page(request, [one for one in org.merges if wanted in _ends(one)])


def _ends(record: Document) -> list[str]:
    return [record["relationships"][end]["data"]["id"] for end in ("source", "target")]


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
