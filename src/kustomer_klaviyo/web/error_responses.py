"""What a client is told when a request fails, and what the log is told when that is our fault.

An error is a page for a browser and problem+json (RFC 9457) for a program, with the request's id in both.
"""

import http
from typing import Any

import msgspec
import structlog
from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ExceptionHandlersMap, Scope
from prometheus_client import CollectorRegistry, Counter

from kustomer_klaviyo.store.database import UNREACHABLE
from kustomer_klaviyo.web.console.pages import HEADERS, Asked, render

log = structlog.get_logger()

PAGE, PROBLEM = "text/html; charset=utf-8", "application/problem+json; charset=utf-8"
EXPLAINED = {
    404: "There is nothing at this address (any more).",
    405: "This address does not take such a request.",
    413: "What was sent is too large for this address.",
    500: "Something went wrong in this service. Its log says what, under the id of this request.",
    503: "The database is away. Try again in a moment.",
}


class Faults:
    """Tells of every fault of ours: a line in the log with its traceback, and a number in /metrics."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._counter = Counter(
            "kustomer_klaviyo_request_failures", "Requests answered 500, by route.", ["route"], registry=registry
        )

    def tell(self, scope: Scope, error: BaseException) -> None:
        """Log and count a fault. The route is named, not the path: a path may hold a one-time link."""
        route = _route(scope)
        self._counter.labels(route).inc()
        method = scope.get("method")
        log.error("request.failed", request_id=request_id(scope), method=method, route=route, exc_info=error)

    def handlers(self) -> ExceptionHandlersMap:
        """Make Litestar's handlers: of what it raises itself, and of everything else."""

        def refused(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
            if error.status_code >= 500:
                return failed(request, error)
            detail = None if error.status_code in EXPLAINED else error.detail
            return explain(request, error.status_code, detail, headers=error.headers)

        def failed(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
            if isinstance(error, UNREACHABLE):
                log.warning("request.database_away", request_id=request_id(request.scope), error=type(error).__name__)
                return explain(request, 503, headers={"Retry-After": "5"})
            self.tell(request.scope, error)
            return explain(request, 500)

        return {HTTPException: refused, Exception: failed}


def _route(scope: Scope) -> str:
    handler: Any = scope.get("route_handler")
    return str(scope.get("path_template") or (min(handler.paths) if handler is not None else "none"))


def request_id(scope: Scope) -> str:
    """Return the id that the request was given when it came in."""
    return str(scope["state"].get("request_id", ""))


def explain(
    request: Asked, status: int, detail: str | None = None, *, headers: dict[str, str] | None = None
) -> Response[bytes]:
    """Make the answer to a request that fails."""
    kind, body = described(request.scope, status, detail)
    return Response(body, status_code=status, headers={"Content-Type": kind, **policy_of(kind), **(headers or {})})


def policy_of(kind: str) -> dict[str, str]:
    """Return what a page needs to show itself; other answers show nothing."""
    return HEADERS if kind == PAGE else {}


def described(scope: Scope, status: int, detail: str | None = None) -> tuple[str, bytes]:
    """Return type and body of the answer to a request that fails: a page where one is asked for."""
    title, number = http.HTTPStatus(status).phrase, request_id(scope)
    said = detail or EXPLAINED.get(status, f"{title}.")
    if any(name == b"accept" and b"text/html" in value for name, value in scope["headers"]):
        page = render("error.html", visitor=None, alerts=[], status=status, title=title, text=said, request_id=number)
        return PAGE, page.encode()
    problem = {"type": "about:blank", "title": title, "status": status, "detail": said, "request_id": number}
    return PROBLEM, msgspec.json.encode(problem)
