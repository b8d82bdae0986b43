"""The card: a static page without data, and the data, which only Kustomer's servers can request.

The page runs the app's command. Kustomer adds the card's secret on its side and calls this service, so the secret never
reaches a browser (developer.kustomer.com/kustomer-apps-platform/docs/commands).
"""

import re
from pathlib import Path
from typing import Any

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from kustomer_klaviyo.card.card_service import CardService, too_many_requests
from kustomer_klaviyo.connections.context import ConnectionContext
from kustomer_klaviyo.connections.registry import ConnectionRegistry

STATIC = Path(__file__).parents[1] / "static"
ASSETS = {
    "card.js": "text/javascript; charset=utf-8",
    "card.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
CUSTOMER = re.compile(r"[0-9a-f]{24}\Z")
BASE_POLICY = "default-src 'none'; img-src data:; worker-src 'none'; base-uri 'none'; form-action 'none'"
SANDBOX = "sandbox allow-scripts allow-popups allow-popups-to-escape-sandbox"
"""The page runs in its own origin, which shares nothing with the console. Its links open as usual."""

CROSS_ORIGIN = {"Cross-Origin-Resource-Policy": "cross-origin"}
"""The page and its assets are loaded from another origin: the page's own, or Kustomer's."""
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Klaviyo</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="assets/card.css">
<script src="{sdk}"></script>
<script src="assets/card.js" defer></script>
</head>
<body><main id="card" aria-live="polite"><p class="message">Loading from Klaviyo ...</p></main></body>
</html>
"""


def card_routes(service: CardService, registry: ConnectionRegistry) -> list[HTTPRouteHandler]:
    """Return the routes of ``/card/...``: the hosted page with its assets, and the data."""

    @get("/card/{connection:str}", sync_to_thread=False)
    def page(connection: FromPath[str]) -> Response[str]:
        context = registry.get(connection)
        sdk = "about:blank" if context is None else context.options.cards_sdk_url
        return Response(PAGE.format(sdk=sdk), media_type="text/html; charset=utf-8", headers=page_headers(context))

    @get("/card/assets/{name:str}", sync_to_thread=False)
    def asset(name: FromPath[str]) -> Response[bytes]:
        if name not in ASSETS:
            return Response(b"Not found.", status_code=404, media_type="text/plain")
        headers = {"Cache-Control": "public, max-age=300", **CROSS_ORIGIN}
        return Response((STATIC / name).read_bytes(), media_type=ASSETS[name], headers=headers)

    @post("/card/{connection:str}/customers/{customer:str}", status_code=200)
    async def data(
        request: Request[Any, Any, Any], connection: FromPath[str], customer: FromPath[str]
    ) -> Response[Any]:
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        context = service.authenticate(connection, secret.strip() if scheme.lower() == "bearer" else "")
        if context is None:
            return _error(401, "Unknown connection, or wrong card secret.")
        if CUSTOMER.match(customer) is None:
            return _error(400, "A customer id has 24 hexadecimal digits.")
        is_limited = service.exceeds_limit(context, customer)
        card = too_many_requests(context) if is_limited else await service.open(context, customer)
        return _json(200, {"customer": customer, "card": card})

    return [page, asset, data]


def page_headers(context: ConnectionContext | None) -> dict[str, str]:
    """Return the headers of the hosted page. Only the organisation's own Kustomer may frame it."""
    sdk, ancestors = "", "'none'"
    if context is not None:
        origin = re.match(r"https?://[^/]+", context.options.cards_sdk_url)
        sdk = origin.group() if origin else ""
        ancestors = context.options.kustomer_app_url.replace("{org}", context.connection.organisation)
    policy = f"{BASE_POLICY}; script-src 'self' {sdk}; style-src 'self'; frame-ancestors {ancestors}"
    if context is not None and not context.options.card_sandbox:
        return {"Content-Security-Policy": policy, **CROSS_ORIGIN}
    # A sandboxed page may not have an opener policy, and needs none.
    return {
        "Content-Security-Policy": f"{policy}; {SANDBOX}",
        "Cross-Origin-Opener-Policy": "unsafe-none",
        **CROSS_ORIGIN,
    }


def _error(status: int, text: str) -> Response[Any]:
    return _json(status, {"error": text})


def _json(status: int, content: Any) -> Response[Any]:
    return Response(content, status_code=status)
