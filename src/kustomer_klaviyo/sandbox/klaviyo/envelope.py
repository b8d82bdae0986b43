"""Answers in Klaviyo's form: JSON:API documents and error envelopes.

Errors: developers.klaviyo.com/en/docs/rate_limits_and_error_handling
"""

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec
from aiohttp import web

MEDIA_TYPE = "application/vnd.api+json"


class Refusal(Exception):
    """A request that is answered with an error envelope."""

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
        self.more: list[dict[str, Any]] = []
        """Further errors of the same answer."""
        source = {"parameter": parameter} if parameter is not None else {"pointer": pointer or "/data/"}
        self.error = {"status": status, "code": code, "title": title, "detail": detail, "source": source}
        if status not in (401, 403):
            self.error |= {"links": {}, "meta": dict(meta or {})}


def invalid(detail: str, pointer: str) -> Refusal:
    """Make the refusal of a request body."""
    return Refusal(400, "invalid", "Invalid input.", detail, pointer=pointer)


def invalid_parameter(detail: str, parameter: str) -> Refusal:
    """Make the refusal of a query parameter."""
    return Refusal(400, "invalid", "Invalid input.", detail, parameter=parameter)


def not_found(detail: str) -> Refusal:
    """Make the refusal of something that is not there."""
    return Refusal(404, "not_found", "Not found.", detail, pointer="/data/")


def new_request_id() -> str:
    """Return the name of one request, the same in its header and its errors."""
    return str(uuid.uuid4())


def refuse(refusal: Refusal, request_id: str) -> web.Response:
    """Answer with the error envelope, named as the request."""
    headers = refusal.headers | {"X-Klaviyo-Req-Id": request_id}
    errors = [{"id": request_id} | one for one in (refusal.error, *refusal.more)]
    body = msgspec.json.encode({"errors": errors})
    return web.Response(status=refusal.status, body=body, content_type=MEDIA_TYPE, headers=headers)


def document(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """Answer with a JSON:API document."""
    return web.Response(status=status, body=msgspec.json.encode(content), content_type=MEDIA_TYPE, headers=headers)
