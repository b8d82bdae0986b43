"""The card: a static page that knows nothing, and the data, which only Kustomer's own servers can ask for.

The page runs the app's command; Kustomer fills the card's secret in on its side and calls us, so that the secret never
reaches a browser (developer.kustomer.com/kustomer-apps-platform/docs/commands).
"""

import re
from pathlib import Path
from typing import Any

from litestar import Request, Response, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from kustomer_klaviyo.card.card_service import CardDesk, busy
from kustomer_klaviyo.connections.registry import Directory, Joined

STATIC = Path(__file__).parents[1] / "static"
ASSETS = {
    "card.js": "text/javascript; charset=utf-8",
    "card.css": "text/css; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
CUSTOMER = re.compile(r"[0-9a-f]{24}\Z")
ALL_ELSE_FORBIDDEN = "default-src 'none'; img-src data:; worker-src 'none'; base-uri 'none'; form-action 'none'"
SANDBOX = "sandbox allow-scripts allow-popups allow-popups-to-escape-sandbox"
"""The page runs in an origin of its own, which shares nothing with the admins' pages; its links open as usual."""

FRAMED = {"Cross-Origin-Resource-Policy": "cross-origin"}
"""What the page loads is loaded from another origin: from its own, or from Kustomer's."""
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
<body><main id="card" aria-live="polite"><p class="says">Asking Klaviyo ...</p></main></body>
</html>
"""


def card_routes(desk: CardDesk, directory: Directory) -> list[HTTPRouteHandler]:
    """Make ``/card/...``: the hosted page with its assets, and the data."""

    @get("/card/{connection:str}", sync_to_thread=False)
    def page(connection: FromPath[str]) -> Response[str]:
        joined = directory.get(connection)
        sdk = "about:blank" if joined is None else joined.options.cards_sdk
        return Response(PAGE.format(sdk=sdk), media_type="text/html; charset=utf-8", headers=page_headers(joined))

    @get("/card/assets/{name:str}", sync_to_thread=False)
    def asset(name: FromPath[str]) -> Response[bytes]:
        if name not in ASSETS:
            return Response(b"no such file", status_code=404, media_type="text/plain")
        headers = {"Cache-Control": "public, max-age=300", **FRAMED}
        return Response((STATIC / name).read_bytes(), media_type=ASSETS[name], headers=headers)

    @post("/card/{connection:str}/customers/{customer:str}", status_code=200)
    async def data(
        request: Request[Any, Any, Any], connection: FromPath[str], customer: FromPath[str]
    ) -> Response[Any]:
        scheme, _, secret = request.headers.get("authorization", "").partition(" ")
        joined = desk.admit(connection, secret.strip() if scheme.lower() == "bearer" else "")
        if joined is None:
            return _said(401, "no such connection, or this is not its card's secret")
        if CUSTOMER.match(customer) is None:
            return _said(400, "a customer's id has 24 hexadecimal digits")
        card = busy(joined) if desk.is_too_often(joined, customer) else await desk.open(joined, customer)
        return _json(200, {"customer": customer, "card": card})

    return [page, asset, data]


def page_headers(joined: Joined | None) -> dict[str, str]:
    """Return the headers of the hosted page: only the organisation's own Kustomer may frame it."""
    sdk, ancestors = "", "'none'"
    if joined is not None:
        origin = re.match(r"https?://[^/]+", joined.options.cards_sdk)
        sdk = origin.group() if origin else ""
        ancestors = joined.options.agents_at.replace("{org}", joined.connection.organisation)
    policy = f"{ALL_ELSE_FORBIDDEN}; script-src 'self' {sdk}; style-src 'self'; frame-ancestors {ancestors}"
    if joined is not None and not joined.options.card_sandbox:
        return {"Content-Security-Policy": policy, **FRAMED}
    # A page with a sandbox of its own may not have an opener policy, and needs none.
    return {
        "Content-Security-Policy": f"{policy}; {SANDBOX}",
        "Cross-Origin-Opener-Policy": "unsafe-none",
        **FRAMED,
    }


def _said(status: int, text: str) -> Response[Any]:
    return _json(status, {"error": text})


def _json(status: int, content: Any) -> Response[Any]:
    return Response(content, status_code=status)
