"""Renders pages, with the headers that every page has."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Request, Response

from kustomer_klaviyo import __version__

Asked = Request[Any, Any, Any]

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

_templates = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(request: Asked, template: str, *, status: int = 200, **content: Any) -> Response[str]:
    """Render a page for whoever asks for it, below what they must know on every page."""
    visitor, alerts = request.state.get("visitor"), request.state.get("alerts", [])
    text = _templates.get_template(template).render(visitor=visitor, alerts=alerts, version=__version__, **content)
    return Response(text, status_code=status, media_type="text/html; charset=utf-8", headers=HEADERS)
