"""Query parameters that lists and resources have in common: sparse fields, includes, pages."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.jsonapi_responses import invalid_parameter

Item = TypeVar("Item")
ADDITIONAL = "additional-fields[profile]"


@dataclass(frozen=True, slots=True)
class Page:
    """A requested page of a list."""

    size: int
    offset: int


def requested_page(request: web.Request, *, default: int, max_size: int) -> Page:
    """Read ``page[size]`` and ``page[cursor]``. Raises KlaviyoRefusal."""
    text = request.query.get("page[size]", str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= max_size):
        raise invalid_parameter(f"Page size must be an integer between 1 and {max_size}.", "page[size]")
    return Page(int(text), _offset(request.query.get("page[cursor]")))


def _offset(cursor: str | None) -> int:
    if not cursor:
        return 0
    try:
        prefix, _, number = base64.urlsafe_b64decode(cursor.encode()).decode().partition("::")
        offset = int(number) if prefix == "next" else -1
    except ValueError:
        offset = -1
    if offset < 0:
        raise invalid_parameter("Invalid page cursor value provided.", "page[cursor]")
    return offset


def requested_includes(request: web.Request) -> list[str]:
    """Return the names in ``include``."""
    return _names(request, "include")


def additional_fields(request: web.Request) -> list[str]:
    """Return the names in ``additional-fields[profile]``."""
    return _names(request, ADDITIONAL)


def requested_extras(request: web.Request) -> list[str]:
    """Return the parts requested in addition to the resource; some have their own rate limit."""
    return requested_includes(request) + additional_fields(request)


def _names(request: web.Request, parameter: str) -> list[str]:
    return [name for name in request.query.get(parameter, "").split(",") if name]


def with_included(
    request: web.Request, content: dict[str, Any], resources: Iterable[dict[str, Any]] = ()
) -> dict[str, Any]:
    """Add the included resources when the request has ``include``. Types that the account never has add nothing."""
    if not requested_includes(request):
        return content
    return content | {"included": [sparse_fields(request, resource) for resource in resources]}


def sparse_fields(request: web.Request, resource: dict[str, Any]) -> dict[str, Any]:
    """Keep the attributes in ``fields[TYPE]``; a name may be a path (``location.city``)."""
    names = request.query.get(f"fields[{resource['type']}]")
    if names is None:
        return resource
    return resource | {"attributes": _picked(resource["attributes"], names.split(","))}


def _picked(attributes: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    picked: dict[str, Any] = {}
    nested: dict[str, list[str]] = {}
    for name in names:
        top, _, rest = name.partition(".")
        if rest:
            nested.setdefault(top, []).append(rest)
        elif name in attributes:
            picked[name] = attributes[name]
    for top, rests in nested.items():
        value = attributes.get(top)
        if top not in picked and isinstance(value, dict):
            picked[top] = _picked(value, rests)
    return picked


def page_of(request: web.Request, items: Sequence[Item], page: Page) -> tuple[Sequence[Item], dict[str, str | None]]:
    """Return the items of a page, and the links to its neighbours."""
    end = page.offset + page.size
    next_offset = end if end < len(items) else None
    previous_offset = max(0, page.offset - page.size) if page.offset else None
    links = {"self": str(request.url), "next": _link(request, next_offset), "prev": _link(request, previous_offset)}
    return items[page.offset : end], links


def _link(request: web.Request, offset: int | None) -> str | None:
    if offset is None:
        return None
    cursor = base64.urlsafe_b64encode(f"next::{offset}".encode()).decode()
    return str(request.url.update_query({"page[cursor]": cursor}))
