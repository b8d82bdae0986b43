"""Renders pages, with the headers that every page has."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Response

from kustomer_klaviyo import __version__
from kustomer_klaviyo.store.accounts import Visitor

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


def page(
    template: str, *, visitor: Visitor | None, status: int = 200, alerts: list[str] | None = None, **content: Any
) -> Response[str]:
    """Render a page. ``alerts`` are what an admin must know on every page."""
    text = _templates.get_template(template).render(
        visitor=visitor, alerts=alerts or [], version=__version__, **content
    )
    return Response(text, status_code=status, media_type="text/html; charset=utf-8", headers=HEADERS)
