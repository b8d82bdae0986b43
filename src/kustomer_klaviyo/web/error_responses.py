"""Error responses: a page for browsers, problem+json (RFC 9457) for other clients, both with the request id."""

import http
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap, Scope
from prometheus_client import CollectorRegistry, Counter

from kustomer_klaviyo.store.database import UNAVAILABLE_ERRORS
from kustomer_klaviyo.web.console.rendering import PAGE_HEADERS, PageRequest, render

log = structlog.get_logger()

HTML, PROBLEM_JSON = "text/html; charset=utf-8", "application/problem+json; charset=utf-8"
ERROR_MESSAGES = {
    404: "There is nothing at this address.",
    405: "This address does not support the method of the request.",
    413: "The request is too large for this address.",
    500: "An internal error occurred. The log of this service describes it under the id of this request.",
    503: "The database is unavailable. Try again in a moment.",
}


class ErrorReporter:
    """Reports every internal error in the log, with its traceback, and in /metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counter = Counter(
            "kustomer_klaviyo_request_failures", "Requests answered 500, by route.", ["route"], registry=registry
        )

    def report(self, scope: Scope, error: BaseException) -> None:
        """Log and count an error, with the route instead of the path: a path may contain a one-time link."""
        route = _route_of(scope)
        self._counter.labels(route).inc()
        method = scope.get("method")
        log.error("request.failed", request_id=request_id(scope), method=method, route=route, exc_info=error)

    def handlers(self) -> ExceptionHandlersMap:
        """Return the exception handlers of the application."""
        return {HTTPException: self._handle_http_error, Exception: self._handle_error}

    def _handle_http_error(self, request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
        if error.status_code >= 500:
            return self._handle_error(request, error)
        detail = None if error.status_code in ERROR_MESSAGES else error.detail
        return error_response(request, error.status_code, detail, headers=error.headers)

    def _handle_error(self, request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
        if isinstance(error, UNAVAILABLE_ERRORS):
            fields = {"request_id": request_id(request.scope), "error": type(error).__name__}
            log.warning("database.unavailable", where="web", **fields)
            return error_response(request, 503, headers={"Retry-After": "5"})
        self.report(request.scope, error)
        return error_response(request, 500)


def _route_of(scope: Scope) -> str:
    handler: Any = scope.get("route_handler")
    return str(scope.get("path_template") or (min(handler.paths) if handler is not None else "none"))


def request_id(scope: Scope) -> str:
    """Return the id that ``RequestMiddleware`` gave the request."""
    return str(scope["state"].get("request_id", ""))


def error_response(
    request: PageRequest, status: int, detail: str | None = None, *, headers: dict[str, str] | None = None
) -> Response[bytes]:
    """Return the response to a failed request."""
    content_type, body = error_body(request.scope, status, detail)
    all_headers = {"Content-Type": content_type, **page_policy(content_type), **(headers or {})}
    return Response(body, status_code=status, headers=all_headers)


def page_policy(content_type: str) -> dict[str, str]:
    """Return the headers that a page needs; other responses have the stricter default."""
    return PAGE_HEADERS if content_type == HTML else {}


def error_body(scope: Scope, status: int, detail: str | None = None) -> tuple[str, bytes]:
    """Return the content type and body of an error response: a page if the client accepts HTML."""
    title, error_id = http.HTTPStatus(status).phrase, request_id(scope)
    text = detail or ERROR_MESSAGES.get(status, f"{title}.")
    if any(name == b"accept" and b"text/html" in value for name, value in scope["headers"]):
        return HTML, render("error.html", status=status, title=title, text=text, request_id=error_id).encode()
    problem = {"type": "about:blank", "title": title, "status": status, "detail": text, "request_id": error_id}
    return PROBLEM_JSON, msgspec.json.encode(problem)
