"""Renders pages, with the headers that only pages have; ``headers.py`` has those of every answer."""

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
    text = render(template, visitor=visitor, alerts=alerts, **content)
    return Response(text, status_code=status, media_type="text/html", headers=HEADERS)


def render(template: str, **content: Any) -> str:
    """Fill a template in."""
    return _templates.get_template(template).render(version=__version__, **content)
