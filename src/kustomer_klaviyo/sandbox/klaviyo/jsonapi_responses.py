"""Responses in Klaviyo's format: JSON:API documents and errors.

Errors: developers.klaviyo.com/en/docs/rate_limits_and_error_handling
"""

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

MEDIA_TYPE = "application/vnd.api+json"


class KlaviyoRefusal(Exception):
    """A request that gets an error response."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str,
        *,
        pointer: str | None = None,
        parameter: str | None = None,
        meta: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = dict(headers or {})
        self.further: list[dict[str, Any]] = []
        """Further errors of the same response."""
        source = {"parameter": parameter} if parameter is not None else {"pointer": pointer or "/data/"}
        self.error = {"status": status, "code": code, "title": title, "detail": detail, "source": source}
        if status not in (401, 403):
            self.error |= {"links": {}, "meta": dict(meta or {})}


def invalid(detail: str, pointer: str) -> KlaviyoRefusal:
    """Make a 400 for a request body."""
    return KlaviyoRefusal(400, "invalid", "Invalid input.", detail, pointer=pointer)


def invalid_parameter(detail: str, parameter: str) -> KlaviyoRefusal:
    """Make a 400 for a query parameter."""
    return KlaviyoRefusal(400, "invalid", "Invalid input.", detail, parameter=parameter)


def not_found(detail: str) -> KlaviyoRefusal:
    """Make a 404 for a resource that does not exist."""
    return KlaviyoRefusal(404, "not_found", "Not found.", detail, pointer="/data/")


def new_request_id() -> str:
    """Return the id of a request, used in its header and its errors."""
    return str(uuid.uuid4())


def error_response(refusal: KlaviyoRefusal, request_id: str) -> web.Response:
    """Respond with the error envelope; its errors have the id of the request."""
    headers = refusal.headers | {"X-Klaviyo-Req-Id": request_id}
    errors = [{"id": request_id} | error for error in (refusal.error, *refusal.further)]
    body = msgspec.json.encode({"errors": errors})
    return web.Response(status=refusal.status, body=body, content_type=MEDIA_TYPE, headers=headers)


def document_response(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Respond with a JSON:API document."""
    return web.Response(status=status, body=msgspec.json.encode(content), content_type=MEDIA_TYPE, headers=headers)
