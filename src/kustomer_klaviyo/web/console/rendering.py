"""Renders pages, with the headers that only pages have; ``response_headers.py`` has those of every response."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar import Request
from litestar.plugins.jinja import JinjaTemplateEngine
from litestar.response import Template
from litestar.template import TemplateConfig

from kustomer_klaviyo import __version__

if TYPE_CHECKING:
    from kustomer_klaviyo.store.users import CurrentUser

PageRequest = Request[Any, Any, Any]

PAGE_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
    ),
    "X-Frame-Options": "DENY",
}

_environment = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.globals["version"] = __version__

TEMPLATES = TemplateConfig(instance=JinjaTemplateEngine.from_environment(_environment))


def page(
    request: PageRequest, template: str, *, status: int = 200, csrf_token: str | None = None, **context: Any
) -> Template:
    """Return a page for the current user, below the alerts. Its forms contain the session's CSRF token by default."""
    user: CurrentUser | None = request.state.get("user")
    if csrf_token is None:
        csrf_token = "" if user is None else user.csrf_token
    common = {"user": user and user.user, "alerts": request.state.get("alerts", []), "csrf_token": csrf_token}
    return Template(
        template, context={**common, **context}, status_code=status, media_type="text/html", headers=PAGE_HEADERS
    )


def render(template: str, **context: Any) -> str:
    """Render a page outside of the application, for nobody in particular."""
    return _environment.get_template(template).render(user=None, alerts=[], csrf_token="", **context)
