"""How answers of the simulated API are wrapped: documents, refusals in both of the vendor's shapes, and pages.

Rules: developer.kustomer.com/api
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web

from kustomer_klaviyo.sandbox.kustomer.model.documents import Document

LARGEST_PAGE = 100


class Refusal(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, code: str, title: str, *, parameter: str | None = None, detail: str = "") -> None:
        super().__init__(title)
        self.status = status
        self.error = _error(status, code, title, parameter=parameter, detail=detail)


def _error(status: int, code: str, title: str, *, parameter: str | None, detail: str) -> Document:
    """Write an error as the vendor does: one shape where a parameter is to blame, another elsewhere."""
    if parameter is None:
        return {"code": code, "message": f"{title}: {detail}" if detail else title, "meta": {}}
    located: Document = {"status": status, "source": {"parameter": parameter}, "code": code, "title": title}
    return located | ({"detail": detail} if detail else {})


def not_found(parameter: str) -> Refusal:
    """Make the refusal of something that is not there."""
    return Refusal(404, "notfound", "Not Found", parameter=parameter)


def bad(parameter: str, detail: str) -> Refusal:
    """Make the refusal of a parameter."""
    return Refusal(400, "badparam", "Bad Parameter", parameter=parameter, detail=detail)


def refuse(refusal: Refusal) -> web.Response:
    """Answer with the error envelope."""
    return answer({"errors": [refusal.error]}, status=refusal.status)


def answer(content: Any, *, status: int = 200) -> web.Response:
    """Answer with JSON."""
    return web.Response(
        status=status, body=msgspec.json.encode(content), content_type="application/json", charset="utf-8"
    )


async def json_object(request: web.Request) -> Document:
    """Return the request's JSON object. Raises Refusal."""
    try:
        found = msgspec.json.decode(await request.read())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(400, "badjson", "Invalid JSON", detail=str(error)) from error
    if not isinstance(found, dict):
        raise Refusal(400, "badparam", "The body must be an object")
    return found


def page(request: web.Request, items: Sequence[Document], *, most: int = LARGEST_PAGE) -> web.Response:
    """Answer with one page of a list; ``links.next`` is null on the last one. Raises Refusal."""
    number = page_number(request, "page", 1, 100_000)
    size = page_number(request, "pageSize", LARGEST_PAGE, most)
    following = _link(request, number + 1) if number * size < len(items) else None
    return answer(
        {
            "data": items[(number - 1) * size : number * size],
            "meta": {"page": number, "pageSize": size, "total": len(items), "totalPages": -(-len(items) // size)},
            "links": {"self": str(request.rel_url), "first": _link(request, 1), "next": following},
        }
    )


def page_number(request: web.Request, name: str, default: int, most: int) -> int:
    """Return a number of the query. Raises Refusal."""
    text = request.query.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= most:
        raise bad(name, f"{name} must be a number from 1 to {most}")
    return int(text)


def _link(request: web.Request, number: int) -> str:
    return str(request.rel_url.update_query(page=str(number)))
