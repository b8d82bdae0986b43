"""Lets a request through to a page, or not: who is signed in, what they may do, and whether they mean it.

Every page says in its ``opt`` who may ask for it; one that says nothing is for admins.
"""

import hmac
import re
import secrets
from collections.abc import Awaitable, Callable
from typing import Any

from litestar import Response
from litestar.datastructures import Cookie
from litestar.response import Redirect

from kustomer_klaviyo.store.users import Accounts, Role, Visitor
from kustomer_klaviyo.web.console.banners import Alerts
from kustomer_klaviyo.web.console.forms import read_form
from kustomer_klaviyo.web.console.pages import Asked, page

ANYONE, VIEWER = {"who": "anyone"}, {"who": "viewer"}
SESSION, FORM = "kk_session", "kk_form"
FORM_TOKEN = re.compile(r"[\w-]{32}\Z", re.ASCII)
SAFE = ("GET", "HEAD", "OPTIONS")

Guard = Callable[[Asked], Awaitable[Response[Any] | None]]


def guard(accounts: Accounts, alerts: Alerts) -> Guard:
    """Make the hook that runs before every page, and finds out what the page has to say at its top."""

    async def let_through(request: Asked) -> Response[Any] | None:
        visitor = await _visitor(accounts, request)
        request.state.visitor = visitor
        request.state.alerts = [] if visitor is None else await alerts.all()
        wanted = request.route_handler.opt.get("who", "admin")
        if wanted != "anyone" and visitor is None:
            return _turn_away(request)
        if wanted == "admin" and visitor is not None and visitor.account.role is not Role.ADMIN:
            text = "Only admins can do this."
            return page(request, "message.html", status=403, title="For admins", text=text)
        session = visitor if wanted != "anyone" else None
        if request.method not in SAFE and not await _is_meant(request, session):
            text = "The form is too old, or did not come from this site. Go back, load the page anew, and try again."
            return page(request, "message.html", status=403, title="Not accepted", text=text)
        return None

    return let_through


def visitor_of(request: Asked) -> Visitor:
    """Return who is signed in, on a page that only they can see."""
    visitor: Visitor = request.state.visitor
    return visitor


async def _visitor(accounts: Accounts, request: Asked) -> Visitor | None:
    token = read_cookie(request, SESSION)
    return await accounts.visitor(token) if token else None


def _turn_away(request: Asked) -> Response[Any]:
    if request.method in SAFE and "hx-request" not in request.headers:
        return Redirect("/sign-in", status_code=303)
    return Response("sign in first", status_code=401, media_type="text/plain")


async def _is_meant(request: Asked, visitor: Visitor | None) -> bool:
    """Say whether a change comes from a form of ours: another site can send one, but knows neither token.

    The forms that anyone may fill in have a token of their own, also for who is signed in.
    """
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    wanted = visitor.csrf if visitor is not None else read_cookie(request, FORM)
    form = await read_form(request)
    shown = form.get("csrf", "")
    return bool(wanted) and hmac.compare_digest(shown.encode(), wanted.encode())


def form_token(request: Asked) -> str:
    """Return the token for a form that somebody not signed in fills in."""
    held = read_cookie(request, FORM)
    return held if FORM_TOKEN.match(held) else secrets.token_urlsafe(24)


def with_form_token(request: Asked, response: Response[Any], token: str) -> Response[Any]:
    """Have the browser keep the token of a form."""
    return with_cookie(request, response, FORM, token, seconds=3600)


def with_session(request: Asked, response: Response[Any], token: str, *, hours: int) -> Response[Any]:
    """Have the browser keep a session's token."""
    return with_cookie(request, response, SESSION, token, seconds=hours * 3600)


def without_session(request: Asked, response: Response[Any]) -> Response[Any]:
    """Have the browser forget its session."""
    return with_cookie(request, response, SESSION, "", seconds=0)


def is_secure(request: Asked) -> bool:
    """Say whether the browser is to send cookies by https only: it came that way, or the service is reached so."""
    return request.scope["scheme"] == "https" or request.app.state.get("is_reached_by_https", False) is True


def read_cookie(request: Asked, name: str) -> str:
    """Return a cookie of ours, empty when there is none."""
    return request.cookies.get(_cookie_name(request, name), "")


def with_cookie(request: Asked, response: Response[Any], name: str, value: str, *, seconds: int) -> Response[Any]:
    """Have the browser keep a cookie that scripts cannot read; for 0 seconds: have it forget the cookie."""
    response.set_cookie(
        Cookie(
            key=_cookie_name(request, name),
            value=value,
            max_age=seconds,
            httponly=True,
            secure=is_secure(request),
            # Lax, since a browser comes back from a sign-in provider, which is another site.
            samesite="lax",
        )
    )
    return response


def _cookie_name(request: Asked, name: str) -> str:
    """Return the name under https, which no other host of the domain can set, or the one for trying without it."""
    return f"__Host-{name}" if is_secure(request) else name
