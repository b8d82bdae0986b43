"""Responses of the simulated API: documents, pages, and errors in both of the vendor's shapes.

Rules: developer.kustomer.com/api
"""

from collections.abc import Sequence
from typing import Any

import msgspec
from aiohttp import web

from kustomer_klaviyo.sandbox.kustomer.model.documents import Document

MAX_PAGE_SIZE = 100


class KustomerRefusal(Exception):
    """A request that gets an error response."""

    def __init__(self, status: int, code: str, title: str, *, parameter: str | None = None, detail: str = "") -> None:
        super().__init__(title)
        self.status = status
        self.error = _error(status, code, title, parameter=parameter, detail=detail)


def _error(status: int, code: str, title: str, *, parameter: str | None, detail: str) -> Document:
    """Make an error in the vendor's shape: an error about a parameter has another shape than the rest."""
    if parameter is None:
        return {"code": code, "message": f"{title}: {detail}" if detail else title, "meta": {}}
    error: Document = {"status": status, "source": {"parameter": parameter}, "code": code, "title": title}
    return error | ({"detail": detail} if detail else {})


def not_found(parameter: str) -> KustomerRefusal:
    """Make a 404 for a resource that does not exist."""
    return KustomerRefusal(404, "notfound", "Not Found", parameter=parameter)


def bad_parameter(parameter: str, detail: str) -> KustomerRefusal:
    """Make a 400 for a parameter."""
    return KustomerRefusal(400, "badparam", "Bad Parameter", parameter=parameter, detail=detail)


def error_response(refusal: KustomerRefusal) -> web.Response:
    """Respond with the error envelope."""
    return json_response({"errors": [refusal.error]}, status=refusal.status)


def json_response(content: Any, *, status: int = 200) -> web.Response:
    """Respond with JSON."""
    return web.Response(
        status=status, body=msgspec.json.encode(content), content_type="application/json", charset="utf-8"
    )


async def json_object(request: web.Request) -> Document:
    """Return the request's JSON object. Raises KustomerRefusal."""
    try:
        body = msgspec.json.decode(await request.read())
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise KustomerRefusal(400, "badjson", "Invalid JSON", detail=str(error)) from error
    if not isinstance(body, dict):
        raise KustomerRefusal(400, "badparam", "The body must be an object")
    return body


def page_response(request: web.Request, items: Sequence[Document], *, max_size: int = MAX_PAGE_SIZE) -> web.Response:
    """Respond with one page of a list; ``links.next`` is null on the last page. Raises KustomerRefusal."""
    number = page_number(request, "page", 1, 100_000)
    size = page_number(request, "pageSize", MAX_PAGE_SIZE, max_size)
    next_link = _link(request, number + 1) if number * size < len(items) else None
    return json_response(
        {
            "data": items[(number - 1) * size : number * size],
            "meta": {"page": number, "pageSize": size, "total": len(items), "totalPages": -(-len(items) // size)},
            "links": {"self": str(request.rel_url), "first": _link(request, 1), "next": next_link},
        }
    )


def page_number(request: web.Request, name: str, default: int, maximum: int) -> int:
    """Return a number from the query. Raises KustomerRefusal."""
    text = request.query.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= maximum:
        raise bad_parameter(name, f"{name} must be a number from 1 to {maximum}")
    return int(text)


def _link(request: web.Request, number: int) -> str:
    return str(request.rel_url.update_query(page=str(number)))
