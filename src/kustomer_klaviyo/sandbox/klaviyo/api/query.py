"""Query parameters that every list and resource has: sparse fields, includes, cursors."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from aiohttp import web

from kustomer_klaviyo.sandbox.klaviyo.envelope import invalid_parameter

Item = TypeVar("Item")
ADDITIONAL = "additional-fields[profile]"


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is asked for."""

    size: int
    offset: int


def page(request: web.Request, *, default: int, most: int) -> Page:
    """Read ``page[size]`` and ``page[cursor]``. Raises Refusal."""
    text = request.query.get("page[size]", str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= most):
        raise invalid_parameter(f"Page size must be an integer between 1 and {most}.", "page[size]")
    return Page(int(text), _offset(request.query.get("page[cursor]")))


def _offset(cursor: str | None) -> int:
    if not cursor:
        return 0
    try:
        word, _, number = base64.urlsafe_b64decode(cursor.encode()).decode().partition("::")
        offset = int(number) if word == "next" else -1
    except ValueError:
        offset = -1
    if offset < 0:
        raise invalid_parameter("Invalid page cursor value provided.", "page[cursor]")
    return offset


def included(request: web.Request) -> list[str]:
    """Return the names in ``include``."""
    return _names(request, "include")


def additional(request: web.Request) -> list[str]:
    """Return the names in ``additional-fields[profile]``."""
    return _names(request, ADDITIONAL)


def extras(request: web.Request) -> list[str]:
    """Return what was asked for besides the resource itself; some of it is limited on its own."""
    return included(request) + additional(request)


def _names(request: web.Request, parameter: str) -> list[str]:
    return [name for name in request.query.get(parameter, "").split(",") if name]


def with_included(request: web.Request, answer: dict[str, Any], found: Iterable[dict[str, Any]] = ()) -> dict[str, Any]:
    """Add the neighbours that were asked for. What the account has none of, such as tags, adds nothing."""
    return answer | {"included": [sparse(request, one) for one in found]} if included(request) else answer


def sparse(request: web.Request, resource: dict[str, Any]) -> dict[str, Any]:
    """Keep the attributes that ``fields[TYPE]`` asks for, whole or in part (``location.city``)."""
    wanted = request.query.get(f"fields[{resource['type']}]")
    if wanted is None:
        return resource
    return resource | {"attributes": _picked(resource["attributes"], wanted.split(","))}


def _picked(attributes: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    picked: dict[str, Any] = {}
    below: dict[str, list[str]] = {}
    for name in names:
        top, _, rest = name.partition(".")
        if rest:
            below.setdefault(top, []).append(rest)
        elif name in attributes:
            picked[name] = attributes[name]
    for top, rests in below.items():
        held = attributes.get(top)
        if top not in picked and isinstance(held, dict):
            picked[top] = _picked(held, rests)
    return picked


def listed(request: web.Request, items: Sequence[Item], at: Page) -> tuple[Sequence[Item], dict[str, str | None]]:
    """Return the part asked for and the links to the others."""
    part = items[at.offset : at.offset + at.size]
    following = at.offset + at.size if at.offset + at.size < len(items) else None
    before = max(0, at.offset - at.size) if at.offset else None
    return part, {"self": str(request.url), "next": _link(request, following), "prev": _link(request, before)}


def _link(request: web.Request, offset: int | None) -> str | None:
    if offset is None:
        return None
    cursor = base64.urlsafe_b64encode(f"next::{offset}".encode()).decode()
    return str(request.url.update_query({"page[cursor]": cursor}))
